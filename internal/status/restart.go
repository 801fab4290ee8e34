package status

import (
	"os"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// RestartReasons says of each reason that can be seen from the files whether this node's running kubelet needs a restart for it: it was
// started before the file was written. A file that seems to be of the future says nothing. No kubelet is known: none.
func (o Observed) RestartReasons(cfg config.Config) map[RestartReason]bool {
	reasons := map[RestartReason]bool{}
	dir := certdir.Dir{Path: cfg.CertDir}
	for _, k := range o.OurKubelets(cfg) {
		since := k.Process.Since
		if since.IsZero() {
			continue
		}
		reasons[ServerChanged] = reasons[ServerChanged] || o.writtenAfter(since, cfg.Kubeconfig)
		reasons[CAChanged] = reasons[CAChanged] || o.writtenAfter(since, dir.ServerCA(), dir.ClientCA())
	}
	return reasons
}

// startTakes is how long a kubelet may take from its start until it has read its files, so that it has seen what was written meanwhile; the
// kernel tells its start in hundredths of a second, by a clock that may have been set since.
const startTakes = time.Second

func (o Observed) writtenAfter(since time.Time, paths ...string) bool {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(since.Add(startTakes)) && !info.ModTime().After(o.Now) {
			return true
		}
	}
	return false
}
