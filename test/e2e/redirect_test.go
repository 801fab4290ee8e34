package e2e

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// redirectProofs are those of the redirects: whatever the credential is, it does not go where an answer says.
var redirectProofs = map[string]proof{
	"redirect-token": redirected(func(w *way) clientcmdapi.AuthInfo { return w.staticToken(controlplane.Unapproved) }),
	"redirect-token-file": redirected(func(w *way) clientcmdapi.AuthInfo {
		w.write(w.path("token"), []byte(w.staticToken(controlplane.Unapproved).Token), 0o600)
		w.keeps(w.path("token"))
		return clientcmdapi.AuthInfo{TokenFile: "token"}
	}),
	"redirect-client-certificate": redirected(func(w *way) clientcmdapi.AuthInfo {
		certificate, key, err := w.cp.ClientCertificate("redirected-"+w.name, "test:unapproved")
		must(w.t, err)
		w.secret(key)
		return clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	}),
	"redirect-exec": redirected(func(w *way) clientcmdapi.AuthInfo {
		w.keeps(w.path("plugin"))
		return w.execPlugin(printToken(w.staticToken(controlplane.Unapproved).Token))
	}),
}

// detour leads to two servers to which nobody must come: one with a good certificate of the API server's CA, one without TLS.
type detour struct {
	*way
	t           *testing.T
	secure      *faultproxy.Recording
	plainVisits atomic.Int32
	targets     []string
	served      atomic.Int32
}

func newDetour(t *testing.T, user func(*way) clientcmdapi.AuthInfo) *detour {
	t.Helper()
	d := &detour{t: t}
	d.way = newWay(t, func(w *way) {
		chosen := user(w)
		w.user, d.way = &chosen, w
		secure := w.behind(t)
		d.secure = secure.Handler(w.certificate(controlplane.ServingOptions{}), nil)
		plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { d.plainVisits.Add(1) }))
		t.Cleanup(plain.Close)
		d.targets = []string{secure.URL(), plain.URL}
		d.redirect(func(*http.Request) bool { return true })
	})
	t.Cleanup(func() {
		if d.secure.Connections() != 0 || d.plainVisits.Load() != 0 {
			t.Errorf("a redirect was followed: %d connections by TLS %v, %d requests without", d.secure.Connections(), d.secure.Requests(), d.plainVisits.Load())
		}
	})
	return d
}

var redirections = []int{
	http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
}

// redirect answers the chosen requests with a redirect, each kind in its turn and to both targets. Others are answered truly,
// with the object that they ask for.
func (d *detour) redirect(chosen func(*http.Request) bool) {
	d.served.Store(0)
	d.answered(func(rw http.ResponseWriter, r *http.Request) {
		if !chosen(r) {
			object, err := d.cp.AdminClient().CertificatesV1().RESTClient().Get().RequestURI(r.RequestURI).DoRaw(r.Context())
			if err != nil && r.Context().Err() == nil { // the connection was not closed meanwhile
				d.t.Error(err)
			}
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write(object)
			return
		}
		n := int(d.served.Add(1) - 1)
		rw.Header().Set("Location", d.targets[n%2]+r.RequestURI)
		rw.WriteHeader(redirections[n%len(redirections)])
	})
}

// awaitEach waits until each kind of redirect was served.
func (d *detour) awaitEach(what string) {
	d.t.Helper()
	eventually(d.t, "each kind of redirect of "+what, func() bool { return int(d.served.Load()) >= len(redirections) })
}

func redirected(user func(*way) clientcmdapi.AuthInfo) proof {
	return func(t *testing.T, row scenarios.Scenario) {
		once := newDetour(t, user)
		before := once.bootstrapBytes()
		r := once.meanwhile(func() { proveRedirectsAreSaid(t, row, newDetour(t, user)) }, "--timeout=2s")
		says := row
		says.Says = "reason=redirect"
		once.assertEnds(r, says, "answered with a redirect to "+once.targets[0]+": "+row.Says)
		once.assertNothingLost(before)
		proveNoRedirectIsFollowed(t, row, newDetour(t, user))
	}
}

// proveRedirectsAreSaid has a daemon that meets a redirect: it says so, and does not insist.
func proveRedirectsAreSaid(t *testing.T, row scenarios.Scenario, w *detour) {
	before := w.bootstrapBytes()
	d := w.start()
	d.awaitLog("reason=redirect")
	d.awaitStatus(row.Says)
	d.awaitStatus("client: redirect: create certificate signing request " + w.name)
	time.Sleep(aMoment)
	w.assertNothingLost(before)
	if n := w.served.Load(); n != 1 {
		t.Errorf("%d attempts within %s, expected one: a person acts in minutes", n, aMoment)
	}
	d.showsSigns(row)
	if !d.running() {
		t.Error("the daemon has ended")
	}
}

// proveNoRedirectIsFollowed shows every request that the credential goes with: POST, GET and WATCH.
func proveNoRedirectIsFollowed(t *testing.T, row scenarios.Scenario, w *detour) {
	const factor = 150
	before := w.bootstrapBytes()
	d := w.startHurried(hurry(factor))
	w.awaitEach("POST")
	assertApart(t, "attempt", times(w.seen, http.MethodPost), 30*time.Second/factor)
	name := w.assertNothingLost(before)

	w.proxy.Pass()
	w.same(csr.Client, name)
	w.expectVerbs(csr.Client, "create", "watch")
	w.redirect(func(*http.Request) bool { return true })
	w.awaitEach("GET")

	w.redirect(func(r *http.Request) bool { return r.URL.Query().Has("watch") })
	w.awaitEach("WATCH")
	w.assertNothingLost(before)

	w.proxy.Pass()
	w.approve(csr.Client)
	w.awaitJoined()
	w.same(csr.Client, name)
	d.shows(row, scenarios.GoesOn)
}
