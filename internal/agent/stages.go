package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// stages is how far this process has come, as the service manager is told.
type stages struct {
	// placeholderMade: there was no serving pair at all before this process made one, so the kubelet may be made to wait a little.
	placeholderMade bool
	ready           bool
	// started: READY was given in this boot, by this process or by one before it.
	started       bool
	completeAt    time.Time
	extended, fed time.Time
}

// kubeletCanStart says whether everything that the kubelet opens when it starts is on the disk, whatever its validity, and no
// credential is there to replace it.
func (a *Agent) kubeletCanStart(o status.Observed) bool {
	served := a.cfg.Serving == string(serving.Off) || o.Serving.Pair != nil && o.Serving.Linked || o.Serving.Adopted != nil
	replaced := o.Bootstrap != nil && (o.ForOtherNode() || a.mayReplace(o)) || a.mayLeadElsewhere(o)
	return o.Client.Pair != nil && o.Kubelet != nil && o.ClientCA != nil && served && !replaced
}

// mayReplace says whether the bootstrap credential leads to what looks like another cluster, and it is not known better yet.
func (a *Agent) mayReplace(o status.Observed) bool {
	f := o.Bootstrap.Fingerprint()
	return !a.stages.started && elsewhere(o, o.Bootstrap.Endpoint) && !a.fromSystemd(o) && a.credential.sameCluster != f && a.credential.settled != f
}

// mayLeadElsewhere is mayReplace for a token of which it is not known yet where its cluster is: the CA that it looks for is not the node's.
func (a *Agent) mayLeadElsewhere(o status.Observed) bool {
	if o.Undiscovered == nil || kubeconfig.IsSystemdCredential(o.Undiscovered.Path, a.cfg.CredentialsDirectory) {
		return false
	}
	return o.ForOtherNode() || !a.stages.started && o.Kubelet != nil && !a.pinned(o.Kubelet.Endpoint.CA)
}

// servingAwaited says whether the first serving certificate may still come in time to spare the kubelet the placeholder.
func (a *Agent) servingAwaited(o status.Observed) bool {
	m := a.serving
	switch {
	case a.cfg.Serving != string(serving.BeforeKubelet), !a.stages.placeholderMade || o.Serving.Issued() || m.trouble != "" || a.addresses.trouble != "":
		return false
	case m.accepted.IsZero():
		return true
	}
	return o.Now.Before(m.accepted.Add(a.cfg.ServingWait.Duration))
}

// nothingToTry says whether only a person, or cloud-init, can bring the node further.
func (a *Agent) nothingToTry(o status.Observed) bool {
	issued := o.Client.Pending != nil && len(o.Client.Pending.CertificatePEM) > 0 && o.Client.Pending.Ended == nil
	servable := o.HasIdentity() && o.ClientCA != nil // only the serving pair is missing, and that needs nobody
	return o.Bootstrap == nil && o.Undiscovered == nil && !issued && !a.client.running && !servable && o.Client.Unread == nil
}

// readyWhy says whether the kubelet's start may be let go, and why. It is never held for longer than --start-hold: what is
// ordered after the kubelet may be what brings the credential.
func (a *Agent) readyWhy(o status.Observed) (string, bool) {
	complete := a.kubeletCanStart(o)
	switch {
	case complete && !a.servingAwaited(o):
		return "everything that the kubelet needs is on the disk", true
	case !complete && a.nothingToTry(o):
		return "there is nothing to bootstrap with; the agent goes on waiting beside the kubelet", true
	case !o.Now.Before(a.started.Add(a.cfg.StartHold.Duration)):
		return "--start-hold is over; the agent goes on beside the kubelet", true
	}
	return "", false
}

// times are when a stage may change by itself.
func (s *stages) times(a *Agent, o status.Observed) []time.Time {
	times := []time.Time{a.started.Add(a.cfg.StartHold.Duration), a.serving.accepted.Add(a.cfg.ServingWait.Duration)}
	for _, m := range []memory{a.client, a.serving} {
		times = append(times, m.accepted.Add(approvalTakes), m.approved.Add(approvalTakes))
	}
	if a.cfg.Once {
		times = append(times, s.completeAt.Add(a.cfg.ServingWait.Duration), a.servingLimit(o), a.started.Add(a.cfg.OnceTimeout()))
	}
	return times
}

// extendEvery is how often a start that takes long is excused; the loop must live to do it.
const extendEvery = 10 * time.Second

// alive tells the service manager that the loop goes round. Nobody but the loop calls it: one that hangs must be found out. A clock that
// was set back (only where it has no monotonic part) is no reason to be silent.
func (s *stages) alive(a *Agent) {
	now := a.Clock.Now()
	a.Metrics.Alive()
	due := func(last time.Time, every time.Duration) bool { return now.Sub(last) >= every || now.Before(last) }
	if !s.ready && due(s.extended, extendEvery) {
		s.extended = now
		a.Notify(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (3 * extendEvery).Microseconds()))
	}
	if a.WatchdogEvery > 0 && due(s.fed, a.WatchdogEvery/2) {
		s.fed = now
		a.Notify("WATCHDOG=1")
	}
}

// report says what has changed: READY=1 once, STATUS= and a log line when something else is waited for.
func (a *Agent) report(o status.Observed) {
	a.stages.alive(a)
	if a.kubeletCanStart(o) && a.stages.completeAt.IsZero() {
		a.stages.completeAt = o.Now
	}
	if why, ready := a.readyWhy(o); ready && !a.stages.ready {
		a.stages.ready, a.stages.started = true, true
		a.markStarted()
		a.Notify("READY=1")
		a.log.Info("the kubelet can start", "why", why)
	}
	a.say(o)
	a.countFaults(o)
	a.Metrics.Stands(a.standing(o))
}

// StartedFile is there, in the RuntimeDirectory, when READY was given in this boot.
const StartedFile = "ready"

// findStarted looks for an earlier process of this boot.
func (a *Agent) findStarted() {
	if a.RuntimeDirectory == "" {
		return
	}
	_, err := os.Lstat(filepath.Join(a.RuntimeDirectory, StartedFile))
	a.stages.started = err == nil
}

func (a *Agent) markStarted() {
	if a.RuntimeDirectory == "" {
		return
	}
	if err := a.Disk.WriteFile(filepath.Join(a.RuntimeDirectory, StartedFile), nil, 0o600); err != nil {
		a.log.Warn("cannot note that the kubelet was let start in this boot", "err", err, "remedy", durable.Remedy(err))
	}
}
