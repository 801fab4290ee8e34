package apiserver

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The health check of a connection takes 45 s, and a request 20: without more, the next one would hang as well.
func TestARequestThatHangsEndsInTimeAndTheNextOneHasANewConnection(t *testing.T) {
	t.Parallel()
	sends := map[string]func(context.Context, *Client) error{"POST": post, "GET": get, "WATCH": watchFor, "who am I": whoAmI, "addresses": addressesOfA}
	for protocol, change := range protocols {
		for how := range dies {
			for what, send := range sends {
				t.Run(protocol+", "+what+", "+how, func(t *testing.T) {
					t.Parallel()
					proxy, endpoint := lineTo(t, serve(t, anyAnswer, change...))
					recording := proxy.Pass()
					client := connect(t, endpoint) // with the health check as it is
					if err := send(t.Context(), client); err != nil {
						t.Fatal(err)
					}
					die(t, proxy, how)
					ctx, most := t.Context(), answerTimeout
					if !soak() {
						most = 150 * time.Millisecond
						limited, cancel := context.WithTimeout(ctx, most)
						defer cancel()
						ctx = limited
					}
					dead := time.Now()
					if err := send(ctx, client); !errors.Is(err, errNoEvent) { // client-go takes a watch that nobody answers for one without events
						assertReason(t, err, Timeout)
					}
					if took := time.Since(dead); took > most+5*time.Second {
						t.Errorf("it took %s", took)
					}
					if err := send(t.Context(), client); err != nil || recording.Connections() != 2 {
						t.Errorf("%v, over %d connections, expected the dead one and a new one", err, recording.Connections())
					}
				})
			}
		}
	}
}

// anyAnswer answers each of the agent's requests.
func anyAnswer(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "selfsubjectreviews"):
		answer(http.StatusCreated, "application/json", review)(w, r)
	case strings.Contains(r.URL.Path, "/nodes/"):
		answer(http.StatusOK, "application/json", `{"kind":"Node","metadata":{"name":"a"}}`)(w, r)
	default:
		echo(w, r)
	}
}

func addressesOfA(ctx context.Context, client *Client) error {
	_, err := client.NodeAddresses(ctx, "a")
	return err
}

// Whoever waits for an answer when the connection is found out hears that, and not that time has run out.
func TestARequestOverAConnectionThatIsFoundDeadWasNotReached(t *testing.T) {
	t.Parallel()
	proxy, endpoint := lineTo(t, serve(t, echo))
	recording := proxy.Pass()
	client := connectWith(t, endpoint, impatient("HTTP/2"))
	if err := get(t.Context(), client); err != nil {
		t.Fatal(err)
	}
	die(t, proxy, "its other end is gone")
	if !soak() { // where the request's own limit comes first
		assertReason(t, get(t.Context(), client), Unreachable)
	} else if err := get(t.Context(), client); err == nil {
		t.Error("it was answered")
	}
	if err := get(t.Context(), client); err != nil || recording.Connections() != 2 {
		t.Errorf("%v, over %d connections, expected the dead one and a new one", err, recording.Connections())
	}
}

// The answer began, and its rest does not come.
func TestAnAnswerThatStopsInTheMiddleCostsItsConnectionToo(t *testing.T) {
	t.Parallel()
	for protocol, change := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var stuck atomic.Bool
			never := make(chan struct{})
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if !stuck.Load() {
					echo(w, r)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"kind":`))
				_ = http.NewResponseController(w).Flush()
				<-never
			}, change...)
			t.Cleanup(func() { close(never) }) // before the server is closed
			proxy, endpoint := lineTo(t, server)
			recording := proxy.Pass()
			client := connect(t, endpoint)
			if err := get(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			stuck.Store(true)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			assertReason(t, get(ctx, client), Timeout)
			stuck.Store(false)
			if err := get(t.Context(), client); err != nil || recording.Connections() != 2 {
				t.Errorf("%v, over %d connections, expected a second one", err, recording.Connections())
			}
		})
	}
}

// A person who ends the agent, or a task that is not needed any more, says nothing about the connection.
func TestARequestThatIsGivenUpBeforeItsTimeCostsNoConnection(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	handler := streams(nil)
	proxy, endpoint := lineTo(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			handler(w, r)
			return
		}
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	recording := proxy.Pass()
	client := connect(t, endpoint)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		begin(ctx, t, client)
		go func() {
			<-asked
			cancel()
		}()
		if err := post(ctx, client); !errors.Is(err, context.Canceled) { // before its answer, and the watch in the middle of it
			t.Fatal(err)
		}
		if err := get(t.Context(), client); err != nil {
			t.Fatal(err)
		}
	}
	if n := recording.Connections(); n != 1 {
		t.Errorf("%d connections, expected one", n)
	}
}

var errNoEvent = errors.New("no event")

// watchFor reads one event of a watch, or says why there is none.
func watchFor(ctx context.Context, client *Client) error {
	stream, err := client.API().Get().Resource(csrs).Param("watch", "true").MaxRetries(0).Watch(ctx)
	if err != nil {
		return err
	}
	defer stream.Stop()
	for range stream.ResultChan() {
		return nil
	}
	return errNoEvent
}
