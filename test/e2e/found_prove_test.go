package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
)

// prove makes a state, lets the agent find it, and holds what it did against the row of the table.
func (n *node) prove(c found.Cell, all *ledger) {
	n.t.Helper()
	row, ok := found.Expected(c)
	if !ok {
		n.t.Fatal("the table has no row for this")
	}
	n.furnish(c.File.Around)
	if c.Credential && !c.File.IsCredential {
		n.bootstrap(n.staticToken(controlplane.KubeletBootstrap))
	}
	n.put(c)
	all.open(n, c, row)
	before := n.look()
	d := n.start("--once", "--timeout="+patience(row).String(), "--serving-wait="+min(patience(row), 5*time.Second).String())
	grown := d.watchMemory()
	code := d.wait()
	n.keeps(n.bootstrapFile(), n.path(".bootstrap.kubeconfig.used"), n.path("elsewhere", "bootstrap.kubeconfig"), n.path("elsewhere", ".bootstrap.kubeconfig.used"))
	after := n.look()
	if code != row.Exit {
		n.t.Errorf("exit code %d, the row says %d", code, row.Exit)
	}
	n.checkSaid(c, row, d)
	n.checkEffort(d, <-grown)
	n.checkHarmless(c, row, before, after)
	n.checkReady(c, code, d, after)
	n.checkOutcome(c, row, before, after)
	if !n.t.Failed() {
		n.followUp(c, row, after)
	}
}

// patience is how long run --once tries: nothing will come of it where a person must mend something first.
func patience(row found.Row) time.Duration {
	if row.Exit == 1 || row.Exit == 4 {
		return 1500 * time.Millisecond
	}
	return 25 * time.Second
}

// checkSaid shows that one line, and only one, says what was found: the file and what is wrong with it. Where a row has no text,
// there is neither a warning nor an error.
func (n *node) checkSaid(c found.Cell, row found.Row, d *daemon) {
	n.t.Helper()
	if row.Says == "" {
		for line := range strings.Lines(d.log()) {
			if !strings.Contains(line, "level=INFO") {
				n.t.Errorf("there is nothing to say, and the agent says %s", line)
			}
		}
		return
	}
	lines := linesThatSay(row.Says, d.log())
	if len(lines) != 1 {
		n.t.Errorf("%d lines say %q, expected one: %q", len(lines), row.Says, slices.Collect(maps.Keys(lines)))
	}
	for line, times := range lines {
		if times > 1 && row.Outcome != found.Mended {
			n.t.Errorf("said %d times: %s", times, line)
		}
		n.checkReason(c, row, line)
	}
}

// varying is what differs between two lines that say the same.
var varying = regexp.MustCompile(`^time=\S+ | (again|at|next)=\S+|\.[A-Z2-7]{26}\.tmp`)

// linesThatSay returns the lines of the log with this text, and how often each was said. What an agent ends with counts when it has
// logged nothing of the kind.
func linesThatSay(text, log string) map[string]int {
	logged, last := map[string]int{}, map[string]int{}
	for line := range strings.Lines(log) {
		lines := last
		if strings.HasPrefix(line, "time=") {
			lines = logged
		}
		if strings.Contains(line, text) {
			lines[varying.ReplaceAllString(strings.TrimSpace(line), "")]++
		}
	}
	if len(logged) == 0 {
		return last
	}
	return logged
}

// checkReason shows that a line names the file, or the link that leads to it, and what is wrong with it.
func (n *node) checkReason(c found.Cell, row found.Row, line string) {
	n.t.Helper()
	if row.Names != "" {
		if !strings.Contains(line, row.Names) {
			n.t.Errorf("the line does not name %s: %s", row.Names, line)
		}
		return
	}
	names := []string{filepath.Base(c.File.Path), strings.TrimSuffix(strings.TrimPrefix(filepath.Base(c.File.Path), "."), ".used")}
	if c.File.Kind == found.Pair {
		names = append(names, names[0][:len("kubelet-client")]+"-current.pem")
	}
	contained := func(text string) bool { return strings.Contains(line, text) }
	if !slices.ContainsFunc(names, contained) {
		n.t.Errorf("the line names none of %q: %s", names, line)
	}
	if len(c.State.Says) > 0 && !slices.ContainsFunc(c.State.Says, contained) {
		n.t.Errorf("the line does not say that it is %s (%q): %s", c.State.What, c.State.Says, line)
	}
}

// watchMemory looks again and again at how much the agent has had resident, until it ends, and then tells the most, in MB. What
// the kernel tells of a process that has ended counts the one that started it, too.
func (d *daemon) watchMemory() <-chan int {
	most := make(chan int, 1)
	go func() {
		peak := 0
		for d.running() {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
			if kilobytes := peakIn(string(status)); strings.HasPrefix(string(status), "Name:\tbootstrap-agent\n") {
				peak = max(peak, kilobytes>>10)
			}
			time.Sleep(5 * time.Millisecond)
		}
		most <- peak
	}()
	return most
}

// checkEffort shows that nothing was read that is too big, and that the agent did not spin.
func (n *node) checkEffort(d *daemon, megabytes int) {
	n.t.Helper()
	if megabytes > 512 { // with the race detector
		n.t.Errorf("the agent grew to %d MB", megabytes)
	}
	if cpu := d.cmd.ProcessState.UserTime() + d.cmd.ProcessState.SystemTime(); cpu > 2*time.Second {
		n.t.Errorf("the agent computed for %s", cpu)
	}
}

// checkReady shows that the kubelet was let go when it has what it needs, or nothing can be done for it, and not otherwise.
func (n *node) checkReady(c found.Cell, code int, d *daemon, after look) {
	n.t.Helper()
	_, ready := d.ready()
	switch {
	case (code == 0 || code == 3 && !c.Credential) && !ready:
		n.t.Error("the kubelet was not told that it can start")
	case (code == 0 || code == 4 || code == 1 && ready && c.Credential) && after.kubelet != nil:
		n.t.Errorf("the kubelet was told that it can start, and cannot: %v", after.kubelet)
	}
}

// followUp goes on from there: what a person must do is done, or the agent is simply started again.
func (n *node) followUp(c found.Cell, row found.Row, after look) {
	n.t.Helper()
	switch row.Outcome {
	case found.Used, found.LeftAlone, found.PutBack:
		return
	case found.Waits, found.NotUsed:
		n.daemonGoesOn(c)
		return
	case found.Refused:
		if r := n.run([]string{"run"}); r.code != row.Exit {
			n.t.Errorf("the service ends with %d, expected %d", r.code, row.Exit)
		}
		return
	case found.Mended, found.Ended:
		n.mend(c)
	case found.Later:
		if os.Getenv("SOAK") == "" { // it takes a minute
			return
		}
		ctx, cancel := context.WithTimeout(n.t.Context(), 3*time.Minute)
		defer cancel()
		n.expect(n.finish(n.command(ctx, []string{"run", "--once"}, "--timeout=2m")), 0)
		return
	}
	if r := n.once("--timeout=25s"); r.code != 0 {
		n.t.Errorf("after another start: exit code %d\n%s", r.code, r.stderr)
	}
	if again := n.look(); again.kubelet != nil || again.temporary > after.temporary {
		n.t.Errorf("after another start: %+v", again)
	}
}

// daemonGoesOn shows that the service stays where run --once ends, lets the kubelet go, and joins as soon as there is a credential
// that can be used.
func (n *node) daemonGoesOn(c found.Cell) {
	n.t.Helper()
	d := n.start()
	d.awaitReady()
	must(n.t, os.RemoveAll(n.bootstrapFile()))
	n.bootstrap(n.staticToken(controlplane.KubeletBootstrap))
	eventually(n.t, "the node has joined and the credential is gone", func() bool {
		_, err := os.Lstat(n.bootstrapFile())
		return os.IsNotExist(err) && n.look().kubelet == nil
	})
	if code, _ := d.stop(); code != 0 {
		n.t.Errorf("the service ended with %d", code)
	}
}

// mend does what a person would do about the file: takes a thing away that stands in its place, gives a file back to root.
func (n *node) mend(c found.Cell) {
	n.t.Helper()
	path := n.path(c.File.Path)
	switch c.State.Name {
	case "unreadable", "of another user", "of another user, readable":
		must(n.t, os.Chown(path, 0, 0))
		must(n.t, os.Chmod(path, 0o600))
	case "immutable":
		n.setImmutable(path, false)
	default:
		must(n.t, os.RemoveAll(path))
	}
	if !c.Credential { // in case that there is no identity
		n.bootstrap(n.staticToken(controlplane.KubeletBootstrap))
	}
}

// open notes what requests a state may cost.
func (l *ledger) open(n *node, c found.Cell, row found.Row) {
	a := &account{cell: c, ours: n.sent, client: allowance{0, 0}, serving: allowance{0, 0}}
	switch row.Outcome {
	case found.Asked:
		a.client = allowance{1, 1}
	case found.AskedServing:
		a.serving = allowance{1, 1}
	case found.Joins:
		a.client, a.serving = allowance{1, 1}, allowance{1, 1}
	case found.Waits, found.NotUsed, found.Mended, found.Ended, found.Later:
		a.client, a.serving = allowance{0, 1}, allowance{0, 1}
	case found.Resumed:
		if c.File.Around == found.Fresh { // its serving certificate is still missing
			a.serving = allowance{1, 1}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes[n.name] = a
}
