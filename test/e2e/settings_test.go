package e2e

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// mistake is one in what the agent was told.
type mistake struct {
	// flags hold it; file, a configuration file's fields, holds the same one. Either may be empty.
	flags []string
	file  string
	// says is what else must be said: which setting, and what is wrong with it.
	says []string
	// notOnce: run --once is not mistaken there.
	notOnce bool
}

const configHeader = "apiVersion: " + config.APIVersion + "\nkind: " + config.Kind + "\n"

var mistakes = map[string]mistake{
	"flag-unknown":           {flags: []string{"--nod-ip=192.0.2.1"}, says: []string{"--nod-ip"}},
	"field-unknown":          {file: configHeader + "nodeIp: 192.0.2.1\n", says: []string{"nodeIp"}},
	"config-of-another-kind": {file: "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n", says: []string{"KubeletConfiguration", config.Kind}},
	"config-missing":         {flags: []string{"--config=/gone/config.yaml"}, says: []string{"/gone/config.yaml"}},
	"node-name-bad":          {flags: []string{"--hostname-override=node_1"}, file: "hostnameOverride: node_1", says: []string{"hostnameOverride", "node_1"}},
	"node-ip-bad":            {flags: []string{"--node-ip=127.0.0.1"}, file: "nodeIP: 127.0.0.1", says: []string{"nodeIP", "127.0.0.1"}},
	"serving-ip-bad":         {flags: []string{"--serving-ips=192.0.2.1,node"}, file: "servingIPs: [192.0.2.1, node]", says: []string{"servingIPs", `"node"`}},
	"serving-dns-name-bad":   {flags: []string{"--serving-dns-names=a,b_c"}, file: "servingDNSNames: [a, b_c]", says: []string{"servingDNSNames", "b_c"}},
	"expiration-too-short":   {flags: []string{"--expiration-seconds=600"}, file: "expirationSeconds: 600", says: []string{"expirationSeconds", "600", "1800"}},
	"key-algorithm-unknown":  {flags: []string{"--key-algorithm=rsa"}, file: "keyAlgorithm: rsa", says: []string{"keyAlgorithm", "rsa-2048"}},
	"values-contradict": {
		flags: []string{"--serving=off", "--serving-ips=192.0.2.1"}, file: "serving: 'off'\nservingIPs: [192.0.2.1]", says: []string{"--serving-ips", "servingIPs"},
	},
	"timeout-without-once": {flags: []string{"--timeout=5s"}, file: "timeout: 5s", says: []string{"--once"}, notOnce: true},
}

var settingsProofs = proofsOfSettings()

func proofsOfSettings() map[string]proof {
	all := map[string]proof{
		"cert-dir-a-file":             proveCertDirAFile,
		"cert-dir-unwritable":         proveCertDirUnwritable,
		"cert-dir-writable-by-others": proveCertDirWritableByOthers,
	}
	for name, m := range mistakes {
		all[name] = func(t *testing.T, row scenarios.Scenario) { proveMistake(t, row, m) }
	}
	return all
}

func proveMistake(t *testing.T, row scenarios.Scenario, m mistake) {
	if len(m.flags) > 0 {
		n := newNode(t, nil)
		proveRefused(n, row, m.notOnce, append(m.says, row.Says), m.flags...)
	}
	if m.file != "" {
		n := newNode(t, nil)
		n.flags = nil // they would beat the file
		if !strings.Contains(m.file, "apiVersion") {
			m.file = configHeader + m.file + "\n"
		}
		path := n.path("config.yaml")
		n.write(path, []byte(m.file), 0o600)
		says := append(m.says, row.Says)
		if len(m.flags) == 0 { // it is about the file, not about a value
			says = append(says, path)
		}
		proveRefused(n, row, m.notOnce, says, "--config="+path)
	}
}

// proveRefused shows that every command that reads the settings ends with the row's code, at once, says all of this and writes
// nothing.
func proveRefused(n *node, row scenarios.Scenario, notOnce bool, says []string, args ...string) {
	n.t.Helper()
	before := n.contents()
	commands := [][]string{{"run"}, {"config", "check"}, {"run", "--once"}}
	if notOnce {
		commands = commands[:2]
	}
	for _, command := range commands {
		r := n.run(command, args...)
		n.expect(r, row.OnceExit, says...)
		if r.elapsed > atOnce {
			n.t.Errorf("%v took %s", command, r.elapsed)
		}
		if strings.Contains(r.stderr, "goroutine ") || strings.Contains(r.stderr, "Usage:") {
			n.t.Errorf("%v buries the error:\n%s", command, r.stderr)
		}
	}
	d := n.start(args...)
	if code := d.wait(); code != row.OnceExit {
		n.t.Errorf("the daemon ended with %d, expected %d", code, row.OnceExit)
	}
	if _, ready := d.ready(); ready {
		n.t.Error("the daemon said READY=1 before it ended")
	}
	d.shows(row, scenarios.Ends)
	d.showsSigns(row)
	n.assertUnchanged(before)
}

// atOnce is how long a command may take that has nothing to wait for: milliseconds, but for the race detector and what else runs.
const atOnce = 5 * time.Second

func proveCertDirAFile(t *testing.T, row scenarios.Scenario) {
	n := newNode(t, nil)
	n.write(n.certDir().Path, []byte("a"), 0o600)
	proveRefused(n, row, false, []string{row.Says, n.certDir().Path, "is not a folder"})
}

func proveCertDirWritableByOthers(t *testing.T, row scenarios.Scenario) {
	for _, mode := range []os.FileMode{0o777, 0o770, os.ModeSticky | 0o777} { // where others may put files, a sticky folder does not help
		n := newNode(t, nil)
		must(t, os.Mkdir(n.certDir().Path, 0o700))
		must(t, os.Chmod(n.certDir().Path, mode))
		proveRefused(n, row, false, []string{row.Says, "cert-dir", n.certDir().Path, "chmod go-w"})
	}
}

// proveCertDirUnwritable has the agent run as another user than root, who can write everywhere but on a read-only file system.
func proveCertDirUnwritable(t *testing.T, row scenarios.Scenario) {
	n := newNode(t, nil)
	n.becomeNobody()
	must(t, os.Mkdir(n.certDir().Path, 0o755))
	before := n.contents()
	for _, command := range [][]string{{"run"}, {"run", "--once"}, {"config", "check"}} {
		c := n.command(t.Context(), command)
		asNobody(c.SysProcAttr)
		r := n.finish(c)
		n.expect(r, row.OnceExit, row.Says, "cert-dir", n.certDir().Path, "the agent runs as root")
		if r.elapsed > atOnce {
			t.Errorf("%v took %s", command, r.elapsed)
		}
	}
	looked(row, nil) // no agent runs
	n.through = []string{"setpriv", fmt.Sprintf("--reuid=%d", nobody), fmt.Sprintf("--regid=%d", nobody), "--clear-groups"}
	n.says(row, n.command(t.Context(), nil).Args[1+len(n.through):]...)
	n.through = nil
	n.assertUnchanged(before)
	if row.Daemon != scenarios.Ends {
		t.Errorf("the row says that the daemon %q", row.Daemon)
	}
	must(t, os.Chown(n.certDir().Path, nobody, nobody)) // and it was nothing else that was in the way
	c := n.command(t.Context(), []string{"config", "check"})
	asNobody(c.SysProcAttr)
	n.expect(n.finish(c), 0, "configuration: ok")
}

// nobody is a user without any right.
const nobody = 65534

func asNobody(attributes *syscall.SysProcAttr) {
	attributes.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
}

// becomeNobody moves the node, and the program, to where another user can read them.
func (n *node) becomeNobody() {
	n.t.Helper()
	if os.Geteuid() != 0 {
		n.t.Fatal("run this test as root, who alone can start a program as another user")
	}
	dir, err := os.MkdirTemp("", "nobody-")
	must(n.t, err)
	n.t.Cleanup(func() { os.RemoveAll(dir) })
	must(n.t, os.Chmod(dir, 0o755))
	n.dir, n.program = filepath.Join(dir, "node"), filepath.Join(dir, "bootstrap-agent")
	must(n.t, os.Mkdir(n.dir, 0o755))
	program, err := os.ReadFile(agentProgram)
	must(n.t, err)
	syscall.ForkLock.RLock() // a child that is started now would have it open for writing, until it is another program: "text file busy"
	defer syscall.ForkLock.RUnlock()
	must(n.t, os.WriteFile(n.program, program, 0o755))
}

// contents is everything in the node's folder: what it is, whose, when it was last written, and what is in it.
func (n *node) contents() map[string]string {
	n.t.Helper()
	all := map[string]string{}
	for _, name := range n.files() {
		info, err := os.Lstat(n.path(name))
		must(n.t, err)
		if info.Mode()&fs.ModeSocket != 0 {
			continue // the stand-in for the service manager's
		}
		all[name] = fmt.Sprintf("%s of %d, %s ", info.Mode(), info.Sys().(*syscall.Stat_t).Uid, info.ModTime())
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(n.path(name))
			must(n.t, err)
			all[name] += string(text)
		}
	}
	return all
}

// assertUnchanged fails the test unless the node's folder is as it was, but for files that may be new.
func (n *node) assertUnchanged(before map[string]string, mayBeNew ...string) {
	n.t.Helper()
	now := n.contents()
	for _, name := range mayBeNew {
		delete(now, name)
	}
	if !maps.Equal(before, now) {
		n.t.Errorf("the folder held %q before, and holds %q now", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(now)))
	}
}

func TestAllMistakesAreSaidTogether(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	path := n.path("config.yaml")
	n.write(path, []byte(configHeader+"keyAlgorithm: rsa\nexpirationSeconds: 5\n"), 0o600)
	r := n.run([]string{"config", "check"}, "--config="+path, "--node-ip=a", "--serving=maybe")
	n.expect(r, 2, "keyAlgorithm", "expirationSeconds", "nodeIP", "--serving (serving)")
}

func TestEveryCommandThatReadsTheSettingsRefusesAMistake(t *testing.T) {
	t.Parallel()
	n := newNode(t, nil)
	for _, command := range [][]string{{"run"}, {"run", "--once"}, {"config", "check"}, {"status"}, {"status", "-o", "json"}, {"doctor"}, {"rotate"}, {"rotate", "client"}} {
		n.expect(n.run(command, "--node-ip=a"), 2, "--node-ip (nodeIP)")
		n.expect(n.run(command, "--nod-ip=192.0.2.1"), 2, "unknown flag: --nod-ip")
	}
	for _, wrong := range [][]string{{"runn"}, {"config", "chek"}, {"run", "now"}, {"config", "check", "file"}, {"--nod-ip"}} {
		c := n.command(t.Context(), nil)
		c.Args = append(c.Args[:1], wrong...)
		n.expect(n.finish(c), 2, wrong[len(wrong)-1])
	}
	if found := n.files(); len(found) > 0 {
		t.Errorf("the node's folder holds %q", slices.Sorted(slices.Values(found)))
	}
}
