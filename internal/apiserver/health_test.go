package apiserver

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	events "k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
)

// soak: with the intervals that the agent has, not with short ones.
func soak() bool { return os.Getenv("SOAK") != "" }

// impatient is a health check that a test can wait for; TCP's keep-alive counts in seconds.
func impatient(protocol string) health {
	switch {
	case soak():
		return defaultHealth()
	case protocol == "HTTP/1.1":
		return health{silence: time.Second, sign: time.Second, idle: idleTimeout}
	}
	return health{silence: 200 * time.Millisecond, sign: 200 * time.Millisecond, idle: idleTimeout}
}

// longest is after how long a dead connection is found out.
func (h health) longest(protocol string) time.Duration {
	if protocol == "HTTP/1.1" {
		return h.silence + keepAliveProbes*h.dialer().KeepAliveConfig.Interval
	}
	return h.silence + h.sign
}

// connectWith is connect with another idea of what a dead connection is.
func connectWith(t *testing.T, endpoint Endpoint, health health) *Client {
	t.Helper()
	client, err := newClient(endpoint, Credential{Token: testToken}, "bootstrap-agent/test", clock.RealClock{}, health)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// lineTo puts a proxy between a client and a server.
func lineTo(t *testing.T, server *httptest.Server) (*faultproxy.Proxy, Endpoint) {
	t.Helper()
	proxy, err := faultproxy.New(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	endpoint := endpointOf(server)
	endpoint.Server = proxy.URL()
	return proxy, endpoint
}

// streams answers a watch with one event at once and another one when it is told to, and anything else with an object.
func streams(more <-chan struct{}) http.HandlerFunc {
	const event = `{"type":"MODIFIED","object":{"kind":"CertificateSigningRequest","apiVersion":"certificates.k8s.io/v1","metadata":{"name":"node","uid":"1"}}}`
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") == "" {
			echo(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		for {
			fmt.Fprintln(w, event)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-more:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// begin begins a watch, and returns when its first event has come.
func begin(ctx context.Context, t *testing.T, client *Client) events.Interface {
	t.Helper()
	stream, err := client.API().Get().Resource(csrs).Param("watch", "true").MaxRetries(0).Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stream.Stop)
	<-stream.ResultChan()
	return stream
}

var protocols = map[string][]func(*httptest.Server){"HTTP/1.1": {http1}, "HTTP/2": nil}

// dies makes the connections that are there die in silence: a proxy's kernel goes on acknowledging what it takes, a cut line nothing.
var dies = map[string]func(*faultproxy.Proxy) (int, error){
	"its other end is gone":    func(p *faultproxy.Proxy) (int, error) { return p.HalfOpen(), nil },
	"its packets are all lost": (*faultproxy.Proxy).Drop,
}

func die(t *testing.T, proxy *faultproxy.Proxy, how string) {
	t.Helper()
	if n, err := dies[how](proxy); n != 1 || err != nil {
		t.Fatalf("%d connections, expected one: %v", n, err)
	}
}

func TestAWatchOverADeadConnectionEndsAndTheNextOneHasANewConnection(t *testing.T) {
	t.Parallel()
	for protocol, change := range protocols {
		if longest := defaultHealth().longest(protocol); longest > 45*time.Second {
			t.Errorf("over %s it may take %s, more than 45 s", protocol, longest)
		}
		for how := range dies {
			if protocol == "HTTP/1.1" && how == "its other end is gone" {
				continue // the kernel of the proxy is well; csr's own limit ends such a watch
			}
			t.Run(protocol+", "+how, func(t *testing.T) {
				t.Parallel()
				proxy, endpoint := lineTo(t, serve(t, streams(nil), change...))
				client := connectWith(t, endpoint, impatient(protocol))
				recording := proxy.Pass()
				stream := begin(t.Context(), t, client)
				time.Sleep(200 * time.Millisecond) // so that the watch is shown to outlive its begin
				die(t, proxy, how)
				dead, last := time.Now(), impatient(protocol).longest(protocol)+5*time.Second // with a machine that is busy
				timer := time.NewTimer(last)
				defer timer.Stop()
				for ended := false; !ended; {
					select {
					case event, more := <-stream.ResultChan():
						if ended = !more; more && event.Type != events.Error {
							t.Fatalf("an event came through: %v", event)
						}
					case <-timer.C:
						t.Fatalf("it has not ended within %s", last)
					}
				}
				t.Logf("it ended after %s", time.Since(dead).Round(time.Millisecond))
				begin(t.Context(), t, client)
				if n := recording.Connections(); n != 2 {
					t.Errorf("%d connections, expected the dead one and a new one", n)
				}
			})
		}
	}
}

// A health check that ends connections which are well would make each node of a cluster connect every minute.
func TestAWatchThatHasNothingToSayGoesOn(t *testing.T) {
	t.Parallel()
	for protocol, change := range protocols {
		if protocol == "HTTP/1.1" && !soak() {
			continue // the kernel's own, in seconds
		}
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			more := make(chan struct{}, 1)
			proxy, endpoint := lineTo(t, serve(t, streams(more), change...))
			recording := proxy.Pass()
			health := impatient(protocol)
			stream := begin(t.Context(), t, connectWith(t, endpoint, health))
			quiet := time.NewTimer(health.longest(protocol) + health.silence)
			defer quiet.Stop()
			select {
			case event := <-stream.ResultChan():
				t.Fatalf("%v", event)
			case <-quiet.C:
			}
			more <- struct{}{}
			if event := <-stream.ResultChan(); event.Type != events.Modified || recording.Connections() != 1 {
				t.Errorf("%v over %d connections", event, recording.Connections())
			}
		})
	}
}

func TestTheEnvironmentMakesTheHealthCheckFasterAndDoesNotSwitchItOff(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"": -1, "0": -1, "-1": -1, "31": -1, "99999999999999999999": -1, "soon": -1, "1.5": -1, " 5": -1,
		"1": time.Second, "5": 5 * time.Second, "15": 15 * time.Second,
	} {
		wantSilence, wantSign := want, want
		if want < 0 {
			wantSilence, wantSign = 30*time.Second, 15*time.Second
		}
		asked := 0
		got := healthFrom(func(name string) string {
			if name == "HTTP2_READ_IDLE_TIMEOUT_SECONDS" || name == "HTTP2_PING_TIMEOUT_SECONDS" {
				asked++
				return text
			}
			return "7"
		})
		if got.silence != wantSilence || got.sign != wantSign || asked != 2 {
			t.Errorf("%q makes it %+v, want %s and %s", text, got, wantSilence, wantSign)
		}
	}
}

// client-go's transport reads the variables as well, and 0 switches its pings off.
func TestAHealthCheckThatTheEnvironmentSwitchesOffIsMade(t *testing.T) {
	t.Setenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS", "0")
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "3600")
	if got := defaultHealth(); got.silence != silence || got.sign != signOfLife {
		t.Errorf("%+v", got)
	}
	proxy, endpoint := lineTo(t, serve(t, streams(nil)))
	stream := begin(t.Context(), t, connectWith(t, endpoint, health{silence: 200 * time.Millisecond, sign: 200 * time.Millisecond, idle: idleTimeout}))
	die(t, proxy, "its other end is gone")
	for timer := time.After(5 * time.Second); ; {
		select {
		case _, more := <-stream.ResultChan():
			if !more {
				return
			}
		case <-timer:
			t.Fatal("nobody noticed within 5 s")
		}
	}
}

// Where HTTP/2 is in the way (DISABLE_HTTP2 is client-go's word for that), TCP's keep-alive is what is left.
func TestWithoutHTTP2TheConnectionIsWatchedByTCP(t *testing.T) {
	t.Setenv("DISABLE_HTTP2", "1")
	seen := ""
	server := serve(t, func(w http.ResponseWriter, r *http.Request) { seen = r.Proto; echo(w, r) })
	client := connect(t, endpointOf(server))
	if err := get(t.Context(), client); err != nil || seen != "HTTP/1.1" {
		t.Errorf("%s: %v", seen, err)
	}
	if k := defaultHealth().dialer().KeepAliveConfig; !k.Enable || k.Idle+time.Duration(k.Count)*k.Interval > 45*time.Second {
		t.Errorf("%+v", k)
	}
}
