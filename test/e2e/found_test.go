package e2e

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// ledger is what each state may have cost in requests, by the node's name.
type ledger struct {
	mu    sync.Mutex
	nodes map[string]*account
}

// account is one node's: how many requests it may have made, and those that the test made in its name.
type account struct {
	cell            found.Cell
	client, serving allowance
	ours            map[string]bool
}

// allowance is the least and the most requests of one kind.
type allowance struct{ least, most int }

func TestWhateverTheAgentFindsOnTheDiskItDoesAsItsRowSays(t *testing.T) {
	t.Parallel()
	cp := shared(t)
	stop := cp.ApproveServing(context.WithoutCancel(t.Context()), func(c *certificatesv1.CertificateSigningRequest) bool {
		return strings.HasPrefix(c.Spec.Username, "system:node:found-")
	}, 0)
	defer stop()
	cells := someCells(t)
	all := &ledger{nodes: map[string]*account{}}
	start := time.Now()
	t.Run("states", func(t *testing.T) {
		for i, c := range cells {
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				n := newNode(t, cp)
				n.name = fmt.Sprintf("found-%d-%x", i, time.Now().UnixNano()%0xfffff)
				n.flags = []string{"--hostname-override=" + n.name, "--node-ip=192.0.2.10"}
				n.through = withoutCapabilities
				n.prove(c, all)
			})
		}
	})
	all.audit(t, cp)
	t.Logf("%d states of %d, %s", len(cells), len(found.Cells()), time.Since(start).Round(time.Second))
}

// withoutCapabilities starts a program as the unit does: as root, but with no right that another user would not have.
var withoutCapabilities = []string{"setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"}

// someCells are every cell with SOAK, and otherwise some, among them each file and each state.
func someCells(t *testing.T) []found.Cell {
	t.Helper()
	cells := found.Cells()
	if os.Getenv("SOAK") != "" {
		return cells
	}
	random := sample.From(t, 8462653438690164540) // the same every day, so that a failure is about what was changed
	random.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
	var some []found.Cell
	files, states := map[string]bool{}, map[string]bool{}
	for _, c := range cells {
		if !files[c.File.Name] || !states[c.State.Name] {
			files[c.File.Name], states[c.State.Name] = true, true
			some = append(some, c)
		}
	}
	return some
}

// audit counts, at the end and in one go, the requests that the nodes have made.
func (l *ledger) audit(t *testing.T, cp *controlplane.ControlPlane) {
	t.Helper()
	list, err := cp.AdminClient().CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{})
	must(t, err)
	objects := list.Items
	counts := map[string]map[csr.Kind]int{}
	for name := range l.nodes {
		counts[name] = map[csr.Kind]int{}
	}
	for _, object := range objects {
		for name, account := range l.nodes {
			if strings.HasPrefix(object.Name, name+"-") && !account.ours[object.Name] {
				counts[name][kindOf(object)]++
			}
		}
	}
	for name, account := range l.nodes {
		for kind, allowed := range map[csr.Kind]allowance{csr.Client: account.client, csr.Serving: account.serving} {
			if made := counts[name][kind]; made < allowed.least || made > allowed.most {
				t.Errorf("%s: %d %s requests, expected %d to %d", account.cell, made, kind, allowed.least, allowed.most)
			}
		}
	}
	t.Logf("%d certificate signing requests by %d nodes", len(objects), len(l.nodes))
}

func kindOf(object certificatesv1.CertificateSigningRequest) csr.Kind {
	if object.Spec.SignerName == csr.Client.Signer() {
		return csr.Client
	}
	return csr.Serving
}
