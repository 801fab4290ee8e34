package agent

import (
	"errors"
	"io/fs"
	"syscall"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// standing is how things stand: what the files say, and what only the agent has heard.
func (a *Agent) standing(o status.Observed) status.Standing {
	s := o.Standing(a.cfg)
	s.ServingTaken = a.served.taken
	s.Restart = a.restartReasons(o)
	if a.serverTimeKnown() && a.Clock.Since(a.noted.local) < skewFor {
		ahead := wall(a.Clock.Now()).Sub(wall(a.serverTime())).Round(time.Second) // a clock that was set since shows at once
		s.ClockSkew = &ahead
	}
	if s.NotReady == "" && a.refused != "" {
		s.NotReady = "the API server does not accept the node's identity: " + a.refused
	}
	return s
}

// skewFor is how long the API server's time goes on to be known after an answer: a suspended machine does not count the time.
const skewFor = time.Hour

// wall is a time without Go's monotonic clock.
func wall(t time.Time) time.Time { return t.Round(0) }

// heardAsNode notes what the API server last said to the node's own identity: whatever it said but 401, it knows who is asking. No answer,
// or one that comes before that is found out, says nothing about it.
func (a *Agent) heardAsNode(err error) {
	if err == nil {
		a.refused = ""
		return
	}
	switch apiserver.ReasonOf(err) {
	case apiserver.Unauthorized:
		a.refused = csr.Plain(err.Error())
	case apiserver.Forbidden, apiserver.NotFound, apiserver.Exists, apiserver.Invalid, apiserver.Expired:
		a.refused = ""
	default: // nothing was heard
		a.noteDistrust(err)
	}
}

// fault is something that is counted when it begins.
type fault struct {
	phase  status.Phase
	reason string
}

// countFaults counts what lasts: once, when it begins.
func (a *Agent) countFaults(o status.Observed) {
	for f, lasts := range map[fault]bool{
		{status.BootstrapPhase, "kubeconfig"}: o.BadCredential(),
		{status.NodePhase, "name"}:            o.NodeErr != nil,
		{status.NodePhase, "mismatch"}:        o.ForOtherNode(),
		{status.KubeletPhase, "not-reloaded"}: a.served.trouble != "",
	} {
		if lasts && !a.counted[f] {
			a.Metrics.Failed(f.phase, f.reason)
		}
		a.counted[f] = lasts
	}
}

// countEnd counts a request that came to nothing, and the rotation that it was for.
func (a *Agent) countEnd(m *memory, result csr.Result) {
	a.Metrics.Requested(string(m.name), string(result))
	a.Metrics.Failed(phaseOf(m.name), string(result))
	if k := a.keptOf(m); k.pair != nil && !k.useless {
		a.Metrics.Rotated(string(m.name), false)
	}
}

// waited is how long a request took: by our own clock, or, when it was accepted before this process began, by the API server's, in
// seconds. A time that is not known is none.
func (a *Agent) waited(m *memory, p *csr.Pending) time.Duration {
	switch {
	case !m.created.IsZero():
		return a.Clock.Since(m.created)
	case p.Accepted.IsZero():
		return 0
	}
	return max(a.serverTime().Sub(p.Accepted), 0)
}

func phaseOf(kind csr.Kind) status.Phase {
	if kind == csr.Client {
		return status.ClientPhase
	}
	return status.ServingPhase
}

// phase is what was being done when an attempt failed.
func (a *Agent) phase(m *memory, reason string) status.Phase {
	switch {
	case reason == string(apiserver.Clock):
		return status.ClockPhase
	case m == &a.registered.memory:
		return status.NodePhase
	}
	return phaseOf(m.name)
}

// metricReason tells the two troubles with time apart: of the API server's certificate, which TLS refuses, and of an issued one.
func metricReason(reason string, err error) string {
	switch {
	case reason != string(apiserver.Clock):
		return reason
	case apiserver.ReasonOf(err) == apiserver.Clock:
		return "server-certificate"
	}
	return "issued-certificate"
}

const disposalReason = "disposal"

// credentialReason is why a credential could not be compared: no answer, or that of another cluster.
func credentialReason(err error) string {
	reason := apiserver.ReasonOf(err)
	if reason == apiserver.BadAnswer || reason == apiserver.Unauthorized {
		return "other-cluster"
	}
	return string(reason)
}

func diskReason(err error) string {
	for _, kind := range []struct {
		reason string
		errors []error
	}{
		{"full", []error{syscall.ENOSPC, syscall.EDQUOT}},
		{"read-only", []error{syscall.EROFS}},
		{"permission", []error{fs.ErrPermission}},
		{"io", []error{syscall.EIO}},
	} {
		for _, target := range kind.errors {
			if errors.Is(err, target) {
				return kind.reason
			}
		}
	}
	return status.OtherReason
}

// unheard is for an agent that nobody measures.
type unheard struct{}

func (unheard) Alive()                       {}
func (unheard) Stands(status.Standing)       {}
func (unheard) Requested(string, string)     {}
func (unheard) Waited(string, time.Duration) {}
func (unheard) Rotated(string, bool)         {}
func (unheard) Failed(status.Phase, string)  {}
func (unheard) Called(string, int)           {}
