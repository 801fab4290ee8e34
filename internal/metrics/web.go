package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Web serves /metrics, /healthz and /readyz to those who may have them. Whatever goes wrong is counted and said, and tried again.
type Web struct {
	// Address is where it listens, host:port; empty: nowhere.
	Address string
	// Sockets are those that the service manager has opened ([Inherited]). Where there is one, Address is not used.
	Sockets []net.Listener
	// ConfigFile is exporter-toolkit's file that asks for TLS, client certificates or passwords; empty: everybody is served.
	ConfigFile string
	// Version is what the landing page says.
	Version string
	Metrics *Metrics
	Log     *slog.Logger
	Clock   clock.WithTicker
}

// After a failure the next attempt is made after a second, and later and later up to a minute.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// Run returns when ctx has ended and nothing is served any more.
func (w Web) Run(ctx context.Context) {
	var open []func(context.Context) (net.Listener, error)
	for _, socket := range w.Sockets {
		open = append(open, lend(socket))
	}
	if len(w.Sockets) == 0 && w.Address != "" {
		open = append(open, bind(w.Address))
	}
	var keeping sync.WaitGroup
	for _, open := range open {
		keeping.Go(func() { w.keep(ctx, open) })
	}
	keeping.Wait()
	for _, socket := range w.Sockets {
		socket.Close()
	}
}

// keep serves at one place, again and again.
func (w Web) keep(ctx context.Context, open func(context.Context) (net.Listener, error)) {
	trouble := &trouble{log: w.Log}
	pause := firstPause
	for ctx.Err() == nil {
		began := w.Clock.Now()
		err := w.serve(ctx, open, trouble)
		if ctx.Err() != nil {
			return
		}
		changed := errors.Is(err, errChanged)
		if changed || w.Clock.Since(began) > longestPause {
			pause = firstPause
		}
		if !changed {
			w.failed(trouble, err)
		}
		w.refuse(ctx, open, pause)
		pause = min(2*pause, longestPause)
	}
}

// failed counts and says why nothing is served.
func (w Web) failed(trouble *trouble, err error) {
	if w.early(err) {
		if !trouble.early {
			w.Log.Info("waiting for the node's first certificate, which the web configuration names", "err", err)
		}
		trouble.early = true
		return
	}
	reason, remedy := "listen", listenRemedy(err)
	if bad, ok := errors.AsType[*ConfigError](err); ok {
		reason, remedy = "configuration", bad.Remedy
	}
	w.Metrics.Failed(status.WebPhase, reason)
	trouble.is(err.Error(), func(log *slog.Logger) {
		log.Warn("metrics are not served; tried again, certificates go on", "reason", reason, "err", err, "remedy", remedy)
	})
}

// early says whether a file is missing that the agent itself may be about to make: its first certificates.
func (w Web) early(err error) bool {
	return errors.Is(err, errNoCertificate) && w.Metrics.Ready() != nil
}

// refuse waits, and turns away whoever comes to a socket meanwhile: it stays open as long as the service manager wants.
func (w Web) refuse(ctx context.Context, open func(context.Context) (net.Listener, error), pause time.Duration) {
	timer := w.Clock.NewTimer(pause)
	defer timer.Stop()
	var turning sync.WaitGroup
	if len(w.Sockets) > 0 {
		if socket, err := open(ctx); err == nil {
			turning.Go(func() { turnAway(socket) })
			defer turning.Wait()
			defer socket.Close()
		}
	}
	select {
	case <-ctx.Done():
	case <-timer.C():
	}
}

// trouble is said once, and again when it is another one.
type trouble struct {
	log  *slog.Logger
	said string
	// early: what is waited for has been said.
	early bool
}

func (t *trouble) is(what string, say func(*slog.Logger)) {
	if t.said != what {
		say(t.log)
	}
	t.said = what
}

// over says whether there was one.
func (t *trouble) over() bool {
	was := t.said != ""
	t.said = ""
	return was
}
