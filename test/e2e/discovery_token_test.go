package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// The kubeconfig is used. What then lies beside the identity is a token that nobody needs: it is looked at as a bootstrap kubeconfig
// would be, and goes when its cluster knows this node.
func TestOfAKubeconfigAndADiscoveryTokenTheKubeconfigIsUsedAndBothGo(t *testing.T) {
	t.Parallel()
	n := clientOnly(t)
	used := n.secretToken()
	n.bootstrap(used)
	n.discoveryToken(n.secretToken().Token)
	n.flags = append(n.flags, measured...)
	d := n.start()
	n.awaitJoined()
	eventually(t, "both are gone", func() bool { return !isThere(n.bootstrapFile()) && !isThere(n.path(tokenName)) })
	id, _, _ := strings.Cut(used.Token, ".")
	if by := n.csr(csr.Client).Spec.Username; by != "system:bootstrap:"+id {
		t.Errorf("the request was sent by %s, expected the kubeconfig's token %s", by, id)
	}
	d.awaitMetric("bootstrap_token_present == 0")
	n.assertThere(n.path(discoveryName))
}

// A file that a person has half written, or mistyped, stays as it is until that person comes back.
func TestADiscoveryTokenThatIsNoneIsSaidAndKeptAndTheNextOneIsUsed(t *testing.T) {
	t.Parallel()
	n := clientOnly(t)
	token := n.secretToken().Token
	n.discoveryToken(token[:20])
	n.keeps(n.path(tokenName))
	n.flags = append(n.flags, measured...)
	n.expect(n.once(), 2, n.path(tokenName)+" is malformed", "6 characters, a dot, 16 characters")
	n.expect(n.run([]string{"config", "check"}), 2, n.path(tokenName)+" is malformed")
	d := n.start()
	d.awaitLog(n.path(tokenName) + " is malformed")
	d.awaitMetric(`errors_total{phase="bootstrap",reason="kubeconfig"} == 1`)
	d.awaitMetric("bootstrap_token_present == 1")
	if content, err := os.ReadFile(n.path(tokenName)); err != nil || string(content) != token[:20] {
		t.Fatalf("it was touched: %v", err)
	}
	if found := n.csrs(csr.Client); len(found) > 0 {
		t.Fatalf("%d requests were sent", len(found))
	}
	n.write(n.path(tokenName), []byte(token), 0o644)
	n.awaitJoined()
	eventually(t, "the token is deleted", func() bool { return !isThere(n.path(tokenName)) })
	d.saidOnce("could be read by others")
	d.awaitMetric("bootstrap_token_present == 0")
}

func TestADiscoveryTokenThatLiesAsideAfterACrashIsUsedAndGoes(t *testing.T) {
	t.Parallel()
	n := clientOnly(t)
	n.discoveryToken(n.secretToken().Token)
	must(t, os.Rename(n.path(tokenName), kubeconfig.AsideName(n.path(tokenName))))
	n.expect(n.once(), 0)
	n.assertJoined()
	n.assertGone(n.path(tokenName))
	n.assertGone(kubeconfig.AsideName(n.path(tokenName)))
}

// A machine that becomes an image must not take the token along, whether it was used or not, nor what a crash has left of it.
func TestAResetTakesTheDiscoveryTokenAndOneThatKeepsTheIdentityLeavesIt(t *testing.T) {
	t.Parallel()
	for name, aside := range map[string]bool{"in its place": false, "aside": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := clientOnly(t)
			n.discoveryToken(n.secretToken().Token)
			n.keeps(n.path(tokenName))
			if aside {
				must(t, os.Rename(n.path(tokenName), kubeconfig.AsideName(n.path(tokenName))))
			}
			n.expect(n.run([]string{"config", "check"}), 0, "configuration: ok")
			n.expect(n.run([]string{"reset", "--keep-identity", "--yes"}), 0)
			n.assertThere(n.path(tokenName))
			n.assertGone(kubeconfig.AsideName(n.path(tokenName)))
			n.expect(n.run([]string{"reset", "--yes"}), 0, "remove "+n.path(tokenName))
			n.assertGone(n.path(tokenName))
			n.assertThere(n.path(discoveryName))
		})
	}
}
