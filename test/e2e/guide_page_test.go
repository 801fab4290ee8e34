package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// guide is somebody who does what docs/joining.md says: its blocks, a folder to work in, and what has been done.
type guide struct {
	t *testing.T
	// blocks are the page's fenced blocks by the name in the comment before each; exempt are those that cannot be run.
	blocks, exempt map[string]string
	done           map[string]bool
	cp             *controlplane.ControlPlane
	// dir is where the administrator works; bin has the programs that are called by name.
	dir, bin string
}

// fencedBlock is a block of the page with the comment that names it, or says why it is not run.
var fencedBlock = regexp.MustCompile("(?m)(?:^<!-- (run|not run): ([^\n]*) -->\n)?^```([a-z]*)\n((?:[^\n`][^\n]*\n|\n)*)```$")

func readGuide(t *testing.T) *guide {
	t.Helper()
	page, err := os.ReadFile("../../docs/joining.md")
	must(t, err)
	g := &guide{t: t, blocks: map[string]string{}, exempt: map[string]string{}, done: map[string]bool{}, dir: t.TempDir(), bin: t.TempDir()}
	found := fencedBlock.FindAllStringSubmatch(string(page), -1)
	if fences := bytes.Count(page, []byte("\n```")); fences != 2*len(found) {
		t.Fatalf("docs/joining.md has %d fences, and %d blocks were found", fences, len(found))
	}
	for _, match := range found {
		state, name, text := match[1], match[2], match[4]
		_, twice := g.blocks[name]
		switch {
		case state == "not run":
			g.exempt[name] = text
		case state == "" || twice:
			t.Errorf("docs/joining.md: this block has no name of its own, so that nothing runs it:\n%s", text)
		default:
			g.blocks[name] = text
		}
	}
	for _, program := range []string{"bash", "openssl", "sha256sum", "sed", "head", "tr", "cut", "od", "date"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("the commands of docs/joining.md cannot be run: %v (Debian: apt-get install openssl coreutils)", err)
		}
	}
	kubectl, err := controlplane.Program("kubectl")
	must(t, err)
	must(t, os.Symlink(kubectl, filepath.Join(g.bin, "kubectl")))
	must(t, os.Symlink(agentProgram, filepath.Join(g.bin, "bootstrap-agent")))
	return g
}

// kubeadms is the one command of the page that needs a program which is no part of a control plane.
const kubeadms = "kubeadm token create --ttl 1h\n"

// assertAllDone fails the test when the page has a block that nothing has run.
func (g *guide) assertAllDone() {
	g.t.Helper()
	for name := range g.blocks {
		if !g.done[name] {
			g.t.Errorf("docs/joining.md: nothing has run the block %q", name)
		}
	}
	if len(g.exempt) != 1 || !slices.Contains(sortedValues(g.exempt), kubeadms) {
		g.t.Errorf("docs/joining.md: these blocks are said not to be run, expected kubeadm's only: %q", g.exempt)
	}
}

func sortedValues(of map[string]string) []string {
	var values []string
	for _, value := range of {
		values = append(values, value)
	}
	slices.Sort(values)
	return values
}

// pki is the control plane's folder of keys and certificates.
func (g *guide) pki() string { return filepath.Join(g.dir, "control-plane", "pki") }

// block returns a block of the page for the control plane of the test, and a node whose folder stands for /etc/kubernetes.
func (g *guide) block(n *node, name string) string {
	g.t.Helper()
	text, ok := g.blocks[name]
	if !ok {
		g.t.Fatalf("docs/joining.md has no block %q", name)
	}
	g.done[name] = true
	etc, address := g.dir, "api.example.com:6443"
	if n != nil {
		etc = n.dir
	}
	if g.cp != nil {
		address = strings.TrimPrefix(g.cp.Server(), "https://")
	}
	return strings.NewReplacer(
		"/etc/kubernetes/pki/apiserver-kubelet-client", g.pki()+"/kubelet-client",
		"/etc/kubernetes/pki", g.pki(),
		"/etc/kubernetes", etc, "/etc/bootstrap-agent", etc,
		"api.example.com:6443", address,
		"scp -p", "cp -p", "ssh root@worker-3 ", "", "root@worker-1:", "", "root@worker-2:", "", "root@worker-3:", "",
	).Replace(text)
}

// lines are those of a block of flags.
func (g *guide) lines(name string) []string {
	g.t.Helper()
	return strings.Fields(g.block(nil, name))
}

// run runs a script of blocks in one shell, as somebody who pastes them, and returns what it prints.
func (g *guide) run(script ...string) string {
	g.t.Helper()
	output, err := g.try(script...)
	if err != nil {
		g.t.Fatalf("docs/joining.md: %v, after it printed %q, of\n%s", err, output, strings.Join(script, "\n"))
	}
	return output
}

func (g *guide) try(script ...string) (string, error) {
	g.t.Helper()
	var stderr bytes.Buffer
	c := exec.CommandContext(g.t.Context(), "bash", "-c", "set -euo pipefail\n"+strings.Join(script, "\n"))
	c.Dir = g.dir
	c.Env = append(os.Environ(), "PATH="+g.bin+":"+os.Getenv("PATH"), "HOME="+g.dir)
	if g.cp != nil {
		c.Env = append(c.Env, "KUBECONFIG="+g.cp.AdminKubeconfig())
	}
	c.Stderr = &stderr
	output, err := c.Output()
	if err != nil {
		return string(output), fmt.Errorf("%w: %s", err, stderr.String())
	}
	return string(output), nil
}

// swap replaces a word of a block that the page tells the reader to replace.
func (g *guide) swap(text, word, by string) string {
	g.t.Helper()
	if !strings.Contains(text, word) {
		g.t.Fatalf("docs/joining.md: there is no %s to replace in\n%s", word, text)
	}
	return strings.ReplaceAll(text, word, by)
}
