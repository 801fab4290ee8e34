package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

// FuzzDateHeader looks for a Date header that panics, that gives a time which the header does not say, or one at which the
// server's own certificate is not valid.
func FuzzDateHeader(f *testing.F) {
	now := time.Date(2026, 3, 29, 1, 59, 59, 700e6, time.UTC)
	for _, at := range []time.Time{now, now.Add(time.Second), now.Add(-time.Hour), now.AddDate(500, 0, 0), {}, time.Unix(math.MaxInt32+1, 0)} {
		f.Add(at.UTC().Format(http.TimeFormat), at.UTC().Format(time.RFC850), false)
		f.Add(at.UTC().Format(time.ANSIC), "", true)
	}
	f.Add("Mon, 02 Jan 10000 15:04:05 GMT", "Sun, 29 Feb 2026 00:00:00 GMT", true)
	leaf := &x509.Certificate{NotBefore: now.Add(-30 * 24 * time.Hour), NotAfter: now.AddDate(1, 0, 0)}
	f.Fuzz(func(t *testing.T, first, second string, verified bool) {
		clock := clocktesting.NewFakeClock(now)
		client := &Client{times: &serverClock{clock: clock}}
		answers := []string{first, second}
		transport := client.times.watching(roundTripper(func(*http.Request) (*http.Response, error) {
			response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Date": {answers[0]}}, Body: io.NopCloser(strings.NewReader(""))}
			if verified {
				response.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
			}
			return response, nil
		}))
		said := time.Time{} // the last time that could be read
		for known := false; len(answers) > 0; answers = answers[1:] {
			if at, err := http.ParseTime(answers[0]); err == nil && (!verified || at.After(leaf.NotBefore.Add(-time.Second)) && !at.After(leaf.NotAfter)) {
				said, known = at, true
			}
			response, err := transport.RoundTrip(&http.Request{})
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			expectTime(t, client, now, said, known)
			clock.SetTime(now) // nothing may depend on how often it is asked
		}
	})
}

// expectTime shows that the server's time is what it said last, within the header's resolution; what lies further off than a
// duration can hold stays on its side of now.
func expectTime(t *testing.T, client *Client, now, said time.Time, known bool) {
	t.Helper()
	at, isKnown := client.ServerTime()
	const far = 290 * 365 * 24 * time.Hour
	off := said.Sub(now)
	switch {
	case isKnown != known:
		t.Errorf("known: %v, expected %v", isKnown, known)
	case !known && !at.Equal(now):
		t.Errorf("nothing was said, and it is taken to be %s", at)
	case known && off > far && at.Before(now.Add(far-time.Second)), known && off < -far && at.After(now.Add(-far+time.Second)):
		t.Errorf("the server said %s, taken for %s", said, at)
	case known && off.Abs() < far && at.Sub(said).Abs() > 2*time.Second:
		t.Errorf("the server said %s, taken for %s", said, at)
	}
}
