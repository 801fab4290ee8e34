package e2e

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// proveUnauthorized has a token whose Secret comes later than the node, as with an installer that makes both.
func proveUnauthorized(t *testing.T, row scenarios.Scenario) {
	unknown := func(w *way) {
		token := controlplane.TokenOptions{ID: randomText(6), Secret: randomText(16)}
		w.secret([]byte(token.Secret))
		w.user = &clientcmdapi.AuthInfo{Token: token.ID + "." + token.Secret}
		w.seen = w.proxy.Handler(w.certificate(controlplane.ServingOptions{}), w.forward())
		w.mend = func() {
			_, err := w.cp.CreateBootstrapToken(t.Context(), token)
			must(t, err)
			w.proxy.Pass() // the proof needs a client certificate
		}
	}
	once := newWay(t, unknown)
	before := once.bootstrapBytes()
	r := once.meanwhile(func() {
		w := newWay(t, unknown)
		d := w.start()
		eventually(t, "several attempts", func() bool { return len(w.seen.Requests()) >= 3 })
		// after a second or less, two or less
		if took := w.seen.Requests()[2].Time.Sub(w.seen.Requests()[0].Time); took > 5*time.Second {
			t.Errorf("the third attempt with a token that may come any moment was made after %s", took)
		}
		d.awaitStatus("client: unauthorized: ")
		w.assertNothingLost(w.bootstrapBytes())
		w.assertPatient(d)
		assertApart(t, "attempt", times(w.seen, http.MethodPost), 450*time.Millisecond)
		w.mend()
		w.awaitJoined()
		w.awaitRid()
		w.csr(csr.Client)
		d.shows(row, scenarios.GoesOn)
		newWay(t, unknown).showsSigns(row)
	}, "--timeout=2s")
	once.assertEnds(r, row, "Unauthorized")
	once.assertNothingLost(before)
}

func randomText(length int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	text, seed := make([]byte, length), time.Now().UnixNano()
	for i := range text {
		text[i] = letters[seed%36]
		seed = seed/36 ^ seed<<7&0x7fffffffffff
	}
	return string(text)
}

// times are when the requests of a method came in.
func times(seen *faultproxy.Recording, method string) []time.Time {
	var times []time.Time
	for _, request := range seen.Requests() {
		if request.Method == method && !strings.Contains(request.UserAgent, "doctor") {
			times = append(times, request.Time)
		}
	}
	return times
}

// proveForbidden has a client certificate of somebody who is known and has no rights, until a person gives them.
func proveForbidden(t *testing.T, row scenarios.Scenario) {
	stranger := func(w *way) {
		user := "stranger-" + w.name
		certificate, key, err := w.cp.ClientCertificate(user)
		must(t, err)
		w.secret(key)
		w.user = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
		w.seen = w.proxy.Pass()
		w.mend = func() {
			w.bind(user, "system:node-bootstrapper", "system:certificates.k8s.io:certificatesigningrequests:nodeclient")
		}
	}
	const factor = 20
	once, daemon, hurried := newWay(t, stranger), newWay(t, stranger), newWay(t, stranger)
	before := once.bootstrapBytes()
	h := hurried.startHurried(hurry(factor))
	d := daemon.start()
	r := once.meanwhile(func() {
		d.awaitLog("reason=forbidden")
		time.Sleep(5 * time.Second)
		if posts := daemon.posts(); len(posts) != 1 {
			t.Errorf("%d attempts in 5 s, expected one: a person acts in minutes", len(posts))
		}
		d.awaitStatus("client: forbidden: create certificate signing request " + daemon.name)
		daemon.assertNothingLost(daemon.bootstrapBytes())
		d.showsSigns(row)
		d.kill()
	}, "--timeout=2s")
	once.assertEnds(r, row, `User "stranger-`+once.name+`" cannot create resource`)
	once.assertNothingLost(before)

	eventually(t, "a second attempt", func() bool { return len(hurried.posts()) >= 2 })
	hurried.assertNothingLost(hurried.bootstrapBytes())
	hurried.mend()
	hurried.awaitJoined()
	hurried.awaitRid()
	hurried.csr(csr.Client)
	assertApart(t, "attempt", hurried.posts(), 30*time.Second/factor)
	h.shows(row, scenarios.GoesOn)
}

// bind gives a user rights for the rest of the test.
func (n *node) bind(user string, roles ...string) {
	n.t.Helper()
	for i, role := range roles {
		_, err := n.cp.AdminClient().RbacV1().ClusterRoleBindings().Create(n.t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("test:%s-%d", n.name, i)},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
		}, metav1.CreateOptions{})
		must(n.t, err)
	}
}

// posts are when the stranger tried to create a request.
func (w *way) posts() []time.Time {
	w.t.Helper()
	requests, err := w.cp.Requests("stranger-" + w.name)
	must(w.t, err)
	var times []time.Time
	for _, request := range requests {
		if request.Verb == "create" {
			times = append(times, request.Time)
		}
	}
	return times
}

// proveThrottled has an API server under load, which sheds requests before it looks at them.
func proveThrottled(t *testing.T, row scenarios.Scenario) {
	const after = 3 * time.Second
	overloaded := func(w *way) {
		w.answered(func(rw http.ResponseWriter, _ *http.Request) { // k8s.io/apiserver/pkg/server/filters tooManyRequests
			rw.Header().Set("Retry-After", fmt.Sprint(int(after.Seconds())))
			http.Error(rw, "Too many requests, please try again later.", http.StatusTooManyRequests)
		})
	}
	once := newWay(t, overloaded)
	before := once.bootstrapBytes()
	r := once.meanwhile(func() {
		w := newWay(t, overloaded)
		d := w.start()
		eventually(t, "a second attempt", func() bool { return len(w.seen.Requests()) >= 2 })
		d.awaitLog("reason=throttled")
		d.awaitStatus("client: throttled: create certificate signing request " + w.name)
		name := w.assertNothingLost(w.bootstrapBytes())
		w.mend()
		w.awaitJoined()
		w.awaitRid()
		w.same(csr.Client, name)
		assertApart(t, "attempt", times(w.seen, http.MethodPost), after)
		d.shows(row, scenarios.GoesOn)
		newWay(t, overloaded).showsSigns(row)
	}, "--timeout=2s")
	once.assertEnds(r, row, "the server has received too many requests")
	once.assertNothingLost(before)
}

func proveExecPluginFails(t *testing.T, row scenarios.Scenario) {
	failing := func(w *way) {
		token := w.secretToken().Token
		user := w.execPlugin(fmt.Sprintf("[ -e %s ] || { echo the vault is sealed >&2; exit 7; }\n%s", w.path("unsealed"), printToken(token)))
		w.user, w.seen = &user, w.proxy.Pass()
		w.mend = func() { w.write(w.path("unsealed"), nil, 0o600) }
	}
	missing := func(w *way) {
		failing(w)
		w.write(w.path("unsealed"), nil, 0o600)
		must(t, os.Rename(w.path("plugin"), w.path("plugin.later")))
		w.mend = func() { must(t, os.Rename(w.path("plugin.later"), w.path("plugin"))) }
	}
	says := map[string]func(*way){"failed with exit code 7": failing, "no such file or directory": missing}
	for cameBack, lead := range says {
		once := newWay(t, lead)
		once.keeps(once.path("plugin"), once.path("plugin.later"))
		before := once.bootstrapBytes()
		r := once.meanwhile(func() {
			w := newWay(t, lead)
			w.keeps(w.bootstrapFile(), w.path("plugin"), w.path("plugin.later"))
			d := w.start()
			d.awaitLog("reason=credential")
			d.awaitStatus("client: credential: create certificate signing request " + w.name)
			d.awaitStatus(row.Says)
			time.Sleep(aMoment)
			name := w.assertNothingLost(w.bootstrapBytes())
			if w.seen.Connections() != 0 {
				t.Errorf("%d connections, and no credential", w.seen.Connections())
			}
			w.mend()
			w.awaitJoined()
			w.same(csr.Client, name)
			d.shows(row, scenarios.GoesOn)
			sight := newWay(t, lead)
			sight.keeps(sight.path("plugin"), sight.path("plugin.later"))
			sight.showsSigns(row)
		}, "--timeout=2s")
		credential := row
		credential.Says = "reason=credential"
		once.assertEnds(r, credential, cameBack)
		once.expect(r, row.OnceExit, row.Says)
		once.assertNothingLost(before)
	}
}

// proveDownWithIdentity is a boot without the API server: what is on the disk was proved when it was stored.
func proveDownWithIdentity(t *testing.T, row scenarios.Scenario) {
	w := newWay(t, func(w *way) { w.seen = w.proxy.Pass() })
	w.approveServing(0)
	w.expect(w.once(), 0)
	w.proxy.Down()
	w.expect(w.once(), row.OnceExit, row.Says)

	d := w.start()
	if took := d.awaitReady(); took > 3*time.Second {
		t.Errorf("READY after %s, expected at once", took)
	}
	d.awaitLog(row.Says)
	d.awaitStatus("client: valid until")
	d.showsSigns(row)
	d.kill()

	silent := w.proxy.Hang()
	d = w.start()
	if took := d.awaitReady(); took > 3*time.Second {
		t.Errorf("READY after %s with an API server that does not answer, expected at once", took)
	}
	time.Sleep(aWhile())
	if silent.Connections() != 0 {
		t.Errorf("%d connections to the API server, and nothing to ask", silent.Connections())
	}
	w.proxy.Pass()
	w.assertJoined()
	w.csr(csr.Client)
	if pair, err := w.certDir().Read(certdir.Client); err != nil || slices.Equal(pair.PEM, nil) {
		t.Error(err)
	}
	d.shows(row, scenarios.GoesOn)
}

// A time-out that is over before anything came back at all has at least the URL to tell.
func TestOnceTellsWhomItWasWaitingFor(t *testing.T) {
	t.Parallel()
	w := newWay(t, (*way).hang)
	before := w.bootstrapBytes()
	w.expect(w.once("--timeout=1s"), 1, "no identity within 1s: no answer yet from "+w.proxy.URL())
	w.assertNothingLost(before)
}
