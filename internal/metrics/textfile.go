package metrics

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Textfile keeps the series in a file for the textfile collector of node_exporter: those of the agent, not of its process, in Prometheus'
// text format 0.0.4 without times. The file stays when the agent ends; node_textfile_mtime_seconds says how old it is.
type Textfile struct {
	// Path ends in .prom, or node_exporter does not read it.
	Path    string
	Metrics *Metrics
	// Write puts content into the file at path in one step, with a mode that node_exporter may read.
	Write func(path string, content []byte) error
	Log   *slog.Logger
	Clock clock.WithTicker
}

// The file is written at most so often, and at least so often: its age is all that tells a dead agent from an idle one.
const (
	textfileFirst = time.Second // the agent's first look takes less
	textfileMost  = 15 * time.Second
	textfileLeast = time.Minute
)

// Run keeps the file until ctx ends, and writes what has happened until then. While the agent's loop does not go round the file is left
// alone, so that its age shows it.
func (f Textfile) Run(ctx context.Context) {
	k := &keeper{Textfile: f, trouble: trouble{log: f.Log}}
	for pause := textfileFirst; ; pause = textfileMost {
		timer := f.Clock.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			k.keep()
			return
		case <-timer.C():
			k.keep()
		}
	}
}

// keeper knows what it has written.
type keeper struct {
	Textfile
	trouble trouble
	content []byte
	wrote   time.Time
}

func (k *keeper) keep() {
	if k.Metrics.Healthy() != nil {
		return
	}
	content, err := gather(k.Metrics.Gatherer(), ofTheAgent)
	if err == nil && bytes.Equal(content, k.content) && k.Clock.Since(k.wrote) < textfileLeast {
		return
	}
	if err == nil {
		err = k.Write(k.Path, content)
	}
	if err != nil {
		k.failed(err)
		return
	}
	k.content, k.wrote = content, k.Clock.Now()
	if k.trouble.over() {
		k.Log.Info("the metrics' text file is written again", "path", k.Path)
	}
}

func (k *keeper) failed(err error) {
	k.Metrics.Failed(status.WebPhase, "textfile")
	k.content = nil
	what := err.Error()
	if code, ok := errors.AsType[syscall.Errno](err); ok {
		what = code.Error() // the rest names a temporary file, each time another
	}
	k.trouble.is(what, func(log *slog.Logger) {
		log.Warn("the metrics' text file cannot be written; tried again, certificates go on", "path", k.Path, "err", err,
			"remedy", "make its folder root's; below systemd put what bootstrap-agent config check --systemd prints into the unit's drop-in")
	})
}

func ofTheAgent(name string) bool {
	return strings.HasPrefix(name, "bootstrap_agent_") || strings.HasPrefix(name, "kubelet_")
}
