// Package agent is the story: the only loop, which looks at what is there, decides what to do next about the client
// certificate, the serving certificate and the bootstrap credential, does it, and waits until something changes.
//
// Only the loop's own goroutine writes to the disk or changes what is remembered. What takes time (asking the API server,
// looking up an address) runs beside it and reports back with a function that the loop calls. Decisions are pure functions of
// what was observed and remembered (decide.go); a restart at any point observes the same and goes on.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Options are what the agent is given by its surroundings.
type Options struct {
	Config config.Config
	Disk   durable.Disk
	Clock  clock.WithTicker
	Log    *slog.Logger
	// Notify tells the service manager (sd_notify); nil: nobody listens.
	Notify func(state string)
	// WatchdogEvery is how often the service manager wants to hear from the loop; 0: never.
	WatchdogEvery time.Duration
	// UserAgent appears in the API server's audit log.
	UserAgent string
	// RuntimeDirectory is systemd's $RUNTIME_DIRECTORY, a folder that lasts for a boot; empty: what an earlier process of this boot did is
	// not known.
	RuntimeDirectory string
	// Metrics is told of everything; nil: nobody is.
	Metrics Metrics
	// MachineIDFile is where this machine's ID is, [node.MachineIDFile]; empty: it is not known, and so no other machine's node can be told.
	MachineIDFile string
	// Proc is where running kubelets are looked for, [node.Proc]; empty: nowhere.
	Proc string
}

// Agent keeps the certificates of one node. Make one with [New], and call Run once.
type Agent struct {
	Options
	cfg config.Config
	dir certdir.Dir
	log *slog.Logger

	started    time.Time
	client     memory
	serving    memory
	credential credentialMemory
	addresses  addressMemory
	registered registeredMemory
	served     servedMemory
	discovery  discoveryMemory
	following  followingMemory
	kubelets   kubeletsMemory
	version    versionMemory
	identity   *identity
	keep       keepsake
	files      memory // of what is written again
	watcher    *rotate.Watcher
	lock       *os.File
	fatal      error
	synced     bool                              // see syncFound
	noted      struct{ server, local time.Time } // the API server's time at a local one
	stages     stages
	said       map[string]string
	counted    map[fault]bool
	refused    string // why the API server does not accept the node's identity, if that was its last word
	observer   status.Observer
	observed   string // the stamp of what was last looked at

	tasks  sync.WaitGroup
	events chan func()
}

// identity is a connection to the API server as the node itself, kept as long as pair and endpoint stay the same.
type identity struct {
	key string
	api *apiserver.Client
}

// New returns an agent that has done nothing yet.
func New(options Options) *Agent {
	if options.Notify == nil {
		options.Notify = func(string) {}
	}
	if options.Metrics == nil {
		options.Metrics = unheard{}
	}
	return &Agent{
		Options:    options,
		cfg:        options.Config,
		dir:        certdir.Dir{Path: options.Config.CertDir, Disk: options.Disk},
		log:        options.Log,
		client:     memory{name: csr.Client},
		serving:    memory{name: csr.Serving},
		registered: registeredMemory{memory: memory{name: csr.Serving}},
		said:       map[string]string{},
		counted:    map[fault]bool{},
		events:     make(chan func(), 16), // a task goes on while the loop is busy with the disk
	}
}

// Run does the agent's work until ctx ends, or with --once until there is a verdict. The error is an [*ExitError], but for nil.
func (a *Agent) Run(ctx context.Context) error {
	a.started = a.Clock.Now()
	if err := a.open(); err != nil {
		return err
	}
	defer func() { a.lock.Close() }() // it may be another one by then
	defer a.disconnect()
	a.findStarted()
	a.watcher = rotate.Watch()
	defer a.watcher.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer a.tasks.Wait()
	defer cancel()
	return a.loop(ctx)
}

// open makes sure of the cert-dir, of being alone with it, and that what stands there does the kubelet no harm.
func (a *Agent) open() error {
	if a.cfg.Once {
		if o := a.observe(); o.BadCredential() {
			return exit(2, o.BootstrapErr)
		}
	}
	if err := a.dir.Open(); err != nil {
		return exit(2, fmt.Errorf("cert-dir: %w", err))
	}
	lock, err := a.dir.Lock(a.holder())
	if err != nil {
		return exit(1, durable.WithRemedy(err))
	}
	a.lock = lock
	a.repairLinks()
	return nil
}

// holder is what the lock file says.
func (a *Agent) holder() string { return fmt.Sprintf("pid %d", os.Getpid()) }

// repairLinks says whether there was anything to repair, and what.
func (a *Agent) repairLinks() bool {
	repaired, err := a.dir.RepairLinks()
	for _, done := range repaired {
		a.log.Info("repaired the kubelet's serving links", "done", done)
	}
	if err != nil {
		a.diskFailed(&a.files, "repair the kubelet's serving links", err)
	}
	return len(repaired) > 0 && err == nil
}

const (
	// lookEvery is how often the files are looked at for a change where nothing tells of it.
	lookEvery = time.Second
	// changesTake is how long after a change the files are looked at: changes come in groups, and may go on and on.
	changesTake = 10 * time.Millisecond
	// aliveEvery is how often the loop says that it goes round, while it waits; until the kubelet can start, twice as often.
	aliveEvery = 20 * time.Second
	// observeEvery is how often everything is read again, in case a change was missed, and for the wall clock.
	observeEvery = time.Minute
)

func (a *Agent) loop(ctx context.Context) error {
	for sweepAt := a.Clock.Now(); ; {
		o := a.observe()
		a.noticeCredential(o)
		a.noticeToken(o)
		for a.act(ctx, o) {
			a.stages.alive(a) // a slow disk is no hang, as long as each step has an end
			o = a.observe()
		}
		a.keepLock()
		if a.fatal != nil {
			return a.fatal
		}
		quiet := a.keep.reset.IsZero() && o.Client.Unread == nil && o.Serving.Unread == nil && a.files.failure == ""
		if quiet && !o.Now.Before(sweepAt) { // again and again, for what a killed agent has just left is too young at the start
			sweepAt = o.Now.Add(sweepEvery)
			if o.Now.Sub(a.started) < observeEvery {
				sweepAt = o.Now.Add(observeEvery)
			}
			a.sweep(o)
		}
		a.report(o)
		if a.cfg.Once {
			if done, err := a.verdict(o); done {
				return err
			}
		}
		if err := a.wait(ctx, o); err != nil {
			return a.stop(ctx)
		}
	}
}

// act does the next step of each concern and says whether any of them changed something that must be looked at again.
func (a *Agent) act(ctx context.Context, o status.Observed) bool {
	if a.fatal != nil {
		return false
	}
	if a.heal(o) || a.settleRotateNow(o) {
		return true
	}
	if a.actClient(ctx, o) { // the rest goes by what is there then: another identity perhaps
		return true
	}
	serving := a.actServing(ctx, o)
	credential := a.actCredential(ctx, o)
	a.discover(ctx, o)
	followed := a.followCA(ctx, o)
	a.actServed(ctx, o)
	a.findKubelets(ctx, o)
	a.findVersion(ctx, o)
	return serving || credential || followed
}

// stop ends the agent on a signal; whatever is under way is found again by the next start.
func (a *Agent) stop(context.Context) error {
	a.Notify("STOPPING=1")
	a.log.Info("stopping; the next start goes on from here")
	if a.cfg.Once {
		return exit(1, errors.New("interrupted before the node had its certificates; run again to go on"))
	}
	return nil
}

func (a *Agent) observe() status.Observed {
	a.observed = a.stamp() // before it is read: what changes meanwhile is looked at again
	o := a.observer.Observe(a.cfg, a.Clock.Now())
	a.fillDiscovered(&o)
	a.client.noteMismatch(o.ForOtherNode(), o.Now)
	o.Kubelets = a.kubelets.found
	a.noteLosses(&o)
	a.client.compareWish(o.Client.Pending, a.clientAim(o).wish, o.Now)
	a.serving.compareWish(o.Serving.Pending, a.servingWish(o), o.Now)
	a.noteLacking(o)
	a.client.noteUnread(o.Client.Unread)
	a.serving.noteUnread(o.Serving.Unread)
	return o
}

// task runs work beside the loop; the function that it returns is called by the loop. One task at a time for each memory.
func (a *Agent) task(ctx context.Context, m *memory, work func(context.Context) func()) {
	ctx, cancel := context.WithCancel(ctx)
	m.running, m.cancel = true, cancel
	m.generation++
	generation := m.generation
	a.tasks.Go(func() {
		defer cancel()
		report := work(ctx)
		a.send(ctx, func() {
			if m.generation == generation {
				m.running = false
				report()
			}
		})
	})
}

// abandon ends the task of m and makes sure that it reports nothing any more.
func (m *memory) abandon() {
	if m.running {
		m.cancel()
	}
	m.running = false
	m.generation++
}

// send hands a report to the loop, unless what it is about was cancelled.
func (a *Agent) send(ctx context.Context, report func()) {
	select {
	case a.events <- report:
	case <-ctx.Done():
	}
}
