package e2e

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// What an agent with nothing to do may cost: a share of the budget for 10 minutes (make bench measures those), and twelve times as much:
// just after it has joined it looks every few seconds whether a kubelet serves its certificate, and other tests use the processors and
// their caches meanwhile. A loop that goes round every 10 ms uses ten times more than that. The program here is not the one that is
// shipped, but one with cgo and symbols, for which a tenth more memory is allowed.
const (
	idleFor        = 30 * time.Second
	idleMargin     = 12
	idleBudget     = idleMargin * 50 * time.Millisecond / (10 * time.Minute / idleFor)
	scrapedBudget  = idleMargin * 300 * time.Millisecond / (10 * time.Minute / idleFor)
	residentBudget = 1.1 * 22e6
)

func TestAnIdleAgentUsesNextToNothingWhetherItIsScrapedOrNot(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	alone, scraped := idler(t, "alone"), idler(t, "scraped", "--web.listen-address="+address)
	settle := 5*time.Second + time.Duration(sample.Random(t).Int64N(int64(5*time.Second))) // what it does every few seconds falls anywhere
	time.Sleep(settle)
	begin := []time.Duration{used(t, alone), used(t, scraped)}
	for range 2 {
		scrape(t, "http://"+address+"/metrics")
		time.Sleep(idleFor / 2)
	}
	for i, a := range []struct {
		what   string
		d      *daemon
		budget time.Duration
	}{{"alone", alone, idleBudget}, {"scraped", scraped, scrapedBudget}} {
		took := used(t, a.d) - begin[i]
		resident, err := program.Resident(a.d.cmd.Process.Pid)
		must(t, err)
		t.Logf("%s: %s of processor time in %s, %.1f MB resident", a.what, took, idleFor, resident/1e6)
		if took > a.budget || resident > residentBudget {
			t.Errorf("%s it may use %s, and %.0f MB", a.what, a.budget, residentBudget/1e6)
		}
	}
}

// idler is an agent, built without the race detector, that has both certificates.
func idler(t *testing.T, name string, flags ...string) *daemon {
	t.Helper()
	n := newNode(t, shared(t))
	n.name += "-" + name
	n.dir = quietFolder(t)
	n.flags = append([]string{"--hostname-override=" + n.name, "--node-ip=192.0.2.10"}, flags...)
	n.program = plainProgram(t)
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	d := n.start()
	d.awaitStatus("serving: valid until")
	n.awaitJoined()
	return d
}

// quietFolder is one below bin/, not /tmp: the agent watches all folders above its files, and one where other tests are busy leaves it no
// rest.
func quietFolder(t *testing.T) string {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	must(t, err)
	dir, err := os.MkdirTemp(bin, "idle-") //nolint:usetesting // t.TempDir is below /tmp
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

func used(t *testing.T, d *daemon) time.Duration {
	t.Helper()
	took, err := program.CPU(d.cmd.Process.Pid)
	must(t, err)
	return took
}

// scrape reads a page as Prometheus does, over a connection that stays.
func scrape(t *testing.T, url string) {
	t.Helper()
	response, err := http.Get(url)
	must(t, err)
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	must(t, err)
	if response.StatusCode != http.StatusOK || !strings.Contains(string(page), "\nbootstrap_agent_ready 1\n") {
		t.Fatalf("%s: %s\n%s", url, response.Status, page)
	}
}
