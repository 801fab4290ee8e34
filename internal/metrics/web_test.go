package metrics_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

func TestEachPathAnswersAndThereIsNoOther(t *testing.T) {
	t.Parallel()
	s := serve(t, "")
	for path, says := range map[string]string{
		"/": "v1.2.3", "/metrics": "bootstrap_agent_ready 1\n", "/healthz": "ok\n", "/readyz": "ok\n",
	} {
		if got := s.get(path); got.status != http.StatusOK || !strings.Contains(got.body, says) || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", path, got)
		}
		head := ask(client(nil), http.MethodHead, "http://"+s.address()+path, nil)
		if head.status != http.StatusOK || head.body != "" {
			t.Errorf("HEAD %s: %v", path, head)
		}
	}
	for _, path := range []string{"/metrics/", "/metric", "/debug/pprof/", "/debug/pprof/heap", "/debug/requests", "/debug/vars", "/debug/events", "/healthz/x", "/favicon.ico", "//metrics"} {
		if got := s.get(path); got.status == http.StatusOK || strings.Contains(got.body, "bootstrap_agent_") {
			t.Errorf("%s: %v", path, got)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "FOO"} {
		if got := ask(client(nil), method, "http://"+s.address()+"/metrics", nil); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %v", method, got)
		}
	}
}

func TestHealthAndReadinessSayWhyNot(t *testing.T) {
	t.Parallel()
	s := serve(t, "")
	s.metrics.Stands(status.Standing{NotReady: "the node has no client certificate yet"})
	if got := s.get("/readyz"); got.status != http.StatusServiceUnavailable || got.body != "the node has no client certificate yet\n" {
		t.Errorf("not ready: %v", got)
	}
	if got := s.get("/healthz"); got.status != http.StatusOK {
		t.Errorf("healthy, though not ready: %v", got)
	}
	s.clock.Step(10 * time.Minute)
	if got := s.get("/healthz"); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "10m0s") {
		t.Errorf("a loop that is silent for 10 minutes: %v", got)
	}
	s.metrics.Alive()
	s.metrics.Stands(status.Standing{})
	if got := s.get("/healthz"); got.status != http.StatusOK {
		t.Errorf("the loop goes round again: %v", got)
	}
	if got := s.get("/readyz"); got.status != http.StatusOK {
		t.Errorf("ready: %v", got)
	}
}

// Whatever a client asks for, it gets the series that node_exporter shows of the text file: le="1", not le="1.0", and no other name.
func TestEverybodyGetsPrometheusTextFormat(t *testing.T) {
	t.Parallel()
	s := serve(t, "")
	for _, accept := range []string{
		"", "application/json", "text/plain;version=0.0.4;q=1,*/*;q=0.1",
		"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
	} {
		got := ask(client(nil), http.MethodGet, "http://"+s.address()+"/metrics", func(r *http.Request) { r.Header.Set("Accept", accept) })
		if kind := got.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain; version=0.0.4") || !strings.Contains(got.body, `le="1"}`) || strings.Contains(got.body, "# EOF") {
			t.Errorf("Accept: %s: %s, %v", accept, kind, got)
		}
		if got.header.Get("Content-Encoding") != "" {
			t.Errorf("Accept: %s: compressed", accept)
		}
	}
}

func TestWithoutAnAddressThereIsNoPort(t *testing.T) {
	t.Parallel()
	s, web := newSite(t)
	web.Address = ""
	s.run(web)
	<-s.ended
	if len(s.log.lines) > 0 {
		t.Errorf("it says %q", s.log.lines)
	}
}

// The certificates go on beside it: nothing here ends the process, and the agent's calls do not wait (see the hostile clients).
func TestATakenPortIsTakenAsSoonAsItIsFree(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	s, web := newSite(t)
	web.Address = taken.Addr().String()
	s.run(web)
	for attempts, pause := 1.0, time.Second; attempts <= 8; attempts++ {
		until(t, fmt.Sprint(attempts, " failed attempts"), func() bool { return s.failures("listen") == attempts && s.clock.HasWaiters() })
		s.clock.Step(pause - time.Millisecond)
		if s.failures("listen") != attempts {
			t.Fatalf("tried again before %s have passed", pause)
		}
		if attempts == 8 {
			taken.Close()
		}
		s.clock.Step(time.Millisecond)
		pause = min(2*pause, time.Minute)
	}
	if got := s.get("/metrics"); !got.complete() {
		t.Errorf("%v", got)
	}
	if lines := s.log.with("level=WARN"); len(lines) != 1 || !strings.Contains(lines[0], "address already in use") || !strings.Contains(lines[0], "ss -ltnp") {
		t.Errorf("8 failures are %d lines: %q", len(lines), lines)
	}
	if len(s.log.with("metrics are served again")) != 1 {
		t.Errorf("that it is mended is not said: %q", s.log.lines)
	}
}

func TestAnAddressThatIsNotThereYetIsNamed(t *testing.T) {
	t.Parallel()
	s, web := newSite(t)
	web.Address = "192.0.2.77:10261" // of a block for documentation: no interface has it
	s.run(web)
	until(t, "a failure", func() bool { return s.failures("listen") == 1 })
	until(t, "a line", func() bool { return len(s.log.with("level=WARN")) == 1 })
	if lines := s.log.with("level=WARN", "192.0.2.77:10261", "no interface has this address yet"); len(lines) != 1 {
		t.Errorf("%q", s.log.lines)
	}
}

func TestAtTheEndThePortIsFreeAndOpenConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	s := serve(t, "")
	address, idle := s.address(), s.dial()
	fmt.Fprint(idle, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
	if line, err := bufio.NewReader(idle).ReadString('\n'); err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	s.stop()
	select {
	case <-s.ended:
	case <-time.After(5 * time.Second):
		t.Fatal("it takes more than 5 s to end: the agent has no more for all that it does")
	}
	idle.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.ReadAll(idle); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a connection is still open")
	}
	again, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	again.Close()
}
