package metrics_test

import (
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
)

// socket is one that the service manager has opened, as the agent sees it, and another process' hold on it.
func socket(t *testing.T) (inherited, held net.Listener) {
	t.Helper()
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { held.Close() })
	return again(t, held), held
}

// again is the same socket for another process.
func again(t *testing.T, held net.Listener) net.Listener {
	t.Helper()
	file, err := held.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	inherited, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	return inherited
}

func TestSocketsAreServedInTheAddressPlace(t *testing.T) {
	t.Parallel()
	s, web := newSite(t)
	first, _ := socket(t)
	second, _ := socket(t)
	taken, _ := socket(t)
	web.Sockets, web.Address = []net.Listener{first, second}, taken.Addr().String()
	addresses := []string{first.Addr().String(), second.Addr().String()}
	s.run(web)
	for _, address := range addresses {
		if got := ask(client(nil), "GET", "http://"+address+"/metrics", nil); !got.complete() {
			t.Errorf("%v", got)
		}
	}
	if s.failures("listen") != 0 {
		t.Errorf("it has tried to open the address too: %q", s.log.lines)
	}
}

func TestWhoComesToASocketWhileTheAgentIsRestartedIsServedAfterwards(t *testing.T) {
	t.Parallel()
	s, web := newSite(t)
	inherited, held := socket(t)
	web.Sockets = []net.Listener{inherited}
	s.run(web)
	s.address()
	s.stop()
	<-s.ended
	answered := make(chan reply)
	go func() { answered <- ask(client(nil), "GET", "http://"+held.Addr().String()+"/metrics", nil) }()
	select {
	case got := <-answered:
		t.Fatalf("answered while nobody serves: %v", got)
	case <-time.After(200 * time.Millisecond):
	}
	next, web := newSite(t)
	web.Sockets = []net.Listener{held}
	next.run(web)
	if got := <-answered; !got.complete() {
		t.Errorf("%v", got)
	}
}

func TestNoScrapeOfASocketFailsWhileTheAgentIsRestarted(t *testing.T) {
	t.Parallel()
	_, held := socket(t)
	url, done := "http://"+held.Addr().String()+"/metrics", make(chan struct{})
	var scraping sync.WaitGroup
	for range 3 {
		scraping.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if got := ask(client(nil), "GET", url, nil); !got.complete() {
					t.Errorf("%v", got)
				}
			}
		})
	}
	for range 6 {
		s, web := newSite(t)
		web.Sockets = []net.Listener{again(t, held)}
		s.run(web)
		s.address()
		time.Sleep(30 * time.Millisecond) // some are under way
		s.stop()
		<-s.ended
	}
	s, web := newSite(t) // the last of them may wait
	web.Sockets = []net.Listener{again(t, held)}
	s.run(web)
	close(done)
	scraping.Wait()
}

func TestASocketUnderABadWebConfigurationTurnsEverybodyAwayUntilItIsMended(t *testing.T) {
	t.Parallel()
	s, web := newSite(t)
	inherited, held := socket(t)
	web.Sockets, web.ConfigFile = []net.Listener{inherited}, s.write("web.yaml", "")
	s.run(web)
	until(t, "a failure", func() bool { return s.failures("configuration") == 1 && s.clock.HasWaiters() })
	url := "http://" + held.Addr().String() + "/metrics"
	for range 3 {
		if got := ask(client(nil), "GET", url, right); got.status != 0 || got.err == nil || os.IsTimeout(got.err) {
			t.Errorf("%v, expected a closed connection", got)
		}
	}
	s.write("web.yaml", passwordNeeded)
	s.clock.Step(time.Minute)
	s.address()
	if got := ask(client(nil), "GET", url, right); !got.complete() {
		t.Errorf("mended: %v", got)
	}
	if got := ask(client(nil), "GET", url, nil); got.status != http.StatusUnauthorized {
		t.Errorf("mended, without the password: %v", got)
	}
}

func TestWithoutAServiceManagerThereAreNoSockets(t *testing.T) {
	t.Setenv("LISTEN_PID", "1") // another process'
	t.Setenv("LISTEN_FDS", "1")
	if sockets, err := metrics.Inherited(); len(sockets) != 0 || err != nil {
		t.Errorf("%v, %v", sockets, err)
	}
}
