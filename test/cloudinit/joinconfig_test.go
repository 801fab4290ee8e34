package cloudinit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/util/cert"

	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
)

// invited makes user-data as join-config does, for two CAs, as in the middle of a change.
func invited(t *testing.T, discovers bool) string {
	t.Helper()
	i := join.Invitation{Token: discovery.Token{ID: "123456", Secret: "1234567890123456"}, Until: time.Now().Add(time.Hour), Discovery: discovers}
	i.Cluster.Server = server
	for range 2 {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		ca, err := cert.NewSelfSignedCACert(cert.Config{CommonName: "kubernetes"}, key)
		if err != nil {
			t.Fatal(err)
		}
		i.Cluster.CA = append(i.Cluster.CA, ca)
	}
	text, err := i.UserData()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestARealCloudInitTakesWhatJoinConfigMakes(t *testing.T) {
	t.Parallel()
	for name, discovers := range map[string]bool{"with a kubeconfig": false, "with discovery": true} {
		text := invited(t, discovers)
		if len(text) > maxUserData {
			t.Errorf("%s: %d bytes; a cloud takes %d", name, len(text), maxUserData)
		}
		for _, root := range roots(t) {
			said, code := judge(t, root, text)
			if code != 0 || !strings.Contains(said, "Valid") || strings.Contains(strings.ToLower(said), "deprecat") {
				t.Errorf("%s, %s: exit code %d: %s", name, filepath.Base(root), code, said)
			}
		}
	}
}
