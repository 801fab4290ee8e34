package main

import (
	"context"
	"log/slog"
	"sync"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
)

// show lets others see the metrics until stop is called, beside the agent and whatever becomes of that: a listener that cannot bind, or a
// text file that cannot be written, never stops certificates. run --once shows nothing.
func show(ctx context.Context, cfg config.Config, measured *metrics.Metrics, log *slog.Logger) (stop func()) {
	sockets, err := metrics.Inherited() // always: no program that is started later may have them
	if err != nil {
		log.Warn("the service manager's sockets cannot be used; metrics are served at the address of the settings", "err", err)
	}
	if cfg.Once {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var showing sync.WaitGroup
	web := metrics.Web{
		Address: cfg.WebListenAddress, Sockets: sockets, ConfigFile: cfg.WebConfigFile, Version: version,
		Metrics: measured, Log: log, Clock: clock.RealClock{},
	}
	showing.Go(func() { web.Run(ctx) })
	if cfg.Textfile != "" {
		disk := diskOf(cfg)
		file := metrics.Textfile{
			Path: cfg.Textfile, Metrics: measured, Log: log, Clock: clock.RealClock{},
			Write: func(path string, content []byte) error { return disk.WriteFile(path, content, 0o644) },
		}
		showing.Go(func() { file.Run(ctx) })
	}
	return func() {
		cancel()
		showing.Wait()
	}
}
