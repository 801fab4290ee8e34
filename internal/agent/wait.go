package agent

import (
	"context"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// wait returns when there is a reason to look again: a task's report, a changed file, a time that has come. An error ends the
// agent.
func (a *Agent) wait(ctx context.Context, o status.Observed) error {
	a.watcher.Set(a.watched())
	look := aliveEvery
	if !a.stages.ready {
		look = extendEvery
	}
	if a.watcher.Err() != nil {
		look = lookEvery
	}
	if a.WatchdogEvery > 0 {
		look = min(look, a.WatchdogEvery/2)
	}
	until, changes := a.nextTime(o), a.watcher.Changed()
	for changed := a.stamp() != a.observed; ; {
		pause := min(look, max(until.Sub(a.Clock.Now()), time.Millisecond))
		if changed { // and what else changes with it is looked at together
			pause, changes = changesTake, nil
		}
		timer := a.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-changes:
			timer.Stop()
			changed = true
		case report := <-a.events:
			timer.Stop()
			report()
			return nil
		case <-timer.C():
			a.stages.alive(a)
			if changed || !a.Clock.Now().Before(until) {
				return nil
			}
		}
	}
}

// stamp differs when a file that matters was changed.
func (a *Agent) stamp() string { return status.Stamp(a.watched()...) }

// watched are the files that matter.
func (a *Agent) watched() []string {
	files := append(a.dir.Files(), a.cfg.CertDir, a.cfg.BootstrapKubeconfig, a.cfg.Kubeconfig)
	where := kubeconfig.Where(a.cfg.BootstrapKubeconfig, a.cfg.CredentialsDirectory)
	if where != a.cfg.BootstrapKubeconfig { // and a file that is put there takes its place
		files = append(files, where)
	}
	files = append(files, a.observer.Kubeconfigs.Named(where)...)
	files = append(files, a.observer.Kubeconfigs.NamedByDiscovery(a.cfg.DiscoveryFile)...)
	token := kubeconfig.WhereToken(a.cfg.DiscoveryTokenFile, a.cfg.CredentialsDirectory)
	for _, file := range []string{a.cfg.KubeletClientCAFile, a.cfg.DiscoveryTokenFile, token, a.cfg.DiscoveryFile, a.cfg.CAFile} {
		if file != "" {
			files = append(files, file)
		}
	}
	return files
}

func (a *Agent) nextTime(o status.Observed) time.Time {
	next := o.Now.Add(observeEvery)
	earlier := func(t time.Time) {
		if t.After(o.Now) && t.Before(next) {
			next = t
		}
	}
	unusable := o.BadCredential() && !o.HasIdentity()
	if o.NodeErr != nil || unusable { // no file tells of a host name, nor of all that can be wrong with a credential
		earlier(o.Now.Add(lookEvery))
	}
	for _, m := range []memory{a.client, a.serving, a.credential.memory, a.addresses.memory, a.registered.memory, a.files, a.served.memory, a.kubelets.memory, a.version.memory, a.discovery.memory, a.following.memory} {
		earlier(m.retryAt)
		earlier(m.lacksSince.Add(differenceLasts))
		earlier(m.mismatchSince.Add(nameMismatch))
		earlier(m.differsSince.Add(differenceLasts))
	}
	for _, c := range []status.Certificate{o.Client, o.Serving} {
		if c.Pending != nil && c.Pending.Ended != nil {
			earlier(nextKey(c.Pending))
		}
		if c.Pending != nil {
			earlier(c.Pending.Made.Add(rotate.Spacing))
			earlier(c.Pending.AgainAt)
		}
		if c.Pair != nil {
			earlier(o.RotateAt(c.Pair))
			earlier(c.Pair.ModTime.Add(rotate.Spacing))
			earlier(c.Pair.Leaf.NotAfter)
		}
	}
	for _, t := range append(a.keep.times(), a.following.file.settles(), a.following.clients.settles()) {
		earlier(t)
	}
	for _, t := range a.stages.times(a, o) {
		earlier(t)
	}
	return next
}
