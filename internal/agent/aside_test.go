package agent

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// A file system that does not let go of what lies aside stays so until a person acts: it is tried again, and said once.
func TestWhatCannotBeSettledIsSaidOnceAndTriedAgain(t *testing.T) {
	m := newMaterial(t)
	s, on := settled(t, m, true)
	a := s.agent
	var log bytes.Buffer
	a.log = slog.New(slog.NewTextHandler(&log, nil))
	must(t, os.Rename(on.cfg.BootstrapKubeconfig, kubeconfig.AsideName(on.cfg.BootstrapKubeconfig)))
	tried := 0
	a.Disk.Before = func(op durable.Op) error {
		if op.Call == "rename-noreplace" {
			tried++
			return syscall.EROFS
		}
		return nil
	}
	for range 5 {
		if a.actCredential(s.ctx, a.observe()) {
			t.Fatal("it says that something has changed")
		}
		s.clock.SetTime(s.clock.Now().Add(2 * time.Minute))
	}
	if said := strings.Count(log.String(), "cannot settle"); tried != 5 || said != 1 {
		t.Errorf("tried %d times, said %d times:\n%s", tried, said, log.String())
	}
	if line := a.bootstrapLine(a.observe()).text; !strings.Contains(line, "read-only") {
		t.Errorf("STATUS= says %q about it", line)
	}
	a.Disk.Before = nil
	if !a.actCredential(s.ctx, a.observe()) || a.observe().Bootstrap == nil || a.credential.trouble != "" {
		t.Errorf("it is not put back when that is possible: %s", a.credential.trouble)
	}
}

// What cannot be read is not another credential: it would be put back, taken for new and moved aside again without a pause.
func TestACredentialThatCannotBeComparedIsPutBackAndTriedAgainLater(t *testing.T) {
	m := newMaterial(t)
	s, on := settled(t, m, true)
	a, path := s.agent, on.cfg.BootstrapKubeconfig
	content, err := os.ReadFile(path)
	must(t, err)
	o := a.observe()
	a.credential.sameCluster = o.Bootstrap.Fingerprint()
	a.Disk.Before = func(op durable.Op) error {
		if op.Path == kubeconfig.AsideName(path) && op.Call == "rename-noreplace" {
			return os.Chmod(path, 0)
		}
		return nil
	}
	acted := true
	withoutPrivileges(t, func() { acted = a.dispose(o) })
	if acted || a.credential.retryAt.Sub(noon) != disposeAgain || !strings.Contains(a.credential.trouble, "permission denied") {
		t.Errorf("acted %v, again at %s: %s", acted, a.credential.retryAt, a.credential.trouble)
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, content) {
		t.Errorf("%d bytes are left of the credential (%v)", len(left), err)
	}
}
