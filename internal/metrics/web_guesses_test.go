package metrics_test

import (
	"context"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Each check of a password costs the node 60 ms of a CPU, or whatever the hash says; the one here costs nothing.
func TestAThousandWrongPasswordsCostATenthOfACPUAndKeepNobodyOut(t *testing.T) {
	t.Parallel()
	s := serve(t, passwordNeeded)
	url := "http://" + s.address() + "/metrics"
	if got := ask(client(nil), "GET", url, right); !got.complete() {
		t.Fatalf("%v", got)
	}
	s.clock.Step(time.Minute)
	var checked, refused atomic.Int32
	var guessing sync.WaitGroup
	for g := range 8 {
		guessing.Go(func() {
			for i := range 125 {
				got := ask(client(nil), "GET", url, func(r *http.Request) { r.SetBasicAuth("prometheus", strconv.Itoa(g*1000+i)) })
				switch {
				case got.status == http.StatusUnauthorized:
					checked.Add(1)
				case got.status == http.StatusTooManyRequests && got.header.Get("Retry-After") == "10":
					refused.Add(1)
				default:
					t.Errorf("%v", got)
				}
			}
		})
	}
	for range 20 {
		if got := ask(client(nil), "GET", url, right); !got.complete() {
			t.Errorf("who has had the password before is kept out: %v", got)
		}
	}
	guessing.Wait()
	if checked.Load() != 8 || refused.Load() != 992 {
		t.Errorf("of 1,000 guesses in no time %d were checked, %d refused", checked.Load(), refused.Load())
	}
	s.elsewhere(t, url)
	s.clock.Step(10 * time.Second)
	if got := ask(client(nil), "GET", url, func(r *http.Request) { r.SetBasicAuth("prometheus", "other") }); got.status != http.StatusUnauthorized {
		t.Errorf("10 s later: %v", got)
	}
}

// elsewhere shows that another machine may still try what is new from there.
func (s *site) elsewhere(t *testing.T, url string) {
	t.Helper()
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	other := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return from.DialContext(ctx, network, address)
	}}}
	if got := ask(other, "GET", url, func(r *http.Request) { r.SetBasicAuth("prometheus", "new") }); got.status != http.StatusUnauthorized {
		t.Errorf("another address is kept out by the guesses of the first: %v", got)
	}
}
