package agent

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// machineClock is a machine's two clocks: the monotonic one, which goes on by Step alone and by which timers fire, and the wall clock,
// which also jumps: by NTP, by a person, or by a suspend, in which the monotonic one stands still.
type machineClock struct {
	*testingclock.FakeClock
	begin time.Time
	mu    sync.Mutex
	jumps time.Duration
}

func newMachineClock() *machineClock {
	return &machineClock{FakeClock: testingclock.NewFakeClock(noon), begin: noon}
}

func (c *machineClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	passed := c.FakeClock.Now().Sub(c.begin)
	return withMonotonic(c.begin.Add(passed+c.jumps), passed)
}

// wall is Now as everybody else on the machine, and the API server, has it.
func (c *machineClock) wall() time.Time { return c.Now().Round(0) }

func (c *machineClock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// jump moves the wall clock alone.
func (c *machineClock) jump(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jumps += by
}

// withMonotonic is a time as time.Now returns it: two of them are compared by their monotonic readings. Only package time itself can
// make one, so this knows its layout (src/time/time.go), and TestTheClocksOfAMachineGoTheirOwnWays that it is right.
func withMonotonic(wall time.Time, monotonic time.Duration) time.Time {
	const hasMonotonic, secondsFrom1885 = 1 << 63, 2682288000 // from 1885 to 1970
	made := struct {
		wall uint64
		ext  int64
		loc  *time.Location
	}{hasMonotonic | uint64(wall.Unix()+secondsFrom1885)<<30 | uint64(wall.Nanosecond()), int64(monotonic) + 1, time.Local} //nolint:gosec // after 1885
	return *(*time.Time)(unsafe.Pointer(&made)) //nolint:gosec // see above
}

func TestTheClocksOfAMachineGoTheirOwnWays(t *testing.T) {
	c := newMachineClock()
	before := c.Now()
	c.Step(time.Minute)
	c.jump(time.Hour)
	after := c.Now()
	if !before.Equal(noon) || after.Sub(before) != time.Minute || after.Round(0).Sub(before.Round(0)) != time.Hour+time.Minute || c.Since(before) != time.Minute {
		t.Errorf("%s later, or %s by the wall clock: %s", after.Sub(before), after.Round(0).Sub(before.Round(0)), after)
	}
}

// twin is a node whose agent runs by a machine's clocks, against an API server that has the same time.
type twin struct {
	t     *testing.T
	clock *machineClock
	on    *machine
	api   *apiStandIn
	said  *lockedBuffer
	stop  func()
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(text)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// life is how long the twin's certificates are good for: they are followed by others after 126 to 162 minutes.
const life = 3 * time.Hour

func newTwin(t *testing.T) *twin {
	t.Helper()
	w := &twin{t: t, clock: newMachineClock(), on: newMachine(t), said: &lockedBuffer{}}
	w.api = newAPIStandIn(t)
	w.api.validity, w.api.now = life, w.clock.wall
	m := newMaterial(t)
	m.endpoint.Server = w.api.url
	m.furnish(t, w.on, disk{client: "missing", older: "missing", clientPending: "none", serving: "missing", servingPending: "none", kubeconfig: true})
	w.on.dir.Disk = w.disk()
	must(t, w.on.dir.Commit(certdir.Client, twinPair(t, m.client.Wish, m, noon), noon))
	must(t, w.on.dir.CommitServing(twinPair(t, m.servingRequest.Wish, m, noon), noon))
	w.start()
	t.Cleanup(func() {
		w.stop()
		if t.Failed() {
			t.Logf("the agent said:\n%s", w.said)
		}
	})
	return w
}

func twinPair(t *testing.T, wish csr.Wish, m *material, from time.Time) []byte {
	t.Helper()
	p := m.request(t, wish)
	usage := x509.ExtKeyUsageClientAuth
	if wish.Kind == csr.Serving {
		usage = x509.ExtKeyUsageServerAuth
	}
	p.CertificatePEM = theCA().signFor(life, p.RequestPEM, usage, from.Add(-time.Minute))
	return p.PairPEM()
}

// disk gives each file the wall clock's time, as the kernel does, unless it is given another.
func (w *twin) disk() durable.Disk {
	dated := map[string]bool{}
	return durable.Disk{Before: func(op durable.Op) error {
		switch info, err := os.Lstat(op.From); {
		case op.Call == "utimes":
			dated[op.Path] = true
		case op.Call == "rename" && err == nil && info.Mode().IsRegular() && !dated[op.From]:
			return os.Chtimes(op.From, w.clock.wall(), w.clock.wall())
		}
		return nil
	}}
}

func (w *twin) start() {
	ctx, cancel := context.WithCancel(context.Background())
	ended, ready := make(chan error, 1), make(chan struct{}, 1)
	notify := func(state string) {
		if state == "READY=1" {
			ready <- struct{}{}
		}
	}
	a := New(Options{Config: w.on.cfg, Disk: w.disk(), Clock: clock.WithTicker(w.clock), Log: slog.New(slog.NewTextHandler(w.said, nil)), Notify: notify})
	go func() { ended <- a.Run(ctx) }()
	<-ready
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Errorf("the agent ended with %v", err)
		}
	})
}

// pass lets time pass, by both clocks: five seconds at a time, each long enough for the agent to do what is to be done then.
func (w *twin) pass(d time.Duration) {
	w.t.Helper()
	for ; d > 0; d -= 5 * time.Second {
		w.rest()
		w.clock.Step(min(d, 5*time.Second))
	}
	w.rest()
}

// rest waits until the agent waits: for a timer of its own, and for a while, since a request may be under way. The while is counted in
// looks and not in time: a machine that is busy with something else holds up the agent and the looks alike.
func (w *twin) rest() {
	w.t.Helper()
	quiet := 0
	for limit := time.Now().Add(20 * time.Second); quiet < 4; time.Sleep(time.Millisecond) {
		quiet++
		if !w.clock.HasWaiters() || w.api.busy.Load() > 0 {
			quiet = 0
		}
		if time.Now().After(limit) {
			w.t.Fatal("the agent does not come to rest")
		}
	}
}

// sleep is a long time in which nothing is due: a minute at a time.
func (w *twin) sleep(d time.Duration) {
	w.t.Helper()
	for ; d > 0; d -= time.Minute {
		w.rest()
		w.clock.Step(min(d, time.Minute))
	}
	w.rest()
}

// await waits for what takes requests, and no time.
func (w *twin) await(what string, check func() bool) {
	w.t.Helper()
	for limit := time.Now().Add(20 * time.Second); !check(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			w.t.Fatalf("in vain: %s", what)
		}
	}
}

// received are when the certificates of a kind were asked for, by the wall clock.
func (w *twin) received(kind csr.Kind) (all []time.Time) {
	w.t.Helper()
	for _, name := range w.api.names("worker-1") {
		if object := w.api.find(name); object.Spec.SignerName == kind.Signer() {
			all = append(all, object.CreationTimestamp.Time)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all
}

func (w *twin) leaf(kind certdir.Kind) *x509.Certificate {
	w.t.Helper()
	pair, err := w.on.dir.Read(kind)
	must(w.t, err)
	return pair.Leaf
}

// Whatever makes the wall clock pass a deadline, the certificates are followed by others within a minute of the machine's own time.
func TestTheWallClockMayPassADeadlineInWhateverWay(t *testing.T) {
	t.Parallel()
	for name, pass := range map[string]func(w *twin){
		"by itself":          func(w *twin) { w.sleep(165 * time.Minute) },
		"in a step of NTP's": func(w *twin) { w.clock.jump(165 * time.Minute) },
		"in a suspend of an hour": func(w *twin) {
			w.sleep(110 * time.Minute)
			w.clock.jump(time.Hour)
		},
		"in small steps, as of a virtual host": func(w *twin) {
			for range 55 {
				w.clock.jump(3 * time.Minute)
				w.pass(time.Second)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTwin(t)
			w.rest()
			before := map[certdir.Kind]*x509.Certificate{certdir.Client: w.leaf(certdir.Client), certdir.Serving: w.leaf(certdir.Serving)}
			pass(w)
			woke := w.clock.wall()
			w.pass(time.Minute)
			for kind, prefix := range map[csr.Kind]certdir.Kind{csr.Client: certdir.Client, csr.Serving: certdir.Serving} {
				w.await("another "+string(kind)+" certificate", func() bool { return !w.leaf(prefix).Equal(before[prefix]) })
				asked := w.received(kind)
				if len(asked) != 1 || asked[0].After(woke.Add(time.Minute)) {
					t.Errorf("%s: asked for at %v, it was %s when the clock had passed the deadline", kind, asked, woke)
				}
			}
		})
	}
}

// A clock that goes wrong, and is put right, costs neither a certificate nor a request.
func TestAClockThatGoesWrongForAWhileCostsNothing(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{
		"before the certificates begin": -2 * time.Hour, "a year back": -365 * 24 * time.Hour, "to 1970": noon.Add(-time.Hour).Sub(time.Unix(0, 0)) * -1,
		"past their end": 4 * time.Hour, "a year ahead": 365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTwin(t)
			w.pass(time.Minute)
			files := w.pairs()
			w.clock.jump(by)
			w.pass(3 * time.Minute)
			w.clock.jump(-by)
			w.pass(3 * time.Minute)
			if now := w.pairs(); now != files {
				t.Errorf("the files have changed:\n%s\nbefore:\n%s", now, files)
			}
			if asked := append(w.received(csr.Client), w.received(csr.Serving)...); len(asked) > 0 {
				t.Errorf("asked for at %v", asked)
			}
		})
	}
}

// pairs are the names, times and contents of the pairs.
func (w *twin) pairs() (text string) {
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		pair, err := w.on.dir.Read(kind)
		must(w.t, err)
		text += fmt.Sprintln(filepath.Base(pair.File), pair.ModTime, pair.Leaf.SerialNumber)
	}
	return text
}

// While nobody approves, or somebody has denied, a clock that jumps makes no second request before its time.
func TestAClockThatJumpsWhileARequestWaitsMakesNoOther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		denied bool
		by     time.Duration
		most   int
	}{{false, -time.Hour, 1}, {false, 10 * time.Minute, 1}, {true, -time.Hour, 1}, {true, 20 * time.Minute, 2}, {true, 5 * time.Minute, 1}} {
		t.Run(fmt.Sprintf("denied %v, by %s", c.denied, c.by), func(t *testing.T) {
			t.Parallel()
			w := newTwin(t)
			w.api.holds.Store(!c.denied)
			w.api.denies.Store(c.denied)
			must(t, w.on.dir.AskToRotate(certdir.Client))
			w.pass(30 * time.Second)
			w.await("a request", func() bool { return len(w.received(csr.Client)) == 1 })
			w.pass(30 * time.Second)
			before := w.pairs()
			w.clock.jump(c.by)
			w.pass(3 * time.Minute)
			if asked := len(w.received(csr.Client)); asked != c.most || w.pairs() != before {
				t.Errorf("%d requests, expected %d", asked, c.most)
			}
			if c.denied {
				return
			}
			w.api.release()
			w.pass(6 * time.Minute)
			w.await("the certificate comes into use", func() bool { return w.pairs() != before })
			if asked := len(w.received(csr.Client)); asked != 1 {
				t.Errorf("%d requests in all", asked)
			}
		})
	}
}

// When a certificate is to be followed by another is a property of its file: neither a restart, nor a copy, nor a link made anew moves it.
func TestNothingThatKeepsAFilesTimeMovesAPlannedRotation(t *testing.T) {
	t.Parallel()
	w := newTwin(t)
	w.sleep(20 * time.Minute)
	planned := w.planned()
	for name, do := range map[string]func(){
		"a restart": func() {
			w.stop()
			w.start()
		},
		"a copy of the folder with its times": func() {
			w.stop()
			copied := w.on.cfg.CertDir + ".copy"
			must(t, os.Rename(w.on.cfg.CertDir, copied))
			copyFolder(t, copied, w.on.cfg.CertDir, time.Time{})
			w.start()
		},
		"links made anew": func() {
			for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
				target, err := os.Readlink(w.on.dir.Current(kind))
				must(t, err)
				must(t, os.Remove(w.on.dir.Current(kind)))
				must(t, os.Symlink(target, w.on.dir.Current(kind)))
			}
		},
		"a pair that is healed": func() {
			must(t, os.Truncate(mustEval(t, w.on.dir.Current(certdir.Client)), 10))
			w.pass(time.Minute)
		},
		"a link that is healed": func() {
			must(t, os.Remove(w.on.dir.Current(certdir.Client)))
			w.pass(2 * time.Minute) // what was healed before is healed more slowly
		},
	} {
		do()
		w.pass(10 * time.Second)
		if now := w.planned(); now != planned {
			t.Errorf("%s: planned are %s, and were %s", name, now, planned)
		}
	}
	if asked := append(w.received(csr.Client), w.received(csr.Serving)...); len(asked) > 0 {
		t.Errorf("asked for at %v", asked)
	}
}

// A folder that was copied without its times is as good as new: that costs one rotation early at most, and never the certificate.
func TestACopyWithoutItsTimesCostsOneEarlyRotationAtMost(t *testing.T) {
	t.Parallel()
	for name, changed := range map[string]func(w *twin) time.Time{
		"copied just now":          func(w *twin) time.Time { return w.clock.wall() },
		"copied by a clock ahead":  func(*twin) time.Time { return noon.Add(1000 * time.Hour) },
		"copied by a clock behind": func(*twin) time.Time { return time.Unix(0, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTwin(t)
			w.sleep(30 * time.Minute)
			w.stop()
			copied := w.on.cfg.CertDir + ".copy"
			must(t, os.Rename(w.on.cfg.CertDir, copied))
			copyFolder(t, copied, w.on.cfg.CertDir, changed(w))
			w.start()
			w.sleep(150 * time.Minute)
			for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
				if asked := w.received(kind); len(asked) != 1 || asked[0].After(noon.Add(life)) {
					t.Errorf("%s: asked for at %v", kind, asked)
				}
			}
		})
	}
}

func mustEval(t *testing.T, link string) string {
	t.Helper()
	file, err := filepath.EvalSymlinks(link)
	must(t, err)
	return file
}

// copyFolder is cp -a or, with a time at which that was done, cp -r.
func copyFolder(t *testing.T, from, to string, at time.Time) {
	t.Helper()
	must(t, os.Mkdir(to, 0o700))
	entries, err := os.ReadDir(from)
	must(t, err)
	for _, entry := range entries {
		source, target := filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())
		if link, err := os.Readlink(source); err == nil {
			must(t, os.Symlink(link, target))
			continue
		}
		content, err := os.ReadFile(source)
		must(t, err)
		must(t, os.WriteFile(target, content, 0o600))
		info, err := entry.Info()
		must(t, err)
		modified := at
		if modified.IsZero() {
			modified = info.ModTime()
		}
		must(t, os.Chtimes(target, modified, modified))
	}
}

// planned are the rotations that status would show.
func (w *twin) planned() string {
	a := New(Options{Config: w.on.cfg, Clock: w.clock, Log: slog.New(slog.DiscardHandler)})
	o := a.observe()
	var all []string
	for _, pair := range []*certdir.Pair{o.Client.Pair, o.Serving.Pair} {
		if pair == nil {
			all = append(all, "none")
			continue
		}
		all = append(all, o.RotateAt(pair).UTC().Format(time.RFC3339Nano))
	}
	return strings.Join(all, ", ")
}
