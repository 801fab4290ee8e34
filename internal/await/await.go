package await

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

const (
	// lookEvery is how often the files are looked at where nothing tells of a change, and for the clock: certificates expire.
	lookEvery = time.Second
	// sayEvery is how often it is said what is waited for, if that stays the same.
	sayEvery = 30 * time.Second
	// settles is how long the same thing must be missing to be said for the first time: an agent that does its work is through by then.
	settles = 2 * time.Second
)

// Waiting is what somebody waits for.
type Waiting struct {
	Config config.Config
	// For are the certificates.
	For   []csr.Kind
	Clock clock.Clock
	// Timeout is for how long; 0: without end.
	Timeout time.Duration
	// Say is told what is missing: when that has lasted a moment, and every now and then again.
	Say func(text string)
}

// LateError is the end of the wait without all that is wanted.
type LateError struct {
	Lacking []Missing
	// Interrupted: somebody ended it.
	Interrupted bool
	text        string
}

func (e *LateError) Error() string { return e.text }

// MustAct says whether waiting longer is of no use by itself: a person must do something.
func (e *LateError) MustAct() bool {
	return slices.ContainsFunc(e.Lacking, func(m Missing) bool { return m.MustAct })
}

// ErrDenied says that only root may read the files.
var ErrDenied = errors.New("run it as root")

// Wait returns what was observed when all is there. It ends before that with a [*LateError], when its time is over or ctx ends, and with
// [ErrDenied]; nothing else is hopeless, for a person may act while it waits.
func (w Waiting) Wait(ctx context.Context) (status.Observed, error) {
	watcher := rotate.Watch()
	defer watcher.Close()
	begun := w.Clock.Now()
	said := saying{say: w.Say}
	for {
		watcher.Set(w.paths())
		o := status.Observe(w.Config, w.Clock.Now())
		lacking := Lacking(w.For, o, w.Config)
		if len(lacking) == 0 {
			return o, nil
		}
		if denied(o) {
			return o, fmt.Errorf("%s; %w", Text(lacking, ""), ErrDenied)
		}
		text := w.text(lacking)
		if left := w.left(begun); left <= 0 {
			return o, &LateError{lacking, false, fmt.Sprintf("not there within %s: the %s", w.Timeout, text)}
		}
		said.note(text, w.Clock.Now())
		select {
		case <-ctx.Done():
			return o, &LateError{lacking, true, "interrupted while waiting for the " + text}
		case <-watcher.Changed():
		case <-w.Clock.After(min(lookEvery, w.left(begun))):
		}
	}
}

// left is how much of the time is left.
func (w Waiting) left(begun time.Time) time.Duration {
	if w.Timeout == 0 {
		return lookEvery
	}
	return begun.Add(w.Timeout).Sub(w.Clock.Now())
}

func (w Waiting) text(lacking []Missing) string {
	return strings.TrimSuffix(Text(lacking, nobody(certdir.Dir{Path: w.Config.CertDir})), "; ")
}

// paths are the files that matter.
func (w Waiting) paths() []string {
	paths := append(certdir.Dir{Path: w.Config.CertDir}.Files(), w.Config.Kubeconfig, w.Config.BootstrapKubeconfig)
	for _, path := range []string{w.Config.DiscoveryTokenFile, w.Config.DiscoveryFile} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	paths = append(paths, kubeconfig.NamedByDiscovery(w.Config.DiscoveryFile)...)
	return append(paths, kubeconfig.Named(w.Config.BootstrapKubeconfig)...)
}

// saying says a text when it has lasted, and again every now and then.
type saying struct {
	say         func(string)
	text        string
	since, last time.Time
}

func (s *saying) note(text string, now time.Time) {
	if text != s.text {
		s.text, s.since, s.last = text, now, time.Time{}
	}
	first := s.last.IsZero() && now.Sub(s.since) >= settles
	if first || !s.last.IsZero() && now.Sub(s.last) >= sayEvery {
		s.last = now
		s.say(text)
	}
}
