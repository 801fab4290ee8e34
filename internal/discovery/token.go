package discovery

import (
	"errors"
	"strings"

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
