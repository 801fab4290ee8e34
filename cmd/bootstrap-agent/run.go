package main

import (
	"errors"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/unit"
)

func runCommand() *cobra.Command {
	load := settings{}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Get the node's certificates and keep them, as a service; with --once: get them and end",
		Long: `Get the node's certificates and keep them, as a service.

The daemon ends only with 0 (signal), 1 (another agent holds the cert-dir) and 2 (flags, configuration file, cert-dir).
With --once: 0 both certificates are there (or as --serving asks), 4 the serving certificate is still a placeholder,
1 --timeout passed without an identity, 3 a person must act (denied, failed, refused, no credential), 2 usage,
configuration or a bad bootstrap kubeconfig.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load.config()
			if err != nil {
				return err
			}
			cfg.CredentialsDirectory = os.Getenv(credentialsDirectory) // the unit's own, and no other
			log := newLogger(cfg)
			keepSmall()
			klog.SetSlogLogger(log)      // client-go's own words, of exec plugins for example
			stdlog.SetOutput(io.Discard) // HTTP/2's: a line for every frame that it does not know, as many as a server likes to send
			watchdog, err := daemon.SdWatchdogEnabled(false)
			if err != nil {
				log.Warn("the watchdog of the service manager is not fed", "err", err)
			}
			measured := metrics.New(clock.RealClock{}, metrics.Build{Version: version, GoVersion: runtime.Version()}, cfg.KubeletMetrics)
			defer show(cmd.Context(), cfg, measured, log)()
			return agent.New(agent.Options{
				Config: cfg, Disk: diskOf(cfg), Clock: clock.RealClock{}, Log: log, UserAgent: userAgent(),
				Notify: notify(log), WatchdogEvery: watchdog, Metrics: measured,
				RuntimeDirectory: firstOf(os.Getenv("RUNTIME_DIRECTORY")), Proc: node.Proc, MachineIDFile: node.MachineIDFile,
			}).Run(cmd.Context())
		},
	}
	load.bind(cmd, config.Bind)
	return cmd
}

// keepSmall has the garbage collector run at half the usual size, and the agent run on one CPU at a time, unless $GOGC and $GOMAXPROCS say
// otherwise: it is at rest nearly always, and 2 MB on each node of a fleet are worth a millisecond now and then. With one CPU nobody looks
// for work on another one whenever it wakes up, and whoever floods the listener gets no more than that.
func keepSmall() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(1)
	}
}

// notify tells the service manager. Without one ($NOTIFY_SOCKET) it does nothing.
func notify(log *slog.Logger) func(string) {
	failed := errors.New("never")
	return func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil && err.Error() != failed.Error() {
			failed = err
			log.Warn("cannot notify the service manager", "err", err)
		}
	}
}

// diskOf is the file system, with what to do where systemd has made it read-only for the agent.
func diskOf(cfg config.Config) durable.Disk {
	if os.Getenv("INVOCATION_ID") == "" && os.Getenv("NOTIFY_SOCKET") == "" {
		return durable.Disk{}
	}
	return durable.Disk{ReadOnly: unit.Remedy(cfg)}
}

// firstOf returns the first of systemd's folders, of which the unit may have several.
func firstOf(folders string) string {
	first, _, _ := strings.Cut(folders, ":")
	return first
}
