package faultproxy

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"os"
	"testing"
	"time"
)

// echo is a backend that sends back every line, and a client of it behind a proxy.
func echo(t *testing.T) (*Proxy, *line) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				for lines := bufio.NewReader(connection); ; {
					text, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					_, _ = connection.Write([]byte(text))
				}
			}()
		}
	}()
	proxy, err := New(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	return proxy, dial(t, proxy)
}

// line is a connection that speaks in lines.
type line struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, proxy *Proxy) *line {
	t.Helper()
	connection, err := net.Dial("tcp4", proxy.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return &line{t, connection, bufio.NewReader(connection)}
}

// say sends a line.
func (l *line) say(text string) {
	l.t.Helper()
	if _, err := l.Write([]byte(text + "\n")); err != nil {
		l.t.Fatal(err)
	}
}

// hear fails the test unless this line comes next.
func (l *line) hear(text string) {
	l.t.Helper()
	_ = l.SetReadDeadline(time.Now().Add(5 * time.Second))
	if got, err := l.in.ReadString('\n'); got != text+"\n" {
		l.t.Fatalf("got %q, %v; want %q", got, err, text)
	}
}

// hearNothing fails the test if a line, or the end, comes within a while.
func (l *line) hearNothing() {
	l.t.Helper()
	_ = l.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if got, err := l.in.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		l.t.Fatalf("got %q, %v; want nothing", got, err)
	}
}

func TestWhatIsSentOverACutNetworkArrivesWhenItIsMended(t *testing.T) {
	proxy, before := echo(t)
	before.say("one")
	before.hear("one")
	mend := proxy.Cut()
	after := dial(t, proxy)
	for _, l := range []*line{before, after} {
		l.say("two")
		l.hearNothing()
	}
	mend()
	for _, l := range []*line{before, after} {
		l.hear("two")
		l.say("three")
		l.hear("three")
	}
	mend() // a second time does nothing
}

func TestTheEndOfAConnectionIsNotHeardOverACutNetwork(t *testing.T) {
	server := backend(t)
	proxy, err := New(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	l := dial(t, proxy)
	mend := proxy.Cut()
	server.CloseClientConnections()
	l.hearNothing()
	mend()
	l.say("anybody?")
	_ = l.SetReadDeadline(time.Now().Add(5 * time.Second))
	if text, err := l.in.ReadString('\n'); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v; want the end", text, err)
	}
}

func TestASlowNetworkTakesItsTimeInEachDirection(t *testing.T) {
	proxy, l := echo(t)
	mend := proxy.Slow(150 * time.Millisecond)
	begin := time.Now()
	l.say("there and back")
	l.hear("there and back")
	if took := time.Since(begin); took < 300*time.Millisecond {
		t.Errorf("it took %v", took)
	}
	mend()
	quickest := time.Hour
	for range 5 { // other tests run beside this one
		begin = time.Now()
		l.say("and again")
		l.hear("and again")
		quickest = min(quickest, time.Since(begin))
	}
	if quickest > 150*time.Millisecond {
		t.Errorf("mended, it took %v", quickest)
	}
}

func TestAHalfOpenConnectionStaysAndCarriesNothingAndANewOneDoes(t *testing.T) {
	proxy, old := echo(t)
	old.say("one")
	old.hear("one")
	if n := proxy.HalfOpen(); n != 1 {
		t.Errorf("%d connections of clients, want 1", n)
	}
	old.say("two")
	old.hearNothing()
	fresh := dial(t, proxy)
	fresh.say("three")
	fresh.hear("three")
	old.say("four")
	old.hearNothing()
	if n := proxy.HalfOpen(); n != 1 {
		t.Errorf("%d more connections of clients, want 1", n)
	}
	proxy.Pass()
	_ = old.SetReadDeadline(time.Now().Add(5 * time.Second))
	if text, err := old.in.ReadString('\n'); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v; want the end with the mode", text, err)
	}
}

func TestTheEndOfTheBackendIsNotHeardOverAHalfOpenConnection(t *testing.T) {
	proxy, server := start(t)
	response, err := client(server, true).Get(proxy.URL() + "/watch")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	if text, err := lines.ReadString('\n'); text != "first event\n" {
		t.Fatal(text, err)
	}
	proxy.HalfOpen()
	server.CloseClientConnections()
	heard := make(chan error, 1)
	go func() {
		_, err := lines.ReadString('\n')
		heard <- err
	}()
	select {
	case err := <-heard:
		t.Errorf("the end was heard: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
}

func TestCloseEndsWhatACutHoldsBack(t *testing.T) {
	proxy, l := echo(t)
	proxy.Cut()
	l.say("never")
	closed := make(chan error, 1)
	go func() { closed <- proxy.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Close waits for the cut to be mended")
	}
	proxy.Cut()() // too late to do anything
}

func TestAnotherModeEndsTheDisturbance(t *testing.T) {
	proxy, server := start(t)
	proxy.Cut()
	proxy.Slow(time.Hour)
	proxy.Pass()
	if code, _, err := get(client(server, true), proxy.URL()); code != http.StatusOK {
		t.Errorf("got %d, %v", code, err)
	}
}
