package agent

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// disk runs a change of the files; trouble there is the same for all of them: said, kept for later, nothing lost.
func (a *Agent) disk(m *memory, what string, change func() error) bool {
	err := a.hold()
	if err == nil {
		err = a.syncFound()
	}
	if err == nil {
		err = change()
	}
	if err != nil {
		a.diskFailed(m, what, err)
		return false
	}
	if m.failure == rotate.LocalTrouble {
		m.succeed()
	}
	return true
}

func (a *Agent) diskFailed(m *memory, what string, err error) {
	a.synced = false
	a.Metrics.Failed(status.DiskPhase, diskReason(err))
	at := m.failDisk(a.Clock.Now(), what, err)
	a.log.Error("cannot change the files", "to", what, "certificate", m.name, "err", err,
		"remedy", durable.Remedy(err), "again", at.UTC().Format(time.RFC3339))
}

// unread waits for what cannot be read now.
func (a *Agent) unread(m *memory, err error) {
	a.Metrics.Failed(status.DiskPhase, diskReason(err))
	at := m.failDisk(a.Clock.Now(), readFiles, err)
	a.log.Error("cannot read the files; nothing is changed until that is possible", "certificate", m.name, "err", err,
		"remedy", durable.Remedy(err), "again", at.UTC().Format(time.RFC3339))
}

// syncFound makes durable what was found on the disk, once, before anything is built on it. What a killed agent had renamed and not
// synced, and what could not be synced, is there to see and may still be lost in a power cut: a request must not be sent whose key can
// be lost, nor a credential deleted for an identity that can.
func (a *Agent) syncFound() error {
	if a.synced {
		return nil
	}
	if err := a.dir.Sync(); err != nil {
		return err
	}
	if err := a.Disk.SyncFolder(filepath.Dir(a.cfg.Kubeconfig)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	a.synced = true
	return nil
}

// foundSynced is syncFound before something that does not change the files but relies on them.
func (a *Agent) foundSynced(m *memory) bool {
	if err := a.syncFound(); err != nil {
		a.diskFailed(m, syncFiles, err)
		return false
	}
	m.can(syncFiles) // another failure keeps its pause, which grows
	return true
}
