package e2e

import (
	"bytes"
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// TestWhateverResetFindsOnTheDiskNoSecretIsLeftUnsaidAndNothingElseIsTouched makes the states of the table of what the agent may find, some
// or with SOAK all, and resets each.
func TestWhateverResetFindsOnTheDiskNoSecretIsLeftUnsaidAndNothingElseIsTouched(t *testing.T) {
	t.Parallel()
	cp := shared(t)
	cells := found.Cells()
	random := sample.From(t, 2511406120340022435) // the same every day, so that a failure is about what was changed
	random.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
	joins := 3
	if os.Getenv("SOAK") == "" {
		cells = cells[:30]
	} else {
		joins = len(cells)
	}
	for i, c := range cells {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, cp)
			n.through = withoutCapabilities
			n.proveReset(c, i < joins)
		})
	}
}

// secret is a piece of text that is ours, or somebody else's.
type secret struct {
	what, file string
	text       []byte
}

// proveReset resets a node in a state, and looks at what is left.
func (n *node) proveReset(c found.Cell, joins bool) {
	n.t.Helper()
	n.approveServing(0)
	n.furnish(c.File.Around)
	if c.Credential && !c.File.IsCredential {
		n.bootstrap(n.staticToken(controlplane.KubeletBootstrap))
	}
	n.put(c)
	n.keeps(n.bootstrapFile(), n.path(".bootstrap.kubeconfig.used"), n.path("elsewhere", "bootstrap.kubeconfig"), n.path("elsewhere", ".bootstrap.kubeconfig.used"))
	foreign := n.foreign(c)
	secrets := n.ourSecrets(foreign)
	before := n.look()
	dry := n.reset()
	if after := n.look(); !sameFiles(before, after) {
		n.t.Error("without --yes it changes something")
	}
	r := n.reset("--yes")
	after := n.look()
	switch {
	case r.code == 2 && c.File.Kind == found.Folder, r.code == 1 && c.File.Name == "lock file" && strings.Contains(r.stderr, "nothing was changed"):
		if !sameFiles(before, after) {
			n.t.Errorf("it refuses, and changes something: %s", r.stderr)
		}
		return
	case r.code == 1 && !slices.Contains([]string{"immutable", "unreadable", "of another user"}, c.State.Name), r.code != 0 && r.code != 1 && r.code != 3:
		n.t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
	n.expectSaid(r, secrets)
	for _, path := range foreign {
		if name := strings.TrimPrefix(path, n.dir+"/"); after.files[name] != before.files[name] {
			n.t.Errorf("%s was changed", name)
		}
	}
	if len(after.dangling) > 0 && c.State.Name != "link in a ring" { // which is not ours, and through which nobody writes anything
		n.t.Errorf("%q lead nowhere", after.dangling)
	}
	if after.identity != nil {
		n.t.Error("there is still an identity")
	}
	// what was named may be known no more: the link that led to it is gone
	if again := n.reset("--yes"); again.code != r.code && !(r.code == 3 && again.code == 0) || strings.Contains(again.stdout, "remove ") {
		n.t.Errorf("again it ends with %d, says: %s%s", again.code, again.stdout, again.stderr)
	}
	if r.code == 0 && dry.code != 4 && strings.Contains(r.stdout, "remove ") {
		n.t.Errorf("the dry run ended with %d, though there was something to do: %s", dry.code, r.stdout)
	}
	if n.t.Failed() {
		n.t.Logf("it said:\n%s%s", r.stdout, r.stderr)
	}
	row, _ := found.Expected(c)
	if joins && r.code == 0 && row.Outcome != found.Mended && !n.t.Failed() { // what is not ours and in the agent's way too stays in its way
		n.bootstrap(n.staticToken(controlplane.KubeletBootstrap))
		n.expect(n.once(), 0)
		n.assertJoined()
	}
}

// foreign are the files of a state that are not ours: what lies elsewhere, and the kubelet's own pair.
func (n *node) foreign(c found.Cell) (paths []string) {
	for _, name := range n.files() {
		if strings.HasPrefix(name, "elsewhere/") && !strings.HasPrefix(name, "elsewhere/pki/") {
			paths = append(paths, n.path(name))
		}
	}
	if c.File.Around == found.OwnPair {
		paths = append(paths, n.path("pki", "kubelet.crt"), n.path("pki", "kubelet.key"))
	}
	if c.State.Name == "dangling link" { // which the kubelet must not find, whoever made it
		paths = slices.DeleteFunc(paths, func(path string) bool { return path == n.path(c.File.Path) })
	}
	return paths
}

// ourSecrets are the private keys and tokens in all other files, and in what names of ours lead to.
func (n *node) ourSecrets(foreign []string) (secrets []secret) {
	n.t.Helper()
	for _, name := range n.files() {
		path := n.path(name)
		if slices.Contains(foreign, path) && !strings.HasPrefix(name, "elsewhere/") {
			continue
		}
		content, err := readSmall(path)
		if err != nil {
			continue
		}
		for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
			if strings.HasSuffix(block.Type, "PRIVATE KEY") {
				secrets = append(secrets, secret{"a key", name, pem.EncodeToMemory(block)})
			}
		}
		for _, token := range n.secrets {
			if bytes.Contains(content, token) {
				secrets = append(secrets, secret{"a token", name, token})
			}
		}
	}
	return secrets
}

// expectSaid shows that every secret is gone, or that the file which holds it still is named.
func (n *node) expectSaid(r result, secrets []secret) {
	n.t.Helper()
	_, notLinked := os.Readlink(n.certDir().Path)
	for _, name := range n.files() {
		content, err := readSmall(n.path(name))
		info, lstatErr := os.Lstat(n.path(name))
		if strings.HasPrefix(name, "elsewhere/pki/") && notLinked != nil {
			continue // a cert-dir that was moved there, of which nobody can know
		}
		if err != nil || lstatErr != nil || !info.Mode().IsRegular() {
			continue
		}
		for _, s := range secrets {
			named := strings.Contains(r.stderr, n.path(name)) && r.code != 0
			if bytes.Contains(content, s.text) && !named {
				n.t.Errorf("%s, which was in %s, is in %s, the exit code is %d, and it says: %s", s.what, s.file, name, r.code, r.stderr)
			}
		}
	}
}

func sameFiles(a, b look) bool {
	if len(a.files) != len(b.files) {
		return false
	}
	for name, was := range a.files {
		if b.files[name] != was {
			return false
		}
	}
	return true
}
