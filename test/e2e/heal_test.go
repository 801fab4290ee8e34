package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
)

// keptFile is a file as it was when all was well.
type keptFile struct {
	path    string
	content []byte
	time    time.Time
}

// keep remembers the files that the agent remembers.
func (n *node) keep() (kept []keptFile) {
	n.t.Helper()
	dir := n.certDir()
	for _, path := range []string{dir.Current(certdir.Client), dir.Current(certdir.Serving), n.kubeconfig(), dir.ServerCA(), dir.ClientCA(), n.path("pki", "kubelet.crt"), n.path("pki", "kubelet.key")} {
		info, err := os.Stat(path)
		must(n.t, err)
		kept = append(kept, keptFile{path, n.text(path), info.ModTime()})
	}
	return kept
}

// notAsItWas says which of the files are not as they were: their bytes and, of a pair, its time.
func notAsItWas(kept []keptFile) (wrong []string) {
	for _, k := range kept {
		info, err := os.Stat(k.path)
		content, readErr := os.ReadFile(k.path)
		isPair := strings.HasSuffix(k.path, "current.pem")
		if err != nil || readErr != nil || !bytes.Equal(content, k.content) || isPair && !info.ModTime().Equal(k.time) {
			wrong = append(wrong, filepath.Base(k.path))
		}
	}
	return wrong
}

// Each file of a node, one beside the other, in each way in which a disk, a person or a program may spoil it.
func TestWhatIsSpoiledWhileTheAgentRunsIsBackInSeconds(t *testing.T) {
	t.Parallel()
	pki := func(name string) func(*node) string { return func(n *node) string { return n.path("pki", name) } }
	client, servingPair := pki(found.ClientPair), pki(found.ServingPair)
	clientLink, servingLink := pki("kubelet-client-current.pem"), pki("kubelet-server-current.pem")
	kubelet, serverCA, clientCA := (*node).kubeconfig, pki("kubelet-apiserver-ca.crt"), pki("kubelet-client-ca.crt")
	overwrite := func(content string) func(*node, string) error {
		return func(_ *node, path string) error { return os.WriteFile(path, []byte(content), 0o600) }
	}
	cut := func(_ *node, path string) error { return os.Truncate(path, 100) }
	remove := func(_ *node, path string) error { return os.Remove(path) }
	mode := func(_ *node, path string) error { return os.Chmod(path, 0o666) }
	owner := func(_ *node, path string) error { return os.Chown(path, somebody, somebody) }
	pairOf := func(kind csr.Kind, name string, when days) func(*node, string) error {
		return func(n *node, path string) error {
			return os.WriteFile(path, n.pair(kind, strings.ReplaceAll(name, "NODE", n.name), when), 0o600)
		}
	}
	otherKey := func(n *node, path string) error {
		crt, _ := halves(n.text(path))
		_, key := halves(n.pair(csr.Serving, n.name, today))
		return os.WriteFile(path, append(crt, key...), 0o600)
	}
	type spoiling struct {
		file  func(*node) string
		spoil func(*node, string) error
	}
	for name, c := range map[string]struct {
		within time.Duration
		all    []spoiling
	}{
		"cut off":      {3 * time.Second, []spoiling{{client, cut}, {servingPair, cut}, {kubelet, cut}, {serverCA, cut}, {clientCA, cut}}},
		"overwritten":  {3 * time.Second, []spoiling{{client, overwrite("")}, {servingPair, overwrite("x")}, {kubelet, overwrite("{}")}, {serverCA, overwrite("")}, {clientCA, overwrite("x")}}},
		"other pairs":  {3 * time.Second, []spoiling{{client, pairOf(csr.Client, "NODE", yesterday)}, {servingPair, otherKey}}},
		"mixed up":     {3 * time.Second, []spoiling{{client, pairOf(csr.Client, "another", today)}, {servingPair, pairOf(csr.Serving, "NODE", yesterday)}}},
		"of others":    {3 * time.Second, []spoiling{{kubelet, mode}, {serverCA, owner}, {clientCA, mode}}},
		"half removed": {11 * time.Second, []spoiling{{clientLink, remove}, {servingLink, remove}, {clientCA, remove}}},
		"all but one":  {11 * time.Second, []spoiling{{kubelet, remove}, {servingPair, remove}, {serverCA, remove}, {clientCA, remove}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := member(t, shared(t))
			d := n.start()
			d.awaitStatus("client: valid until")
			kept := n.keep()
			for _, s := range c.all {
				must(t, s.spoil(n, s.file(n)))
			}
			begin := time.Now()
			const healed = "wrote a file again from memory"
			eventually(t, "each is written again", func() bool { return strings.Count(d.log(), healed) >= len(c.all) })
			eventually(t, "everything is as it was", func() bool { return len(notAsItWas(kept)) == 0 })
			took := time.Since(begin)
			if took > c.within+2*time.Second {
				t.Errorf("it took %s", took)
			}
			if asked := fmt.Sprint(n.csrs(csr.Client), n.csrs(csr.Serving)); asked != "[] []" {
				t.Errorf("something was asked for: %s", asked)
			}
			n.assertJoined()
			t.Logf("%d files healed in %s", len(c.all), took.Round(time.Millisecond))
		})
	}
}
