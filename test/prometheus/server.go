// Package prometheus runs Debian's Prometheus, node_exporter and promtool in tests, each from bin/prometheus, on a port of 127.0.0.1 and
// in a folder of its own. What it starts ends with the test, also when that fails, and with the test process, however that went.
package prometheus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Options say what a Prometheus does.
type Options struct {
	// Config is its prometheus.yml. Relative paths in it are looked for beside it.
	Config string
	// Files are put beside it, by name: rules, certificates, passwords. None is readable for others.
	Files map[string][]byte
	// History are samples in the OpenMetrics text format, with timestamps, that it has before it starts.
	History []byte
	// Lookback is for how long a sample counts; 0: 5 minutes. A history whose samples are further apart needs more.
	Lookback time.Duration
	// Dir is its folder, with Config, Files and the data in it; it stays. Empty: one of its own that goes with it.
	Dir string
}

// Server is a running Prometheus.
type Server struct {
	process *process
	dir     string
	remove  bool
	client  http.Client
}

// New starts a Prometheus that ends with the test. When the test fails, what Prometheus said is logged.
func New(tb testing.TB, options Options) *Server {
	tb.Helper()
	s, err := Start(tb.Context(), options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.Stop()
		if tb.Failed() {
			tb.Logf("Prometheus said:\n%s", s.process.log())
		}
	})
	return s
}

// Start starts a Prometheus and returns when it is ready for queries. [Server.Stop] ends it.
func Start(ctx context.Context, options Options) (*Server, error) {
	s := &Server{dir: options.Dir, remove: options.Dir == "", client: http.Client{Transport: &http.Transport{}, Timeout: time.Minute}}
	if s.remove {
		var err error
		if s.dir, err = os.MkdirTemp("", "prometheus-"); err != nil {
			return nil, err
		}
	}
	if err := s.start(ctx, options); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, options Options) error {
	path, err := Program("prometheus")
	if err != nil {
		return err
	}
	if err := s.furnish(ctx, options); err != nil {
		return err
	}
	lookback := cmp.Or(options.Lookback, 5*time.Minute)
	s.process, err = startProcess(ctx, s.dir, path, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=10y",
		"--web.listen-address=127.0.0.1:0", "--log.level=debug", "--query.lookback-delta="+lookback.String(),
		"--scrape.discovery-reload-interval=50ms") // new targets wait for 5 s otherwise
	if err != nil {
		return err
	}
	return s.process.await(ctx, "it is ready", func() error {
		_, err := s.get(ctx, "/-/ready")
		return err
	})
}

// furnish writes what Prometheus reads.
func (s *Server) furnish(ctx context.Context, options Options) error {
	files := map[string][]byte{"prometheus.yml": []byte(options.Config)}
	maps.Copy(files, options.Files)
	for name, content := range files {
		path := filepath.Join(s.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	if options.History == nil {
		return nil
	}
	return createBlocks(ctx, options.History, filepath.Join(s.dir, "data"))
}

// Stop ends Prometheus and removes its folder, if it is its own.
func (s *Server) Stop() {
	if s.process != nil {
		s.process.stop()
	}
	s.client.CloseIdleConnections()
	if s.remove {
		os.RemoveAll(s.dir)
	}
}

// URL is where Prometheus listens, without a slash at the end.
func (s *Server) URL() string { return "http://" + s.process.address }

// Dir is the folder with prometheus.yml, the files beside it and the data.
func (s *Server) Dir() string { return s.dir }

// Log is what Prometheus has said so far.
func (s *Server) Log() string { return s.process.log() }

// get returns the body of an answer 200. path may have a query.
func (s *Server) get(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", request.URL, err)
	}
	return body, nil
}

// errNone is for a query that finds nothing where something is to be.
var errNone = errors.New("no series")
