package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"k8s.io/utils/clock"
)

// dying is a listener that ends by itself once somebody has come.
type dying struct{ net.Listener }

func (l dying) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.Close()
	return nil, errors.New("the interface is gone")
}

func TestAListenerThatDiesIsMadeAgain(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	m := New(clock.RealClock{}, Build{}, false)
	m.Alive()
	made := make(chan string, 8)
	first := true
	open := func(ctx context.Context) (net.Listener, error) {
		listener, err := bind("127.0.0.1:0")(ctx)
		if err != nil {
			return nil, err
		}
		if first {
			listener = dying{listener}
		}
		first = false
		made <- listener.Addr().String()
		return listener, nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Web{Metrics: m, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler)}.keep(ctx, open)
	}()
	if c, err := net.Dial("tcp", <-made); err == nil {
		c.Close()
	}
	select {
	case address := <-made:
		response, err := http.Get("http://" + address + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if text, _ := io.ReadAll(response.Body); string(text) != "ok\n" {
			t.Errorf("%q", text)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no listener is made in 20 s")
	}
	cancel()
	<-ended
}

func TestTheDearerAPasswordIsTheFewerAreChecked(t *testing.T) {
	t.Parallel()
	for hash, guesses := range map[string]int{
		"$2a$04$HdJnbgifi6BLXjp5OsKqYOHzWbWo6UYk7rg0rs7yQSsnVW5qVgxz.": 16,
		"$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi": 16,
		"$2a$12$uY.yGqemFV8.5A7R0rErJu6YSjoZRykB43U0F28j7xaEAEtEIqxEi": 4,
		"$2b$31$uY.yGqemFV8.5A7R0rErJu6YSjoZRykB43U0F28j7xaEAEtEIqxEi": 2,
	} {
		cost, err := bcryptCost(hash)
		if got := guessesFor(max(cost, leastCost)); err != nil || got != guesses {
			t.Errorf("%s: %d guesses, %v, expected %d", hash, got, err, guesses)
		}
	}
}
