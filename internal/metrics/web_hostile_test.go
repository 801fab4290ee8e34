package metrics_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// These run one after another: each looks at what the process needs.
func TestHostileClients(t *testing.T) {
	before := heap()
	t.Run("100 that say nothing and 100 that trickle their headers keep nobody out, and are cut off", slow)
	t.Run("who does not read keeps nobody out, nor the agent from its work", deafness)
	t.Run("1,000 scrapes at once are answered whole or not at all", crowd)
	t.Run("when the listener has ended nothing of it is left", left)
	until(t, "no connection is served any more", func() bool { return goroutines() == 0 })
	if after := heap(); after > before+4<<20 {
		t.Errorf("%d bytes are in use, before there were %d", after, before)
	}
}

// scrape fails the test unless a scrape is whole. Prometheus waits for 10 s, the test, on a machine that has more to do, for 20.
func (s *site) scrape(t *testing.T) {
	t.Helper()
	if got := s.get("/metrics"); !got.complete() {
		t.Errorf("%v", got)
	}
}

// open opens n connections, and returns how many are left open by the site.
func (s *site) open(t *testing.T, n int, first string) (conns []net.Conn, left func() int) {
	t.Helper()
	s.t = t
	for range n {
		c := s.dial()
		fmt.Fprint(c, first)
		conns = append(conns, c)
	}
	return conns, func() int {
		open := 0
		for _, c := range conns {
			c.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				open++
			}
		}
		return open
	}
}

func left(t *testing.T) {
	until(t, "no connection is served", func() bool { return goroutines() == 0 })
	s := serveNow(t, "")
	s.open(t, 30, "GET /metrics HTTP/1.1\r\nHost: a\r\n")
	until(t, "connections are served", func() bool { return goroutines() == 30 })
	s.stop()
	<-s.ended
	if n := goroutines(); n != 0 {
		t.Errorf("%d connections are still served", n)
	}
}

func slow(t *testing.T) {
	s := serveNow(t, "")
	_, left := s.open(t, 100, "")
	conns, leftToo := s.open(t, 100, "GET /metrics HTTP/1.1\r\nHost: a\r\n")
	ended := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			for _, c := range conns {
				fmt.Fprint(c, "X")
			}
			select {
			case <-ended:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	for range 10 {
		s.scrape(t)
	}
	if n := goroutines(); n > 70 {
		t.Errorf("%d connections are served at once", n)
	}
	start := time.Now()
	until(t, "all are cut off", func() bool { return left()+leftToo() == 0 })
	if took := time.Since(start); took > 25*time.Second {
		t.Errorf("that took %s", took)
	}
	close(ended)
	writing.Wait()
}

// The agent's own calls do not wait for a scrape either.
func deafness(t *testing.T) {
	s := serveNow(t, "")
	for range 4 {
		c := s.dial()
		c.(*net.TCPConn).SetReadBuffer(1)                                                 // the kernel takes 2 kB
		go fmt.Fprint(c, strings.Repeat("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 150)) // 6 MB of answers: more than the kernel buffers
	}
	start := time.Now()
	for range 1000 {
		s.metrics.Alive()
		s.metrics.Stands(status.Standing{})
		s.metrics.Failed(status.WebPhase, "listen")
		s.metrics.Called("GET", 200)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("4,000 calls of the agent took %s", took)
	}
	for range 10 {
		s.scrape(t)
	}
}

func TestWhoIsServedIsNotPushedOutByThoseWhoMayNotBe(t *testing.T) {
	t.Parallel()
	s := serveNow(t, passwordNeeded)
	var dials atomic.Int32
	keeps := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: counting(&dials)}}
	for range 5 {
		if got := ask(keeps, "GET", "http://"+s.address()+"/metrics", right); !got.complete() {
			t.Fatalf("%v", got)
		}
		_, left := s.open(t, 150, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n") // answered with 401, and kept open
		until(t, "they push one another out", func() bool { return left() < 64 })
	}
	if dials.Load() != 1 {
		t.Errorf("the connection of one who has the password was opened %d times", dials.Load())
	}
}

func crowd(t *testing.T) {
	s := serveNow(t, "")
	prometheus := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}} // keeps its connection
	scrape := func() {
		if got := ask(prometheus, "GET", "http://"+s.address()+"/metrics", nil); !got.complete() {
			t.Errorf("Prometheus, who was there before: %v", got)
		}
	}
	scrape()
	base := heap()
	var most atomic.Uint64
	stop, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		for {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				most.Store(max(most.Load(), heap()))
			}
		}
	}()
	start := make(chan struct{})
	var whole, none, other atomic.Int32
	var asking sync.WaitGroup
	for range 1000 {
		asking.Go(func() {
			<-start
			c, err := net.Dial("tcp", s.address())
			if err != nil {
				none.Add(1)
				return
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(30 * time.Second))
			fmt.Fprint(c, "GET /metrics HTTP/1.0\r\n\r\n")
			answer, _ := io.ReadAll(c)
			switch {
			case len(answer) == 0:
				none.Add(1)
			case strings.HasPrefix(string(answer), "HTTP/1.0 200") && strings.Contains(string(answer), "bootstrap_agent_ready 1\n"):
				whole.Add(1)
			default:
				other.Add(1)
			}
		})
	}
	close(start)
	for range 3 {
		scrape()
	}
	asking.Wait()
	prometheus.CloseIdleConnections()
	close(stop)
	<-watched
	t.Logf("of 1,000 scrapes %d were whole, %d not answered; at most %d kB more were in use", whole.Load(), none.Load(), (int64(most.Load())-int64(base))/1024)
	if other.Load() != 0 || whole.Load() < 500 { // a place is sure for 100 ms, which a busy machine may need for one
		t.Errorf("%d whole, %d not answered, %d otherwise", whole.Load(), none.Load(), other.Load())
	}
	if most.Load() > base+32<<20 { // the test's own 1,000 clients are most of it
		t.Errorf("%d kB more are in use", (most.Load()-base)/1024)
	}
}

func TestHeadersAndBodiesWithoutEndAreCutOff(t *testing.T) {
	t.Parallel()
	s := serve(t, "")
	for size, want := range map[int]int{4 << 10: http.StatusOK, 20 << 10: http.StatusRequestHeaderFieldsTooLarge} {
		got := ask(client(nil), "GET", "http://"+s.address()+"/metrics", func(r *http.Request) { r.Header.Set("X", strings.Repeat("x", size)) })
		if got.status != want {
			t.Errorf("%d bytes of header: %v, expected %d", size, got, want)
		}
	}
	for name, c := range map[string]struct{ begin, more, answer string }{
		"a header":     {"GET /metrics HTTP/1.1\r\nHost: a\r\nX: ", strings.Repeat("x", 4096), "HTTP/1.1 431"},
		"many headers": {"GET /metrics HTTP/1.1\r\nHost: a\r\n", strings.Repeat("X: x\r\n", 700), "HTTP/1.1 431"},
		"a path":       {"GET /", strings.Repeat("x", 4096), "HTTP/1.1 431"},
		"a body":       {"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", strings.Repeat("x", 4096), "HTTP/1.1 405"},
		"a GET's body": {"GET /healthz HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "1000\r\n" + strings.Repeat("x", 4096) + "\r\n", "HTTP/1.1 200"},
	} {
		s.t = t
		conn := s.dial()
		conn.SetDeadline(time.Now().Add(25 * time.Second))
		fmt.Fprint(conn, c.begin)
		sent, answer := 0, make(chan string, 1)
		go func() {
			head := make([]byte, 64)
			n, _ := io.ReadAtLeast(conn, head, 12)
			answer <- string(head[:n])
		}()
		for {
			n, err := io.WriteString(conn, c.more)
			sent += n
			if err != nil {
				break
			}
		}
		conn.Close()
		if got := <-answer; got != "" && !strings.HasPrefix(got, c.answer) { // a reset may overtake the answer
			t.Errorf("%s: %q", name, got)
		}
		if sent > 32<<20 { // what the kernel's buffers hold, and the 256 kB that net/http reads of a body
			t.Errorf("%s: %d bytes were taken", name, sent)
		}
	}
	s.scrape(t)
}

func TestRubbishOnEitherPortIsOneLineInTheLog(t *testing.T) {
	t.Parallel()
	ca, files := goodFiles(t)
	plain, secure := serve(t, ""), serveWith(t, certificateNeeded(""), files)
	for i := range 300 {
		for _, s := range []*site{plain, secure} {
			s.t = t
			c := s.dial()
			switch i % 4 {
			case 0:
				fmt.Fprint(c, "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03 no hello at all\r\n\r\n")
			case 1:
				fmt.Fprint(c, strings.Repeat("\x00", 600))
			case 2:
				fmt.Fprint(c, "GET /metrics HTTP/1.1\r\nHost: a\r\n\x00: \x00\r\n\r\n")
			case 3:
				tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
			}
			c.Close()
		}
	}
	plain.scrape(t)
	if got := ask(client(ca.trust(ca.clientPair(-time.Hour, 9*time.Hour))), "GET", "https://"+secure.address()+"/metrics", nil); !got.complete() {
		t.Errorf("%v", got)
	}
	for name, s := range map[string]*site{"plain": plain, "TLS": secure} {
		if lines := s.log.with("level=WARN"); len(lines) > 1 {
			t.Errorf("%s: %d lines: %q", name, len(lines), lines[:2])
		}
		if lines := s.log.with("level=ERROR"); len(lines) > 0 {
			t.Errorf("%s: %q", name, lines)
		}
	}
}
