// Package join makes what an admin needs to let nodes join a cluster: the Secret of a bootstrap token, the bootstrap kubeconfig or the
// token file that a node gets, the cloud-init user-data that bring it there, and the RBAC that it takes.
//
// It makes texts, and puts them into a folder; it asks no cluster. Everything that goes into a text is quoted or checked first, so that
// what is read again is what went in. No error of this package holds a token, or anything of a private key.
package join

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"math/big"
	"strings"
	"time"

	bootstrapapi "k8s.io/cluster-bootstrap/token/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
)

// Where a node has what it joins with.
const (
	tokenPath  = "/etc/kubernetes/bootstrap.token"
	configPath = config.DefaultFile
)

// Invitation is what lets nodes join.
type Invitation struct {
	Token discovery.Token
	// Until is when the token ends.
	Until time.Time
	// Groups of the token besides system:bootstrappers, which every one is in.
	Groups []string
	// Cluster is where the nodes join. The Secret, the RBAC and the static token do not need it.
	Cluster Cluster
	// Discovery has the nodes find out server and CA with the token, rather than bring them along.
	Discovery bool
}

// Cluster is where an API server is and how it is known.
type Cluster struct {
	// Server is a URL that [CheckServer] takes.
	Server string
	// TLSServerName, when set, is the name in the server's certificate instead of the host of Server.
	TLSServerName string
	CA            []*x509.Certificate
}

// NewToken returns a token that nobody has had before: 6 and 16 characters of a-z and 0-9, from crypto/rand.
func NewToken() (discovery.Token, error) {
	id, err := random(bootstrapapi.BootstrapTokenIDBytes)
	if err != nil {
		return discovery.Token{}, err
	}
	secret, err := random(bootstrapapi.BootstrapTokenSecretBytes)
	return discovery.Token{ID: id, Secret: secret}, err
}

// random is n characters, each as likely as the others.
func random(n int) (string, error) {
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
	var b strings.Builder
	for range n {
		i, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return "", err
		}
		b.WriteByte(alphabet[i.Int64()])
	}
	return b.String(), nil
}

// text is the whole token, the secret.
func text(t discovery.Token) string { return t.ID + "." + t.Secret }

// quoted is a string in YAML that is nothing else, whatever it looks like: a token may look like a number. JSON is YAML.
func quoted(s string) string {
	b, _ := json.Marshal(s) // of a string it cannot fail
	return string(b)
}
