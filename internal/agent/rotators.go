package agent

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// The kubelet may have been told to rotate its certificates too, as kubeadm tells it. That does no harm: what the kubelet puts in place is
// adopted (heal.go), and rotated when its own time has come, so that for each certificate of the kubelet's the agent asks for one at most. But
// it is two requests for one, and the kubelet goes on with its own, so it is said.

const (
	// kubeletsEvery is how often is looked for kubelets: in the first minutes, and after one has ended.
	kubeletsEvery = time.Minute
	// kubeletsRarely is how often where there has been none for long: every process of the machine is looked at for it.
	kubeletsRarely = 5 * time.Minute
	// kubeletsLate is when that is.
	kubeletsLate = 3 * time.Minute
)

// kubeletsMemory is what the running kubelets were told.
type kubeletsMemory struct {
	memory
	found []node.Kubelet
	// seen is when one of ours was last known to run.
	seen time.Time
}

// findKubelets looks for kubelets, beside the loop, for what they name may lie on a file system that does not answer.
func (a *Agent) findKubelets(ctx context.Context, o status.Observed) {
	m := &a.kubelets
	if a.Proc == "" || a.cfg.Once || m.running || o.Now.Before(m.retryAt) {
		return
	}
	ours, proc := o.OurKubelets(a.cfg), a.Proc
	m.retryAt = o.Now.Add(kubeletsEvery)
	if len(ours) > 0 {
		m.seen = o.Now
	} else if o.Now.Sub(a.started) > kubeletsLate && o.Now.Sub(m.seen) > kubeletsLate {
		m.retryAt = o.Now.Add(kubeletsRarely)
	}
	over := func(k node.Kubelet) bool { return !k.Process.Runs(proc) }
	if len(ours) > 0 && !slices.ContainsFunc(ours, over) { // nothing is read again: a kubelet has read its configuration once, at its start
		return
	}
	a.task(ctx, &m.memory, func(context.Context) func() {
		found, err := node.Kubelets(proc)
		return func() { a.foundKubelets(found, err) }
	})
}

func (a *Agent) foundKubelets(found []node.Kubelet, err error) {
	if err != nil {
		a.log.Debug("cannot find out what the kubelet was told", "err", err)
		return
	}
	a.kubelets.found = found
	for _, k := range found {
		a.log.Debug("found a running kubelet", "pid", k.Process.PID, "kubeconfig", k.Kubeconfig.Value, "cert_dir", k.CertDir.Value,
			"rotates_client", k.RotatesClient, "rotates_serving", k.RotatesServing, "unread", k.Unread)
	}
}

// kubeletLine tells of what does not go with the kubelet.
func (a *Agent) kubeletLine(o status.Observed) line {
	var texts []string
	for _, f := range o.KubeletFindings(a.cfg) {
		texts = append(texts, f.Text)
	}
	return line{text: strings.Join(texts, "; "), level: slog.LevelWarn}
}
