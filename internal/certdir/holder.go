package certdir

import (
	"path/filepath"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Holder returns the process that is the agent of the cert-dir, 0 when there is none. See [durable.Holder].
func (d Dir) Holder() (pid int, err error) { return durable.Holder(filepath.Join(d.Path, lockName)) }
