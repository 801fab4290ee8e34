package e2e

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

var kubeconfigProofs = proofsOfKubeconfigs()

func proofsOfKubeconfigs() map[string]proof {
	all := map[string]proof{
		"kubeconfig-missing":            proveKubeconfigMissing,
		"kubeconfig-readable-by-others": proveReadableByOthers,
		"token-file-missing":            proveTokenFileMissing,
	}
	for name, b := range badKubeconfigs {
		all[name] = func(t *testing.T, row scenarios.Scenario) { proveBadKubeconfig(t, row, b) }
	}
	return all
}

// badKubeconfig is one that nothing may be done with, made of a good one's text, and how a person mends it.
type badKubeconfig struct {
	spoil func(n *node, good string)
	// mend, where putting the good one there by rename is not all.
	mend func(n *node, good string)
}

var badKubeconfigs = map[string]badKubeconfig{
	"kubeconfig-empty":              {replaced(`(?s).*`, ""), writeInPlace},
	"kubeconfig-not-yaml":           {replaced(`clusters:`, "clusters: ["), writeInPlace},
	"kubeconfig-no-current-context": {replaced(`current-context: .*\n`, ""), nil},
	"kubeconfig-no-server":          {replaced(` +server: .*\n`, ""), nil},
	"kubeconfig-http-server":        {replaced(`server: https`, "server: http"), nil},
	"kubeconfig-userinfo":           {replaced(`server: https://`, "server: https://admin:hunter22hunter@"), nil},
	"kubeconfig-no-ca":              {replaced(` +certificate-authority-data: .*\n`, ""), nil},
	"kubeconfig-unreadable-ca":      {replaced(`certificate-authority-data: .*`, "certificate-authority: ca.crt"), nil},
	"kubeconfig-damaged-ca":         {replaced(`certificate-authority-data: .*`, "certificate-authority-data: bm9uZQ=="), nil},
	"kubeconfig-insecure":           {replaced(`certificate-authority-data: .*`, "insecure-skip-tls-verify: true"), nil},
	"kubeconfig-malformed-token":    {replaced(`token: (.*)`, "token: Bearer $1"), nil},
	"kubeconfig-no-credential":      {replaced(` +token: .*\n`, ""), nil},
	"kubeconfig-two-credentials":    {replaced(`( +)token: .*\n`, "$0${1}tokenFile: token\n"), nil},
	"kubeconfig-writable-by-others": {
		func(n *node, good string) {
			n.write(n.bootstrapFile(), []byte(good), 0o600)
			must(n.t, os.Chmod(n.bootstrapFile(), 0o666))
		},
		func(n *node, _ string) { must(n.t, os.Chmod(n.bootstrapFile(), 0o600)) }, // as the error says
	},
	"kubeconfig-of-another-user": {
		func(n *node, good string) {
			n.write(n.bootstrapFile(), []byte(good), 0o600)
			n.giveAway(n.bootstrapFile(), 12345)
		},
		func(n *node, _ string) { n.giveAway(n.bootstrapFile(), os.Geteuid()) },
	},
	"kubeconfig-a-folder": {
		func(n *node, _ string) { must(n.t, os.MkdirAll(n.bootstrapFile(), 0o755)) },
		func(n *node, good string) {
			must(n.t, os.Remove(n.bootstrapFile()))
			n.write(n.bootstrapFile(), []byte(good), 0o600)
		},
	},
}

// replaced is the good text with another in place of what the pattern finds first.
func replaced(pattern, by string) func(*node, string) {
	return func(n *node, good string) {
		found := regexp.MustCompile(pattern).FindStringSubmatchIndex(good)
		if found == nil {
			n.t.Fatalf("%s is not in the kubeconfig:\n%s", pattern, good)
		}
		by := regexp.MustCompile(pattern).ExpandString(nil, by, good, found)
		n.write(n.bootstrapFile(), slices.Concat([]byte(good[:found[0]]), by, []byte(good[found[1]:])), 0o600)
	}
}

// writeInPlace writes as an editor or a shell may: the agent can see half of the file.
func writeInPlace(n *node, good string) {
	file, err := os.OpenFile(n.bootstrapFile(), os.O_WRONLY|os.O_TRUNC, 0)
	must(n.t, err)
	defer file.Close()
	for _, half := range []string{good[:len(good)/2], good[len(good)/2:]} {
		_, err := file.WriteString(half)
		must(n.t, err)
	}
}

func (n *node) giveAway(path string, user int) {
	n.t.Helper()
	if err := os.Chown(path, user, -1); err != nil {
		n.t.Fatalf("run this test as root, who alone can give a file to another user: %v", err)
	}
}

// clientOnly is a machine that asks for no serving certificate, which has nothing to do with how a kubeconfig is read.
func clientOnly(t *testing.T) *node {
	t.Helper()
	n := newNode(t, shared(t))
	n.flags = append(n.flags, "--serving=off")
	return n
}

func (n *node) bootstrapText(user clientcmdapi.AuthInfo) string {
	n.t.Helper()
	content, err := n.cp.Kubeconfig("", user)
	must(n.t, err)
	return string(content)
}

// lockOnly are the names that an agent leaves which had nothing to do: it was alone with the cert-dir.
var lockOnly = []string{"pki", "pki/.bootstrap-agent.lock"}

func proveBadKubeconfig(t *testing.T, row scenarios.Scenario, b badKubeconfig) {
	n := clientOnly(t)
	n.secret([]byte("hunter22hunter"))
	good := n.bootstrapText(n.secretToken())
	b.spoil(n, good)

	before := n.contents()
	n.expect(n.once(), row.OnceExit, row.Says, n.bootstrapFile())
	n.expect(n.run([]string{"config", "check"}), row.OnceExit, row.Says, n.bootstrapFile())
	n.assertUnchanged(before)

	d := n.start()
	d.awaitReady() // well before --start-hold: there is nothing to try
	d.awaitStatus("bootstrap: not usable: bootstrap kubeconfig")
	d.awaitStatus(n.bootstrapFile())
	d.everSaid(row.Says)
	d.awaitLog(row.Says)
	n.assertUnchanged(before, lockOnly...)
	if found := n.csrs(csr.Client); len(found) > 0 {
		t.Errorf("%d requests were made with it", len(found))
	}
	d.shows(row, scenarios.GoesOn)
	d.showsSigns(row)

	if b.mend == nil {
		b.mend = func(n *node, good string) { n.write(n.bootstrapFile(), []byte(good), 0o600) }
	}
	b.mend(n, good)
	d.proveJoined(row)
	eventually(t, "the used kubeconfig is deleted", func() bool { return !isThere(n.bootstrapFile()) })
}

// proveJoined shows that the daemon has gone on by itself, and that it ends well.
func (d *daemon) proveJoined(row scenarios.Scenario) {
	d.t.Helper()
	d.node.awaitJoined()
	d.shows(row, scenarios.GoesOn)
	eventually(d.t, "STATUS= has forgotten the trouble", func() bool {
		texts := d.statuses()
		return strings.Contains(texts[len(texts)-1], "client: valid until") && !strings.Contains(texts[len(texts)-1], row.Says)
	})
	if code, _ := d.stop(); code != 0 {
		d.t.Errorf("the daemon ended with %d on SIGTERM", code)
	}
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func proveKubeconfigMissing(t *testing.T, row scenarios.Scenario) {
	n := clientOnly(t)
	before := n.contents()
	n.expect(n.run([]string{"config", "check"}), 0, "configuration: ok", row.Says, n.bootstrapFile()) // nothing is wrong with it
	n.assertUnchanged(before)
	n.expect(n.once(), row.OnceExit, row.Says, n.bootstrapFile())
	n.assertUnchanged(before, lockOnly...)

	d := n.start()
	d.awaitReady()
	d.awaitStatus(row.Says)
	d.everSaid(n.bootstrapFile())
	n.assertUnchanged(before, lockOnly...)
	d.showsSigns(row)
	n.bootstrap(n.secretToken())
	d.proveJoined(row)
}

// proveTokenFileMissing: a kubeconfig whose tokenFile is gone is what a node that has joined is left with, and no mistake.
func proveTokenFileMissing(t *testing.T, row scenarios.Scenario) {
	n := clientOnly(t)
	user := n.secretToken()
	n.bootstrap(clientcmdapi.AuthInfo{TokenFile: "token"})
	before := n.contents()
	n.expect(n.run([]string{"config", "check"}), 0, "configuration: ok", "no bootstrap credential", row.Says, "tokenFile")
	n.assertUnchanged(before)
	n.expect(n.once(), row.OnceExit, row.Says, "tokenFile", n.bootstrapFile())
	n.assertUnchanged(before, lockOnly...)

	d := n.start()
	d.awaitReady()
	d.awaitStatus(row.Says)
	d.everSaid("tokenFile")
	n.assertUnchanged(before, lockOnly...)
	d.showsSigns(row)
	n.write(n.path("token"), []byte(user.Token+"\n"), 0o600)
	n.awaitJoined()
	eventually(t, "the used token is deleted", func() bool { return !isThere(n.path("token")) })
	n.assertThere(n.bootstrapFile())
	d.proveJoined(row)
	n.expect(n.run([]string{"config", "check"}), 0, "no bootstrap credential", row.Says)
}

func proveReadableByOthers(t *testing.T, row scenarios.Scenario) {
	n := clientOnly(t)
	n.bootstrap(n.secretToken())
	n.keeps(n.bootstrapFile())
	must(t, os.Chmod(n.bootstrapFile(), 0o644))
	n.expect(n.run([]string{"config", "check"}), 0, "bootstrap kubeconfig: ok")
	n.assertMode(n.bootstrapFile(), 0o644) // config check changes nothing
	n.expect(n.once("--keep-bootstrap-kubeconfig"), row.OnceExit, row.Says, n.bootstrapFile())
	n.assertMode(n.bootstrapFile(), 0o600)
	n.assertJoined()

	n = clientOnly(t)
	n.bootstrap(n.secretToken())
	n.keeps(n.bootstrapFile())
	must(t, os.Chmod(n.bootstrapFile(), 0o644))
	d := n.start("--keep-bootstrap-kubeconfig")
	d.awaitLog(row.Says)
	d.proveJoined(row)
	n.assertMode(n.bootstrapFile(), 0o600)
	d.saidOnce(row.Says)

	must(t, os.Chmod(n.bootstrapFile(), 0o644)) // beside an identity it can stay for long
	d = n.start("--keep-bootstrap-kubeconfig")
	d.awaitLog(row.Says)
	n.assertMode(n.bootstrapFile(), 0o600)
	d.showsSigns(row)
}

func (n *node) assertMode(path string, mode fs.FileMode) {
	n.t.Helper()
	info, err := os.Stat(path)
	must(n.t, err)
	if info.Mode() != mode {
		n.t.Fatalf("the mode of %s is %s, expected %s", filepath.Base(path), info.Mode(), mode)
	}
}

func TestABadBootstrapKubeconfigBesideAnIdentityStopsNothing(t *testing.T) {
	t.Parallel()
	n := clientOnly(t)
	user := n.secretToken()
	n.bootstrap(user)
	n.expect(n.once(), 0)
	good, says := n.bootstrapText(user), map[string]string{}
	for _, row := range scenarios.All {
		says[row.Name] = row.Says
	}
	replaced(`token: (.*)`, "token: Bearer $1")(n, good)
	n.secret([]byte("hunter22hunter"))
	n.keeps(n.bootstrapFile())
	n.expect(n.once(), 2, says["kubeconfig-malformed-token"]) // a person stands before it

	if took := n.quickestReady("everything that the kubelet needs is on the disk"); took > 2*time.Second {
		t.Errorf("READY=1 came after %s", took)
	}
	d := n.start()
	d.awaitStatus(says["kubeconfig-malformed-token"])
	identity := n.identityFiles()
	names := []string{"kubeconfig-empty", "kubeconfig-a-folder", "kubeconfig-not-yaml", "kubeconfig-of-another-user", "kubeconfig-insecure", "kubeconfig-unreadable-ca", "kubeconfig-two-credentials"}
	if os.Getenv("SOAK") != "" { // each takes the agent's next look, a second
		names = slices.Sorted(maps.Keys(badKubeconfigs))
	}
	for _, name := range names {
		must(t, os.RemoveAll(n.bootstrapFile()))
		badKubeconfigs[name].spoil(n, good)
		d.awaitStatus(says[name])
		d.awaitStatus("client: valid until")
		d.awaitLog(says[name])
	}
	if !d.running() || !maps.Equal(identity, n.identityFiles()) {
		t.Errorf("the daemon runs: %t; the identity was %q and is %q", d.running(), slices.Sorted(maps.Keys(identity)), slices.Sorted(maps.Keys(n.identityFiles())))
	}
	n.assertJoined()
}

// identityFiles are the contents of all files but the bootstrap kubeconfig.
func (n *node) identityFiles() map[string]string {
	all := n.contents()
	maps.DeleteFunc(all, func(name, _ string) bool { return strings.HasPrefix(name, "bootstrap.kubeconfig") })
	return all
}
