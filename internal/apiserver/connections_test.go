package apiserver

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	events "k8s.io/apimachinery/pkg/watch"
)

// counting has the server count the connections that are open, and those that ever were.
func counting() (count func(*httptest.Server), open, ever *atomic.Int32) {
	open, ever = &atomic.Int32{}, &atomic.Int32{}
	return func(server *httptest.Server) {
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
				ever.Add(1)
			case http.StateClosed, http.StateHijacked:
				open.Add(-1)
			default:
			}
		}
	}, open, ever
}

// awaitOpen waits until the server has that many open connections.
func awaitOpen(t *testing.T, open *atomic.Int32, want int32) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); open.Load() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d connections are open, expected %d", open.Load(), want)
		}
	}
}

func TestAClosedClientsConnectionsEndWithItsLastRequest(t *testing.T) {
	t.Parallel()
	ends := map[string]func(streams []events.Interface, cancel func(), stop chan struct{}){
		"stopped": func(streams []events.Interface, _ func(), _ chan struct{}) {
			for _, stream := range streams {
				stream.Stop()
			}
		},
		"cancelled":           func(_ []events.Interface, cancel func(), _ chan struct{}) { cancel() },
		"ended by the server": func(_ []events.Interface, _ func(), stop chan struct{}) { close(stop) },
	}
	for protocol, change := range protocols {
		for how, end := range ends {
			for _, watches := range []int{0, 1, 3} {
				t.Run(fmt.Sprintf("%s, %d watches %s", protocol, watches, how), func(t *testing.T) {
					t.Parallel()
					count, open, _ := counting()
					server, more, stop := streamsUntil(t, append(slices.Clip(change), count)...)
					client := connect(t, endpointOf(server))
					if err := post(t.Context(), client); err != nil {
						t.Fatal(err)
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					var streams []events.Interface
					for range watches {
						streams = append(streams, begin(ctx, t, client))
					}
					client.Close()
					goesOn(t, streams, more) // what is under way
					end(streams, cancel, stop)
					awaitOpen(t, open, 0)
					if err := post(t.Context(), client); err != nil { // what begins later is served, and leaves nothing
						t.Error(err)
					}
					awaitOpen(t, open, 0)
				})
			}
		}
	}
}

// goesOn makes sure that each of the streams brings another event. The server's ends take from one channel, and one that is quick may take
// more than its share.
func goesOn(t *testing.T, streams []events.Interface, more chan<- struct{}) {
	t.Helper()
	came := make(chan events.EventType)
	for _, stream := range streams {
		go func() {
			came <- (<-stream.ResultChan()).Type
			for range stream.ResultChan() { // nobody reads the rest
				continue
			}
		}()
	}
	for range streams {
		for waiting := true; waiting; {
			select {
			case kind := <-came:
				waiting = false
				if kind != events.Modified {
					t.Errorf("a watch was ended: %v", kind)
				}
			case more <- struct{}{}:
				time.Sleep(time.Millisecond) // they are to get one each, and not all
			}
		}
	}
}

// streamsUntil is a server that streams, one event for each of more, until stop is closed.
func streamsUntil(t *testing.T, change ...func(*httptest.Server)) (server *httptest.Server, more, stop chan struct{}) {
	t.Helper()
	more, stop = make(chan struct{}), make(chan struct{})
	handler := streams(more)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() {
			select {
			case <-stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		handler(w, r.WithContext(ctx))
	}, change...), more, stop
}

// As a rotation has it: the new certificate's client is made, and the old one's is closed.
func TestOneClientAfterTheOtherLeavesOneConnection(t *testing.T) {
	t.Parallel()
	for protocol, change := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			count, open, ever := counting()
			server := serve(t, streams(nil), append(slices.Clip(change), wantsAnyCertificate, count)...)
			const rotations = 10
			var last *Client
			for range rotations {
				_, certPEM, keyPEM := certificate(t, x509.Certificate{})
				next := connect(t, endpointOf(server), Credential{CertificatePEM: certPEM, KeyPEM: keyPEM})
				if err := post(t.Context(), next); err != nil {
					t.Fatal(err)
				}
				stream := begin(t.Context(), t, next)
				if last != nil {
					last.Close()
				}
				stream.Stop()
				if err := get(t.Context(), next); err != nil {
					t.Fatal(err)
				}
				last = next
			}
			last.Close()
			awaitOpen(t, open, 0)
			if ever.Load() < rotations {
				t.Errorf("%d connections for %d certificates: one was used for another's", ever.Load(), rotations)
			}
			t.Logf("%d certificates, %d connections, %d left", rotations, ever.Load(), open.Load())
		})
	}
}

func wantsAnyCertificate(server *httptest.Server) {
	wantsClientCertificate(server)
	server.TLS.MaxVersion = 0
}

// A connection that nobody uses is a load on the API server, which has those of all nodes.
func TestAnIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	if defaultHealth().idle != 90*time.Second {
		t.Errorf("after %s", defaultHealth().idle)
	}
	for protocol, change := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			count, open, ever := counting()
			server := serve(t, streams(nil), append(slices.Clip(change), count)...)
			client := connectWith(t, endpointOf(server), health{silence, signOfLife, 200 * time.Millisecond})
			stream := begin(t.Context(), t, client)
			time.Sleep(400 * time.Millisecond) // a watch is no idleness
			if open.Load() != 1 {
				t.Fatal("a connection in use was closed")
			}
			stream.Stop()
			awaitOpen(t, open, 0)
			if err := get(t.Context(), client); err != nil || ever.Load() != 2 {
				t.Errorf("%v, over the connection number %d", err, ever.Load())
			}
			l := client.connections.line()
			l.mu.Lock()
			defer l.mu.Unlock()
			if len(l.open) > 1 {
				t.Errorf("%d connections are known, where one is open", len(l.open))
			}
		})
	}
}

// A server that is only slow: what has had no answer in time is asked over a new connection, and what goes on well goes on.
func TestAWatchGoesOnWhileAnotherRequestTimesOutAndItsConnectionEndsWithIt(t *testing.T) {
	t.Parallel()
	count, open, ever := counting()
	more, slow := make(chan struct{}), atomic.Bool{}
	handler := streams(more)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if slow.Load() && r.Method == http.MethodPost {
			<-r.Context().Done()
			return
		}
		handler(w, r)
	}, count)
	client := connect(t, endpointOf(server))
	stream := begin(t.Context(), t, client)
	slow.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	assertReason(t, post(ctx, client), Timeout)
	slow.Store(false)
	if err := post(t.Context(), client); err != nil || ever.Load() != 2 {
		t.Fatalf("%v, over the connection number %d", err, ever.Load())
	}
	more <- struct{}{}
	if event := <-stream.ResultChan(); event.Type != events.Modified {
		t.Fatalf("the watch was ended: %v", event)
	}
	awaitOpen(t, open, 2)
	stream.Stop()
	awaitOpen(t, open, 1)
	if err := post(t.Context(), client); err != nil || ever.Load() != 2 {
		t.Errorf("%v, over the connection number %d", err, ever.Load())
	}
	client.Close()
	awaitOpen(t, open, 0)
}

// net/http goes on dialing for a request that was given up, and keeps what it gets.
func TestAConnectionThatNobodyWaitsForAnyMoreIsNotKept(t *testing.T) {
	t.Parallel()
	dialing, dialed := make(chan struct{}), make(chan net.Conn, 1)
	client := connect(t, endpointOf(serve(t, echo)))
	client.connections.dial = func(_ context.Context, network, address string) (net.Conn, error) {
		<-dialing
		connection, err := (&net.Dialer{}).DialContext(context.Background(), network, address)
		dialed <- connection
		return connection, err
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	assertReason(t, get(ctx, client), Timeout)
	client.Close()
	close(dialing)
	connection := <-dialed
	for deadline := time.Now().Add(5 * time.Second); connection.SetDeadline(time.Time{}) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is still open")
		}
	}
}

// Requests that time out, or a client that is closed, are no reason for others to fail.
func TestNoRequestFailsBecauseConnectionsAreLeft(t *testing.T) {
	t.Parallel()
	for protocol, change := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			count, open, ever := counting()
			client := connect(t, endpointOf(serve(t, echo, append(slices.Clip(change), count)...)))
			const workers, each = 4, 12
			var tasks sync.WaitGroup
			for range workers {
				tasks.Go(func() {
					for i := range each {
						if err := get(t.Context(), client); err != nil {
							t.Error(err)
						}
						if i%4 == 0 {
							client.connections.leave(client.connections.line())
						}
						if i == each/2 {
							client.Close()
						}
					}
				})
			}
			tasks.Wait()
			awaitOpen(t, open, 0)
			t.Logf("%d requests over %d connections", workers*each, ever.Load())
		})
	}
}
