package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// longerThanHealing is for how long nothing may be written after a reset: longer than what is gone takes to be healed.
const longerThanHealing = 12 * time.Second

// A person who takes the node's identity away, in whatever way, means it. A new credential brings it back, without a restart.
func TestAnOperatorsResetIsFinalUntilThereIsANewCredential(t *testing.T) {
	t.Parallel()
	link := func(n *node) error { return os.Remove(n.certDir().Current(certdir.Client)) }
	kubeconfig := func(n *node) error { return os.Remove(n.kubeconfig()) }
	pause := func(*node) error { time.Sleep(4 * time.Second); return nil } // what a person needs
	for name, steps := range map[string][]func(*node) error{
		"kubeconfig then pair":  {kubeconfig, pause, link},
		"pair then kubeconfig":  {link, pause, kubeconfig},
		"the folder":            {func(n *node) error { return os.RemoveAll(n.certDir().Path) }},
		"what the folder holds": {func(n *node) error { return removeIn(n.certDir().Path, "*") }},
		"folder and kubeconfig": {func(n *node) error { return os.RemoveAll(n.certDir().Path) }, kubeconfig},
		"and all hidden files": {func(n *node) error {
			return errors.Join(removeIn(n.certDir().Path, "*"), removeIn(n.certDir().Path, ".[a-z]*"))
		}},
	} {
		if os.Getenv("SOAK") == "" && !slices.Contains([]string{"kubeconfig then pair", "the folder", "what the folder holds"}, name) {
			continue // they are shown with every other way, by an agent that does not wait: internal/agent/heal_reset_test.go
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := member(t, shared(t))
			plugin := n.execPlugin(printToken(n.secretToken().Token)) // a credential that stays
			n.bootstrap(plugin)
			n.keeps(n.bootstrapFile(), n.path("plugin"))
			d := n.start()
			d.awaitLog("kept the bootstrap credential")
			for _, step := range steps {
				must(t, step(n))
			}
			d.awaitStatus("put a new bootstrap kubeconfig at " + n.bootstrapFile())
			left := n.files()
			for until := time.Now().Add(longerThanHealing); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
				if now := n.files(); !slices.Equal(now, left) {
					t.Fatalf("after the reset %q became %q", left, now)
				}
			}
			if len(n.csrs(csr.Client)) > 0 {
				t.Fatal("the credential that lay there was used")
			}
			n.approveServing(0)
			n.bootstrap(n.secretToken())
			n.awaitIdentity()
			n.csr(csr.Client)
			d.awaitLog("the node has an identity again")
			eventually(t, "the new credential is gone", func() bool { _, err := os.Lstat(n.bootstrapFile()); return err != nil })
		})
	}
}

// removeIn is rm -rf of what matches in a folder.
func removeIn(folder, pattern string) error {
	names, err := filepath.Glob(filepath.Join(folder, pattern))
	for _, name := range names {
		if hidden := strings.HasPrefix(filepath.Base(name), "."); hidden == strings.HasPrefix(pattern, ".") {
			err = errors.Join(err, os.RemoveAll(name))
		}
	}
	return err
}
