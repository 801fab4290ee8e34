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
