package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

func TestATokenBecomesBothCertificatesAndIsDeleted(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	n.expect(n.once(), 0)
	n.assertJoined()
	n.assertGone(n.bootstrapFile())
	if !n.servingIssued() {
		t.Fatal("the serving certificate is a placeholder")
	}
	n.expectWell()
}

// The last one of the client certificate asks whether another machine is the node; a rotation needs none (assertRequests).
func TestTheClientCertificateTakesFourRequestsAndBothTakeSix(t *testing.T) {
	t.Parallel()
	client := []string{"create certificatesigningrequests", "watch certificatesigningrequests", "create selfsubjectreviews", "get nodes"}
	serving := []string{"create certificatesigningrequests", "watch certificatesigningrequests"}
	for flag, expected := range map[string][]string{
		"--serving=off":            client,
		"--serving=before-kubelet": slices.Concat(client, serving),
	} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, shared(t))
			user := n.secretToken()
			n.bootstrap(user)
			n.approveServing(0)
			n.expect(n.once(flag), 0)
			id, _, _ := strings.Cut(user.Token, ".")
			if all := n.requestsOf("system:bootstrap:"+id, "system:node:"+n.name); !slices.Equal(all, expected) {
				t.Errorf("the API server got %q, expected %q", all, expected)
			}
		})
	}
}

// requestsOf are verb and resource of all that was asked by these users, whatever they say they are.
func (n *node) requestsOf(users ...string) []string {
	n.t.Helper()
	var all []string
	for _, user := range users {
		requests, err := n.cp.Requests(user)
		must(n.t, err)
		for _, r := range requests {
			if !strings.HasPrefix(r.UserAgent, "bootstrap-agent/") {
				n.t.Errorf("not the agent's own user agent: %s", r)
			}
			all = append(all, r.Verb+" "+r.Resource)
		}
	}
	return all
}

func TestKeysAreOfTheAlgorithmAndCertificatesOfTheLifetimeThatWereAskedFor(t *testing.T) {
	t.Parallel()
	for algorithm, is := range map[string]func(key any) bool{
		"rsa-2048":   func(key any) bool { k, ok := key.(*rsa.PrivateKey); return ok && k.N.BitLen() == 2048 },
		"ecdsa-p384": func(key any) bool { k, ok := key.(*ecdsa.PrivateKey); return ok && k.Curve == elliptic.P384() },
		"ecdsa-p256": func(key any) bool { k, ok := key.(*ecdsa.PrivateKey); return ok && k.Curve == elliptic.P256() },
	} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, shared(t))
			n.bootstrap(n.secretToken())
			n.approveServing(0)
			begin := time.Now()
			n.expect(n.once("--key-algorithm="+algorithm, "--expiration-seconds=1800"), 0)
			n.assertJoined()
			for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
				pair, err := n.certDir().Read(kind)
				must(t, err)
				if !is(pair.Key) {
					t.Errorf("the key of the %s pair is a %T", kind, pair.Key)
				}
				// the control plane's own default is an hour
				if life := pair.Leaf.NotAfter.Sub(begin); life < 20*time.Minute || life > 31*time.Minute {
					t.Errorf("the %s certificate lives for %s, asked were 30 minutes", kind, life)
				}
			}
			if seconds := n.csr(csr.Client).Spec.ExpirationSeconds; seconds == nil || *seconds != 1800 {
				t.Errorf("the client request asks for %v seconds", seconds)
			}
		})
	}
}

func TestWithACAOfItsOwnForKubeletsTheNodeJoinsWithTheFileThatSaysWhoMayCallIt(t *testing.T) {
	t.Parallel()
	n := newNode(t, split(t))
	n.write(n.path("callers.crt"), n.cp.CA(), 0o644) // it signs the API server's own client certificate
	n.bootstrap(n.staticToken(controlplane.KubeletBootstrap))
	n.approveServing(0)
	n.expect(n.once("--kubelet-client-ca-file="+n.path("callers.crt")), 0)
	n.assertJoined()
	n.assertGone(n.bootstrapFile())
	if bundle, err := n.certDir().ReadCA(n.certDir().ClientCA()); err != nil || string(bundle) != string(n.cp.CA()) {
		t.Errorf("kubelet-client-ca.crt is not the file that was given: %v\n%s", err, bundle)
	}
	pair, err := n.certDir().Read(certdir.Client)
	must(t, err)
	if issuer := pair.Leaf.Issuer.CommonName; issuer != "kubelet-signer" {
		t.Errorf("the client certificate is signed by %s: this is no control plane with two CAs", issuer)
	}
	n.expect(n.once(), 0) // without the flag the file stays
	n.expectWell()
}
