package apiserver

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// endless sends a body that never ends, and counts what it got rid of.
func endless(sent *atomic.Int64, begin string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(begin))
		for block := []byte(strings.Repeat("garbage ", 1<<13)); ; {
			n, err := w.Write(block)
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}
}

// client-go reads whole bodies into memory, so what it is given must end.
func TestAnEndlessAnswerIsCutOff(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		send  func(context.Context, *Client) error
		begin string
		most  int64
	}{
		"to a POST":  {post, `{"kind":"`, answerLimit},
		"to a GET":   {get, `{"kind":"`, answerLimit},
		"to a WATCH": {readWatch, `{"type":"ADDED","object":"`, watchLimit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent atomic.Int64
			server := serve(t, endless(&sent, row.begin), http1)
			err := row.send(t.Context(), connect(t, endpointOf(server)))
			const buffered = 8 << 20 // in the sockets
			if got := sent.Load(); got > row.most+buffered {
				t.Errorf("%d MiB were taken: %v", got>>20, err)
			}
		})
	}
}

// readWatch reads a watch to its end.
func readWatch(ctx context.Context, client *Client) error {
	stream, err := client.API().Get().Resource(csrs).Param("watch", "true").MaxRetries(0).Watch(ctx)
	if err != nil {
		return err
	}
	defer stream.Stop()
	for range stream.ResultChan() {
	}
	return errors.New("the watch ended")
}

func TestAFailingExecPluginIsNoFailingNetwork(t *testing.T) {
	t.Parallel()
	missing := execPlugin(t, "")
	missing.Exec.Command += "-that-is-not-there"
	for name, credential := range map[string]Credential{
		"it fails":              execPlugin(t, "echo the vault is sealed >&2; exit 7"),
		"it says nothing":       execPlugin(t, "true"),
		"it says something odd": execPlugin(t, "echo welcome"),
		"it is not there":       missing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			server := serve(t, func(http.ResponseWriter, *http.Request) { requests.Add(1) })
			err := post(t.Context(), connect(t, endpointOf(server), credential))
			assertReason(t, err, NoCredential)
			if requests.Load() != 0 || !strings.Contains(err.Error(), "getting credentials: ") {
				t.Errorf("%d requests: %v", requests.Load(), err)
			}
		})
	}
}

func TestAnExecPluginThatHangsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	client := connect(t, endpointOf(serve(t, echo)), execPlugin(t, "exec sleep 5 2>/dev/null"))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	assertReason(t, post(ctx, client), NoCredential)
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestAClientThatIsClosedLeavesNoGoroutine(t *testing.T) { // not parallel: it counts
	server := serve(t, echo)
	before := runtime.NumGoroutine()
	for range 5 {
		client := connect(t, endpointOf(server))
		if err := post(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}
