package agent

import (
	"errors"
	"fmt"
	"os"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// hold makes sure that this process is the cert-dir's only agent: its lock file may have been removed, and made again by another.
func (a *Agent) hold() error {
	if a.lock == nil || a.dir.Holds(a.lock) {
		return nil
	}
	if err := a.dir.Open(); err != nil {
		return err
	}
	lock, err := a.dir.Lock(a.holder())
	if _, held := errors.AsType[*durable.LockedError](err); held {
		a.fatal = exit(1, err)
	}
	if err != nil {
		return err
	}
	a.lock.Close()
	a.lock, a.synced = lock, false
	a.log.Warn("the cert-dir's lock file was replaced; the lock is taken anew", "dir", a.cfg.CertDir)
	return nil
}

// keepLock is hold where nothing is to be written: not in a folder that is gone, or that a reset has emptied.
func (a *Agent) keepLock() {
	if _, err := os.Lstat(a.cfg.CertDir); err != nil || !a.keep.reset.IsZero() {
		return
	}
	err := a.hold()
	again := a.said["lock"] == fmt.Sprint(err)
	a.said["lock"] = fmt.Sprint(err)
	if err != nil && a.fatal == nil && !again {
		a.log.Warn("cannot lock the cert-dir", "err", err, "remedy", durable.Remedy(err))
	}
}
