package agent

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// refusals are what the kernel says when a disk takes nothing, or no more.
var refusals = []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EDQUOT, syscall.EMFILE}

// extent is how much of the disk is in trouble, from the operation at which it begins.
type extent string

const (
	thisOnce  extent = "this operation once"
	allOfKind extent = "all of its kind, for minutes"
	all       extent = "everything, for minutes"
)

var extents = []extent{thisOnce, allOfKind, all}

const (
	// troubleLasts is longer than any pause between two attempts.
	troubleLasts = 90 * time.Second
	// soonAfter is within how long after its end the agent must have gone on. A credential that was to be deleted is an hour's matter.
	soonAfter = 2*time.Minute + disposeAgain
	// mostAttempts is far more than the retry policy makes within troubleLasts, for all three concerns together: six attempts within
	// half a minute and then one in half a minute each. One a second would be 90.
	mostAttempts = 50
	// mostPairs of a kind: the current one, the one before, one that was found, and one that is just becoming current.
	mostPairs = 4
)

// diskTrouble begins at an operation of a way to write.
type diskTrouble struct {
	writing writing
	at      int
	// call is the operation's, as it was recorded.
	call   string
	errno  syscall.Errno
	extent extent
}

func (d diskTrouble) String() string {
	return fmt.Sprintf("%s: %s at operation %d (%s), %s", d.writing.name, d.errno, d.at, d.call, d.extent)
}

// troubled is a node whose disk gets into trouble.
type troubled struct {
	*recording
	*settler
	trouble diskTrouble
	calls   int
	begin   time.Time
	// refused are the times at which something was refused; the first operation and its error are kept.
	refused []time.Time
	first   *fs.PathError
	kind    string
}

func newTroubled(t *testing.T, api *apiStandIn, node string, d diskTrouble) *troubled {
	t.Helper()
	j := newJoiner(t, api, node, false)
	tr := &troubled{recording: &recording{joiner: j, api: api, writing: d.writing}, trouble: d}
	d.writing.before(tr.recording)
	j.cfg.Once = false
	j.log.Reset()
	return tr
}

// before refuses what the trouble is about, and looks at everything else just before it is done.
func (tr *troubled) before(op durable.Op) error {
	now := tr.clock.Now()
	call := tr.calls
	tr.calls++
	if call == tr.trouble.at {
		tr.begin, tr.kind = now, op.Call
	}
	lasts := !tr.begin.IsZero() && now.Before(tr.begin.Add(troubleLasts))
	if call == tr.trouble.at || lasts && (tr.trouble.extent == all || tr.trouble.extent == allOfKind && op.Call == tr.kind) {
		err := &fs.PathError{Op: op.Call, Path: op.Path, Err: tr.trouble.errno}
		if tr.first == nil {
			tr.first = err
		}
		tr.refused = append(tr.refused, now)
		return err
	}
	tr.joiner.expectSafe(op)
	return nil
}

// boots starts the agent as a service manager would: again, a moment after it has ended.
func (tr *troubled) boots(t *testing.T) {
	t.Helper()
	clock := testingclock.NewFakeClock(time.Now())
	for tr.settler = newSettlerAt(t, tr.joiner, clock, tr.before); ; clock.Step(5 * time.Second) {
		err := tr.agent.open()
		if err == nil {
			tr.close = func() { tr.agent.lock.Close() }
			return
		}
		if fmt.Fprintln(&tr.log, "level=ERROR ended:", err); tr.first == nil {
			t.Fatalf("ends with %v, though nothing was refused", err)
		}
	}
}

// newSettlerAt is for an agent that tells the time from this clock, and is not open yet.
func newSettlerAt(t *testing.T, j *joiner, clock *testingclock.FakeClock, before func(durable.Op) error) *settler {
	t.Helper()
	a := New(Options{Config: j.cfg, Clock: clock, Disk: durable.Disk{Before: before}, Log: slog.New(slog.NewTextHandler(&j.log, nil)), UserAgent: "test"})
	a.started = clock.Now()
	return &settler{t: t, agent: a, clock: clock, close: func() {}}
}

// live lets the agent live through its trouble until everything is done.
func (tr *troubled) live(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	tr.boots(t)
	defer func() {
		cancel()
		tr.agent.tasks.Wait()
		tr.close()
	}()
	tr.ctx = ctx
	tr.rests(tr.settle())
	tr.agent.sweep(tr.agent.observe())
	for ; !t.Failed(); tr.rests(tr.nextAttempt()) {
		tr.expectSafe()
		tr.expectNotFilled(t)
		if tr.finished() {
			return
		}
		if ended := tr.begin.Add(troubleLasts); !tr.begin.IsZero() && tr.clock.Now().After(ended.Add(soonAfter)) {
			t.Errorf("%s after the end of the trouble the node has not what it should", tr.clock.Since(ended))
		} else if tr.begin.IsZero() && tr.clock.Since(tr.agent.started) > time.Minute {
			t.Error("without any trouble the node has not what it should")
		}
	}
}

// nextAttempt moves the clock to the next time at which something is tried again.
func (tr *troubled) nextAttempt() bool {
	var next time.Duration
	for _, m := range []memory{tr.agent.client, tr.agent.serving, tr.agent.credential.memory} {
		if wait := m.retryAt.Sub(tr.clock.Now()); wait > 0 && (next == 0 || wait < next) {
			next = wait
		}
	}
	return tr.later(next)
}

// finished says whether there is nothing left to do.
func (tr *troubled) finished() bool {
	o := tr.agent.observe()
	served := o.Serving.Issued() && o.Serving.Linked && o.Serving.Pending == nil
	if tr.cfg.Serving == string(serving.Off) {
		served = !tr.dir.Releasable()
	}
	return o.HasIdentity() && o.Client.Pending == nil && o.Bootstrap == nil && len(o.Aside) == 0 && served
}

// expectNotFilled shows that attempts do not leave more and more files behind.
func (tr *troubled) expectNotFilled(t *testing.T) {
	t.Helper()
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		if pairs, _ := filepath.Glob(filepath.Join(tr.cfg.CertDir, string(kind)+"-2*")); len(pairs) > mostPairs {
			t.Errorf("there are %d pairs of a kind: %q", len(pairs), pairs)
		}
	}
}

// expectSaid shows that a line says what was refused: operation, path, cause, and what to do.
func (tr *troubled) expectSaid(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(tr.log.String()) {
		loud := strings.Contains(line, "level=ERROR") || strings.Contains(line, "level=WARN")
		if loud && strings.Contains(line, tr.first.Error()) && strings.Contains(line, durable.Remedy(tr.trouble.errno)) {
			return
		}
	}
	t.Errorf("no line says %q and %q", tr.first, durable.Remedy(tr.trouble.errno))
}

// expectPatient shows that attempts are as far apart as the retry policy says, and each is said once.
func (tr *troubled) expectPatient(t *testing.T) (attempts int) {
	t.Helper()
	times := slices.Clone(tr.refused)
	attempts = len(slices.CompactFunc(times, time.Time.Equal))
	if attempts > mostAttempts {
		t.Errorf("%d attempts within %s", attempts, troubleLasts)
	}
	if lines := strings.Count(tr.log.String(), "level=ERROR"); lines > 3*attempts+3 {
		t.Errorf("%d lines of errors about %d attempts", lines, attempts)
	}
	return attempts
}

func (tr *troubled) expectEnd(t *testing.T) {
	t.Helper()
	if tr.writing.ends != nil {
		tr.writing.ends(tr.recording)
	} else {
		tr.expectJoined(tr.api)
	}
	expectKubeletUnharmed(t, tr.machine)
	if o := status.Observe(tr.cfg, time.Now()); o.Client.Unread != nil || o.Serving.Unread != nil {
		t.Errorf("something cannot be read at the end: %v, %v", o.Client.Unread, o.Serving.Unread)
	}
}

// troubles are all of them: every operation of every way to write, with every refusal, of every extent. Without SOAK they are a
// sample in which each kind of operation comes up with each refusal and each extent, and each way with each extent.
func troubles(t *testing.T, random *rand.Rand) []diskTrouble {
	t.Helper()
	api := newAPIStandIn(t)
	api.validity = 24 * time.Hour
	var chosen []diskTrouble
	for i, w := range writings(t) {
		calls := callsOf(t, api, fmt.Sprintf("recorded-%d", i), w)
		for at, call := range calls {
			for _, errno := range refusals {
				for _, extent := range extents {
					chosen = append(chosen, diskTrouble{w, at, call, errno, extent})
				}
			}
		}
	}
	random.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
	if soak() {
		return chosen
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(chosen, func(d diskTrouble) bool {
		old := true
		for _, sign := range []string{
			fmt.Sprint(d.call, d.errno), fmt.Sprint(d.call, d.extent), fmt.Sprint(d.writing.name, d.extent),
		} {
			old = old && seen[sign]
			seen[sign] = true
		}
		return old
	})
}

// callsOf are the operations of a way to write when nothing is in trouble.
func callsOf(t *testing.T, api *apiStandIn, node string, w writing) []string {
	t.Helper()
	var calls []string
	tr := newTroubled(t, api, node, diskTrouble{writing: w, at: -1})
	defer os.RemoveAll(tr.top)
	recorded := func(op durable.Op) error {
		calls = append(calls, op.Call)
		return tr.before(op)
	}
	tr.settler = newSettlerAt(t, tr.joiner, testingclock.NewFakeClock(time.Now()), recorded)
	must(t, tr.agent.open())
	defer func() { tr.agent.lock.Close() }()
	tr.ctx = t.Context()
	for tr.rests(tr.settle()); !tr.finished() && !t.Failed(); tr.rests(tr.later(0)) {
		if tr.clock.Since(tr.agent.started) > 5*time.Minute {
			t.Fatalf("%s: not done without any trouble:\n%s", w.name, tr.log.String())
		}
	}
	tr.agent.tasks.Wait()
	return calls
}

func TestADiskInTroubleLosesNothingIsSaidAndIsGotOverByItself(t *testing.T) {
	t.Parallel()
	all := troubles(t, sample.Random(t))
	for shard, name := range []string{"one half", "the other half"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newAPIStandIn(t)
			api.validity = 24 * time.Hour
			refused, attempts, runs := 0, 0, 0
			for i := shard; i < len(all); i += 2 {
				tr := newTroubled(t, api, fmt.Sprintf("trouble-%d", i), all[i])
				tr.live(t)
				tr.expectEnd(t)
				if tr.first != nil {
					tr.expectSaid(t)
					attempts += tr.expectPatient(t)
				}
				tr.report(all[i].String())
				refused, runs = refused+len(tr.refused), runs+1
				os.RemoveAll(filepath.Clean(tr.top))
			}
			t.Logf("%d troubles, %d operations refused in %d attempts", runs, refused, attempts)
		})
	}
}
