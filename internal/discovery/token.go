package discovery

import (
	"crypto/hmac"
	"errors"
	"strings"

	"k8s.io/cluster-bootstrap/token/jws"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// Token is a bootstrap token. Its ID is public, for the signature of cluster-info is found by it.
type Token struct{ ID, Secret string }

// ParseToken takes a token apart, which has 6 characters, a dot and 16 characters, of a-z and 0-9. White space around it does not matter.
// The error does not quote it.
func ParseToken(text string) (Token, error) {
	id, secret, ok := apiserver.CutBootstrapToken(strings.TrimSpace(text))
	if !ok {
		return Token{}, errors.New("it is no bootstrap token, which looks like 6 characters, a dot, 16 characters, of a-z and 0-9")
	}
	return Token{ID: id, Secret: secret}, nil
}

// Signed says whether cluster-info is signed with a token of this ID, and whether with this one: a detached JWS with HS256 (RFC 7515
// appendix F), to the byte.
func (t Token) Signed(info apiserver.ClusterInfo) (known, right bool) {
	signature, known := info.Signatures[t.ID]
	expected, err := jws.ComputeDetachedSignature(info.Kubeconfig, t.ID, t.Secret)
	return known, known && err == nil && hmac.Equal([]byte(signature), []byte(expected))
}
