package agent

import (
	"errors"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// sweepEvery is how often is looked for files that nothing needs, after the first minutes.
const sweepEvery = 10 * time.Minute

// sweep removes what earlier runs left, once everything pending has been looked at.
func (a *Agent) sweep(o status.Observed) {
	if err := a.syncFound(); err != nil {
		a.log.Warn("cannot sweep", "err", err, "remedy", durable.Remedy(err))
		return
	}
	var kinds []certdir.Kind
	if a.cfg.RotateCertificates {
		kinds = append(kinds, certdir.Client)
	}
	removed, err := a.dir.Sweep(kinds, 1, o.Now)
	if a.cfg.Serving != string(serving.Off) && a.cfg.RotateServerCertificates && o.Serving.Pair != nil {
		more, moreErr := a.dir.Sweep([]certdir.Kind{certdir.Serving}, 0, o.Now)
		removed, err = append(removed, more...), errors.Join(err, moreErr)
	}
	if len(removed) > 0 {
		a.log.Info("swept files that nothing needs", "files", removed)
	}
	if err != nil {
		a.log.Warn("cannot sweep", "err", err, "remedy", durable.Remedy(err))
	}
}
