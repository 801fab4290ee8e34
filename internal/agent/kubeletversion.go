package agent

import (
	"context"
	"time"

	utilversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

const (
	// rereadsCA is the version from which on a kubelet reads CA files again (features ReloadKubeletClientCAFile and ClientsAllowCARotation).
	rereadsCA = "1.36.0"
	// versionAgain is how long to wait before the Node is asked again for the version that could not be had.
	versionAgain = 10 * time.Minute
)

// versionMemory is what is known of the version of a running kubelet.
type versionMemory struct {
	memory
	// of is the kubelet that was asked about; rereads: it reads CA files again.
	of      node.Process
	rereads bool
}

// restartReasons is why the kubelet needs a restart, with what only the API server and the kubelet itself can tell.
func (a *Agent) restartReasons(o status.Observed) map[status.RestartReason]bool {
	reasons := o.RestartReasons(a.cfg)
	if ours := o.OurKubelets(a.cfg); len(ours) == 1 && a.version.of == ours[0].Process && a.version.rereads {
		reasons[status.CAChanged] = false
	}
	reasons[status.OldKubelet] = a.served.trouble != ""
	return reasons
}

// findVersion asks the Node for the kubelet's version when that matters: a CA file was written after the kubelet was started. That is
// one request for each such kubelet.
func (a *Agent) findVersion(ctx context.Context, o status.Observed) {
	m := &a.version
	ours := o.OurKubelets(a.cfg)
	if m.running || o.Now.Before(m.retryAt) || len(ours) != 1 || m.of == ours[0].Process || !o.HasIdentity() || !o.RestartReasons(a.cfg)[status.CAChanged] {
		return
	}
	api, err := a.nodeAPI(o.Client.Pair.PEM, o.Client.Pair.PEM, o.Kubelet.Endpoint)
	if err != nil {
		m.retryAt = o.Now.Add(versionAgain)
		return
	}
	name, process := nodeOf(o), ours[0].Process
	a.task(ctx, &m.memory, func(ctx context.Context) func() {
		object, err := api.Node(ctx, name)
		return func() { a.foundVersion(process, object.KubeletVersion, err) }
	})
}

func (a *Agent) foundVersion(process node.Process, version string, err error) {
	m := &a.version
	parsed, parseErr := utilversion.ParseGeneric(version)
	if err != nil || parseErr != nil {
		m.retryAt = a.Clock.Now().Add(versionAgain)
		a.log.Debug("cannot find out the kubelet's version", "err", err, "version", version)
		return
	}
	m.of, m.rereads = process, parsed.AtLeast(utilversion.MustParseGeneric(rereadsCA))
}
