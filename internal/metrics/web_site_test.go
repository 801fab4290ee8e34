package metrics_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// site is a listener, what it says, and a clock that it goes by. The clock is an hour ahead, so that a file which was just written has
// been as it is for long enough.
type site struct {
	t       *testing.T
	metrics *metrics.Metrics
	clock   *testingclock.FakeClock
	log     *journal
	folder  string
	stop    context.CancelFunc
	ended   chan struct{}
}

// journal keeps the lines of a log.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(line))
	return len(line), nil
}

// with returns the lines that have all the texts.
func (j *journal) with(texts ...string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []string
lines:
	for _, line := range j.lines {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				continue lines
			}
		}
		found = append(found, line)
	}
	return found
}

func until(t *testing.T, what string, check func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !check(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 30 s for: %s", what)
		}
	}
}

// newSite returns a listener on a free port that is not served yet.
func newSite(t *testing.T) (*site, metrics.Web) {
	t.Helper()
	s := &site{t: t, clock: testingclock.NewFakeClock(time.Now().Add(time.Hour)), log: &journal{}, folder: t.TempDir(), ended: make(chan struct{})}
	s.metrics = metrics.New(s.clock, metrics.Build{Version: "v1.2.3", GoVersion: "go1.26"}, false)
	s.metrics.Alive()
	s.metrics.Stands(status.Standing{})
	return s, metrics.Web{
		Address: "127.0.0.1:0", Version: "v1.2.3", Metrics: s.metrics, Clock: s.clock,
		Log: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// run serves until the test ends.
func (s *site) run(web metrics.Web) {
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() {
		defer close(s.ended)
		web.Run(ctx)
	}()
	s.t.Cleanup(func() {
		s.stop()
		select {
		case <-s.ended:
		case <-time.After(20 * time.Second):
			s.t.Error("the listener does not end with its context")
		}
	})
}

// serve is a listener that is served, under the web configuration if there is text.
func serve(t *testing.T, configuration string) *site {
	t.Helper()
	s, web := newSite(t)
	if configuration != "" {
		web.ConfigFile = s.write("web.yaml", configuration)
	}
	s.run(web)
	s.address()
	return s
}

// serveNow is serve by the machine's clock.
func serveNow(t *testing.T, configuration string) *site {
	t.Helper()
	s, web := newSite(t)
	web.Clock = clock.RealClock{}
	s.metrics = metrics.New(web.Clock, metrics.Build{}, false)
	web.Metrics = s.metrics
	s.metrics.Stands(status.Standing{})
	if configuration != "" {
		web.ConfigFile = s.write("web.yaml", configuration)
	}
	s.run(web)
	s.address()
	return s
}

// write makes a file in one step.
func (s *site) write(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.folder, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		s.t.Fatal(err)
	}
	return path
}

var servedAt = regexp.MustCompile(`metrics are served.* address=(\S+)`)

// address is where it listens now.
func (s *site) address() string {
	s.t.Helper()
	until(s.t, "metrics are served", func() bool { return len(s.log.with("metrics are served")) > 0 })
	lines := s.log.with("metrics are served")
	return servedAt.FindStringSubmatch(lines[len(lines)-1])[1]
}

// servedTimes is how often it has begun to serve.
func (s *site) servedTimes() int { return len(s.log.with("msg=\"metrics are served")) }

// failures are those that it has counted.
func (s *site) failures(reason string) float64 {
	return values(s.t, page(s.t, s.metrics))[series(`errors_total{phase="web",reason="`+reason+`"}`)]
}

// client asks over a connection of its own for each request.
func client(config *tls.Config) *http.Client {
	return &http.Client{
		Timeout:       20 * time.Second,
		Transport:     &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// reply is what came back; a connection that is closed without an answer has the status 0.
type reply struct {
	status int
	header http.Header
	body   string
	err    error
}

// ask sends one request.
func ask(c *http.Client, method, url string, change func(*http.Request)) reply {
	request, err := http.NewRequest(method, url, nil)
	if err != nil {
		return reply{err: err}
	}
	if change != nil {
		change(request)
	}
	response, err := c.Do(request)
	if err != nil {
		return reply{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return reply{response.StatusCode, response.Header, string(body), err}
}

func (s *site) get(path string) reply {
	return ask(client(nil), http.MethodGet, "http://"+s.address()+path, nil)
}

// complete says whether a reply is a whole page of metrics.
func (r reply) complete() bool {
	return r.status == http.StatusOK && r.err == nil && strings.Contains(r.body, "bootstrap_agent_ready 1\n") && strings.HasSuffix(r.body, "\n")
}

// dial opens a connection that the test's end closes.
func (s *site) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.address())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// goroutines is how many of them serve connections.
func goroutines() int {
	stacks := make([]byte, 16<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("net/http.(*conn).serve("))
}

// heap is what is in use after a collection.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc + stats.StackInuse
}

func (r reply) String() string { return fmt.Sprintf("%d %v %.200q", r.status, r.err, r.body) }

// counting is how a client opens connections, counted.
func counting(dials *atomic.Int32) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		dials.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
}
