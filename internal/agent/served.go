package agent

import (
	"context"
	"crypto/x509"
	"log/slog"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

const (
	// servedFirst and servedLast are the pauses between two looks at what the kubelet serves.
	servedFirst, servedLast = time.Second, time.Minute
	// servedLate is when a kubelet should have taken a new pair. One that watches its files does within a second.
	servedLate = 5 * time.Minute
	// servedQuiet is for how long a kubelet is looked for after the agent's start, when nothing was swapped: one that comes later reads what is there.
	servedQuiet = time.Minute
)

// servedMemory is what is remembered of the certificate that the kubelet serves.
type servedMemory struct {
	memory
	// leaf is the one that it ought to have taken by now; nil: nothing is to be found out.
	leaf *x509.Certificate
	// before is the one that it served until then, whoever made that; nil: none is known.
	before *x509.Certificate
	since  time.Time
	pause  time.Duration
	// looked: it was found out, or tried, once in this process's life.
	looked bool
	// quiet: it is about a pair that was there before this process, of which there is nothing to say unless the kubelet has not taken it.
	quiet bool
	// taken says whether the kubelet serves what is on the disk; nil: not known.
	taken *bool
}

// watchServed begins to find out whether the kubelet has taken a pair that has just been put in place.
func (a *Agent) watchServed(before *certdir.Pair, leaf *x509.Certificate) {
	a.served.abandon()
	now := a.Clock.Now()
	a.served = servedMemory{memory: memory{generation: a.served.generation, retryAt: now.Add(servedFirst)}, leaf: leaf, since: now, pause: servedFirst, looked: true}
	if before != nil {
		a.served.before = before.Leaf
	}
}

func (a *Agent) actServed(ctx context.Context, o status.Observed) {
	m := &a.served
	if a.watchesFound(o) { // an earlier process may have put it in place, and the kubelet not taken it
		a.watchServed(nil, o.Serving.Pair.Leaf)
		m.quiet = true
	}
	if m.leaf == nil || m.running || o.Now.Before(m.retryAt) {
		return
	}
	names, _ := a.servingNames(nodeOf(o))
	addresses, leaf, before := serving.DialAddresses(a.cfg.KubeletAddress, names), m.leaf, []*x509.Certificate{}
	if m.before != nil {
		before = append(before, m.before)
	}
	a.task(ctx, &m.memory, func(ctx context.Context) func() {
		found := serving.Compare(ctx, addresses, leaf, before...)
		return func() { a.compareServed(found) }
	})
}

// watchesFound says whether a pair that was there before this process is to be looked for, once.
func (a *Agent) watchesFound(o status.Observed) bool {
	return !a.served.looked && a.Proc != "" && !a.cfg.Once && o.Serving.Issued() && o.Serving.Usable(o.Now) && o.Serving.Linked
}

func (a *Agent) compareServed(found serving.Comparison) {
	m, now := &a.served, a.Clock.Now()
	level := slog.LevelInfo
	if m.quiet {
		level = slog.LevelDebug
	}
	m.pause = min(m.pause*2, servedLast)
	m.retryAt = now.Add(m.pause)
	late := now.Sub(m.since) >= servedLate
	nobody := late || m.quiet && now.Sub(m.since) >= servedQuiet
	switch {
	case found.Taken == serving.Took:
		a.log.Log(context.Background(), level, "the kubelet serves the new certificate", "address", found.Address, "after", now.Sub(m.since).Round(time.Millisecond).String())
		m.leaf = nil
		m.succeed()
		m.taken = new(true)
	case found.Taken == serving.NotTaken && late && m.trouble == "":
		m.taken = new(false)
		m.trouble = "the kubelet still serves an older certificate: systemctl restart kubelet"
		a.log.Warn("the kubelet still serves an older certificate", "address", found.Address, "serves", found.Served.SerialNumber.Text(16),
			"remedy", "systemctl restart kubelet; before 1.31 a kubelet does not look at its files again")
	case found.Taken == serving.Unknown && nobody: // no kubelet runs, and when it starts it reads what is there
		a.log.Log(context.Background(), level, "nobody answers for the kubelet, so it is not known whether it has taken the new serving certificate", "why", found.Reason)
		m.leaf = nil
		m.succeed()
	}
}
