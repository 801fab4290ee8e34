package apiserver

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/utils/clock"
)

// askedOnly answers like an API server, and counts what reaches it.
func askedOnly(t *testing.T, change ...func(*httptest.Server)) (server *httptest.Server, asked *atomic.Int32) {
	t.Helper()
	asked = &atomic.Int32{}
	server = serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Authorization") != "" || len(r.TLS.PeerCertificates) > 0 || r.URL.Path != "/version" {
			t.Errorf("%s was asked for with a credential", r.URL.Path)
		}
		fmt.Fprint(w, `{"gitVersion":"v1.34.1"}`)
	}, change...)
	return server, asked
}

func TestALookSeesCertificateTimeAndVersionWithoutACredential(t *testing.T) {
	t.Parallel()
	server, _ := askedOnly(t)
	seen, err := Look(t.Context(), endpointOf(server), "test", clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	if seen.Version != "v1.34.1" || seen.Status != 200 || seen.Distrust != nil || seen.Untimely || len(seen.Chain) != 1 || seen.Date.IsZero() {
		t.Errorf("seen was %+v", seen)
	}
	if difference := seen.At.Sub(seen.Date).Abs(); difference > 5*time.Second {
		t.Errorf("the clocks are %s apart", difference)
	}
}

func TestNothingIsSentToAServerThatIsNotTrustedUnlessForTheTime(t *testing.T) {
	t.Parallel()
	_, otherCA := withCertificate(t, -time.Hour, time.Hour)
	for _, c := range []struct {
		name     string
		from     time.Duration
		until    time.Duration
		endpoint func(*Endpoint)
		asked    int32
		untimely bool
		distrust func(error) bool
	}{
		{"trusted", -time.Hour, time.Hour, nil, 1, false, func(err error) bool { return err == nil }},
		{"another CA", -time.Hour, time.Hour, func(e *Endpoint) { e.CA = otherCA }, 0, false, is[x509.UnknownAuthorityError]},
		{"another name", -time.Hour, time.Hour, func(e *Endpoint) { e.TLSServerName = "api.example.com" }, 0, false, is[x509.HostnameError]},
		{"expired", -2 * time.Hour, -time.Hour, nil, 1, true, is[x509.CertificateInvalidError]},
		{"not valid yet", time.Hour, 2 * time.Hour, nil, 1, true, is[x509.CertificateInvalidError]},
		{"expired, and for another name", -2 * time.Hour, -time.Hour, func(e *Endpoint) { e.TLSServerName = "api.example.com" }, 0, false, func(err error) bool { return err != nil }},
		{"expired, and of another CA", -2 * time.Hour, -time.Hour, func(e *Endpoint) { e.CA = otherCA }, 0, false, func(err error) bool { return err != nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			change, ca := withCertificate(t, c.from, c.until)
			server, asked := askedOnly(t, change)
			endpoint := Endpoint{Server: server.URL, CA: ca}
			if c.endpoint != nil {
				c.endpoint(&endpoint)
			}
			seen, err := Look(t.Context(), endpoint, "test", clock.RealClock{})
			if asked.Load() != c.asked || seen.Untimely != c.untimely || !c.distrust(seen.Distrust) || (err == nil) != (c.asked == 1) || len(seen.Chain) != 1 {
				t.Errorf("it was asked %d times; untimely %t, distrusted for %v, error %v", asked.Load(), seen.Untimely, seen.Distrust, err)
			}
		})
	}
}

func is[T error](err error) bool {
	var kind T
	return errors.As(err, &kind)
}

func TestALookFollowsNoRedirectAndReadsNoMoreThanAVersion(t *testing.T) {
	t.Parallel()
	other, asked := askedOnly(t)
	for name, handler := range map[string]http.HandlerFunc{
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/version", http.StatusFound)
		},
		"endless":    func(w http.ResponseWriter, r *http.Request) { blanks(r.Context(), w) },
		"no version": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"ok"}`) },
		"too long": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"gitVersion":%q}`, strings.Repeat("v1", 1000))
		},
		"not allowed": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"gitVersion":"v1.34.1"}`, http.StatusForbidden)
		},
	} {
		seen, err := Look(t.Context(), endpointOf(serve(t, handler)), "test", clock.RealClock{})
		if err != nil || seen.Version != "" || seen.Status == 0 {
			t.Errorf("%s: version %q, status %d, error %v", name, seen.Version, seen.Status, err)
		}
	}
	if asked.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// blanks never end by themselves.
func blanks(ctx context.Context, w http.ResponseWriter) {
	for ctx.Err() == nil {
		if _, err := fmt.Fprint(w, strings.Repeat(" ", 4096)); err != nil {
			return
		}
	}
}

func TestALookThatIsGivenUpTellsWhatItHasSeen(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	seen, err := Look(ctx, endpointOf(server), "test", clock.RealClock{})
	if err == nil || len(seen.Chain) != 1 || seen.Status != 0 {
		t.Errorf("seen was a chain of %d, status %d, error %v", len(seen.Chain), seen.Status, err)
	}
	silent := listen(t, func(c net.Conn) { <-t.Context().Done(); c.Close() })
	limited, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if seen, err := Look(limited, Endpoint{Server: "https://" + silent, CA: endpointOf(server).CA}, "test", clock.RealClock{}); ReasonOf(err) != Timeout || len(seen.Chain) > 0 {
		t.Errorf("a server that says nothing: %v", err)
	}
}

// A token or a certificate is there before the request: one that is late on a busy machine has no answer, and no lack of a credential.
func TestOnlyAnExecPluginLacksACredential(t *testing.T) {
	t.Parallel()
	client := connect(t, endpointOf(serve(t, func(http.ResponseWriter, *http.Request) {})))
	for i := range 200 { // some of them end before the request was handed to the network
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Microsecond)
		if err := get(ctx, client); ReasonOf(err) == NoCredential {
			t.Errorf("after %d µs: %v", i*5, err)
		}
		cancel()
	}
}

func TestWhatIsNoAnswerOfAnAPIServerIsSaidToBeSomethingElse(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "null", "[]", `"ok"`, `{"status":"ok"}`, `{"kind":"Node","metadata":{"name":"other"}}`, `{"kind":"ConfigMap2"}`, "<html>"} {
		client := connect(t, endpointOf(serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		})))
		if _, err := client.May(t.Context(), Access{Verb: "create"}); err == nil {
			t.Errorf("%q is a review", body)
		}
		if _, err := client.Node(t.Context(), "worker-1"); err == nil {
			t.Errorf("%q is a Node", body)
		}
		if _, err := client.ClusterInfo(t.Context()); err == nil {
			t.Errorf("%q is cluster-info", body)
		}
		if _, err := client.Version(t.Context()); err == nil {
			t.Errorf("%q is a version", body)
		}
		if names, _ := client.BindingsOf(t.Context(), "role"); len(names) > 0 {
			t.Errorf("%q has bindings", body)
		}
	}
}

func TestANodeThatIsNotThereIsToldFromAPageThatIsNotThere(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]bool{`{"kind":"Status","status":"Failure","reason":"NotFound","code":404}`: true, "<html>nginx</html>": false} {
		client := connect(t, endpointOf(serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if strings.HasPrefix(body, "{") {
				w.Header().Set("Content-Type", "application/json")
			}
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, body)
		})))
		if _, err := client.Node(t.Context(), "worker-1"); errors.Is(err, ErrNotRegistered) != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}
