package e2e

import (
	"bytes"
	"crypto/tls"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// troubleProofs are those of the group "the API server".
var troubleProofs = map[string]proof{
	"api-server-down":                      trouble{lead: (*way).down, cameBack: "connection refused"}.prove,
	"api-server-closes":                    trouble{lead: (*way).closing, cameBack: `": `}.prove, // EOF or a reset
	"api-server-hangs":                     trouble{lead: (*way).hang, cameBack: "TLS handshake timeout", timeout: "12s"}.prove,
	"api-server-closes-mid-body":           trouble{lead: (*way).closeMidBody, cameBack: "the answer broke off"}.prove,
	"api-server-401":                       proveUnauthorized,
	"api-server-403":                       proveForbidden,
	"api-server-429":                       proveThrottled,
	"api-server-500":                       trouble{lead: (*way).fail, cameBack: "an error on the server"}.prove,
	"api-server-nonsense":                  proveNonsense,
	"api-server-certificate-not-yet-valid": trouble{lead: (*way).notYetValid, cameBack: "the local clock says "}.prove,
	"api-server-certificate-expired":       trouble{lead: (*way).expired, cameBack: "the local clock says "}.prove,
	"api-server-of-another-ca":             trouble{lead: (*way).anotherCA, cameBack: "certificate signed by unknown authority"}.prove,
	"api-server-down-with-identity":        proveDownWithIdentity,
	"exec-plugin-fails":                    proveExecPluginFails,
}

// way is a node's way to the API server, which is in trouble until it is mended.
type way struct {
	*node
	proxy *faultproxy.Proxy
	// user is the credential in the bootstrap kubeconfig; a good token unless somebody has set it.
	user *clientcmdapi.AuthInfo
	// seen are the requests, or at least the connections, that the trouble has met with.
	seen *faultproxy.Recording
	mend func()
}

// newWay makes a node and leads it into trouble, bootstrap kubeconfig and all.
func newWay(t *testing.T, lead func(*way)) *way {
	t.Helper()
	n := newNode(t, shared(t))
	w := &way{node: n, proxy: n.behind(t)}
	w.mend = func() { w.proxy.Pass() }
	lead(w)
	if w.user == nil {
		user := n.secretToken()
		w.user = &user
	}
	n.bootstrapVia(w.proxy.URL(), *w.user)
	return w
}

// certificate is one for a server that answers in the API server's place.
func (w *way) certificate(options controlplane.ServingOptions) tls.Certificate {
	w.t.Helper()
	certificate, err := w.cp.ServingCertificate(options)
	must(w.t, err)
	return certificate
}

// answered has a handler answer in the API server's place.
func (w *way) answered(handler http.HandlerFunc) {
	w.seen = w.proxy.Handler(w.certificate(controlplane.ServingOptions{}), handler)
}

// forward answers with the API server's own answers, as long as no client certificate is needed.
func (w *way) forward() http.Handler {
	w.t.Helper()
	handler, err := w.proxy.Forward(w.cp.CA())
	must(w.t, err)
	return handler
}

func (w *way) down() { w.seen = w.proxy.Down() }
func (w *way) hang() { w.seen = w.proxy.Hang() }
func (w *way) fail() { w.answered(faultproxy.Status(http.StatusInternalServerError).ServeHTTP) }

func (w *way) closeMidBody() {
	w.seen = w.proxy.CloseMidBody(w.certificate(controlplane.ServingOptions{}), w.forward())
}

// closing leads to a load balancer whose backend is gone.
func (w *way) closing() {
	backend := w.proxy
	front, err := faultproxy.New(backend.Address())
	must(w.t, err)
	w.t.Cleanup(func() { _ = front.Close() })
	backend.Down()
	w.proxy, w.seen = front, front.Pass()
	w.mend = func() { backend.Pass() }
}

func (w *way) notYetValid() {
	w.seen = w.proxy.Handler(w.certificate(controlplane.ServingOptions{NotBefore: time.Now().Add(time.Hour)}), nil)
}

func (w *way) expired() {
	w.seen = w.proxy.Handler(w.certificate(controlplane.ServingOptions{NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}), nil)
}

func (w *way) anotherCA() {
	w.seen = w.proxy.Handler(w.certificate(controlplane.ServingOptions{Untrusted: true}), nil)
}

// aMoment is for how long a trouble lasts that is tried again and again. A longer one makes the pauses between the attempts longer.
const aMoment = 2 * time.Second

// trouble is a way in which the API server cannot be had, and which time, or somebody far away, will mend.
type trouble struct {
	lead func(*way)
	// cameBack is what the error quotes of it.
	cameBack string
	// timeout of run --once, 2 s if there is none: the trouble must have shown.
	timeout string
}

// prove shows both run --once and the daemon, side by side.
func (tr trouble) prove(t *testing.T, row scenarios.Scenario) {
	once := newWay(t, tr.lead)
	before := once.bootstrapBytes()
	timeout := "2s"
	if tr.timeout != "" {
		timeout = tr.timeout
	}
	r := once.meanwhile(func() {
		proveGoesOn(t, row, newWay(t, tr.lead))
		newWay(t, tr.lead).showsSigns(row)
	}, "--timeout="+timeout)
	once.assertEnds(r, row, tr.cameBack)
	once.assertNothingLost(before)
}

func reasonOf(row scenarios.Scenario) apiserver.Reason {
	return apiserver.Reason(strings.TrimPrefix(row.Says, "reason="))
}

// assertEnds shows that run --once ended as the row says, and its last words: what was attempted and where, what came back, and
// what to do.
func (w *way) assertEnds(r result, row scenarios.Scenario, cameBack string) {
	w.t.Helper()
	w.expect(r, row.OnceExit, row.Says)
	lines := strings.Split(strings.TrimSpace(r.stderr), "\n")
	words := lines[len(lines)-1]
	reason := reasonOf(row)
	for _, part := range []string{
		string(reason) + ": ", "create certificate signing request " + w.name, w.proxy.URL(), cameBack, reason.Remedy(),
		"run again to go on with the same request",
	} {
		if !strings.Contains(words, part) {
			w.t.Errorf("run --once does not end with %q, but with:\n%s", part, words)
		}
	}
}

// showsSigns looks at the signs of a trouble that stands until it is over. A node that is to be seen to go on is another one: the looks take
// time, and its pauses would become longer.
func (w *way) showsSigns(row scenarios.Scenario) {
	w.t.Helper()
	w.keeps(w.bootstrapFile())
	if lookedEnough(row) {
		return
	}
	d := w.start()
	d.awaitLog("level=WARN msg=\"will try again\"")
	d.showsSigns(row)
	d.kill()
}

// proveGoesOn shows that the daemon says what is wrong, stays, loses nothing and hurries nobody, and joins by itself when the way
// is mended.
func proveGoesOn(t *testing.T, row scenarios.Scenario, w *way) {
	before, reason := w.bootstrapBytes(), string(reasonOf(row))
	d := w.start()
	d.awaitLog("reason=" + reason)
	d.awaitStatus("client: " + reason + ": create certificate signing request " + w.name)
	time.Sleep(aMoment)
	name := w.assertNothingLost(before)
	w.assertPatient(d)
	if !d.running() {
		t.Fatal("the daemon has ended")
	}
	w.mend()
	w.awaitJoined()
	w.awaitRid()
	w.same(csr.Client, name)
	d.shows(row, scenarios.GoesOn)
}

// asideName is what the bootstrap kubeconfig is called while it is being deleted.
const asideName = ".bootstrap.kubeconfig.used"

// awaitRid waits until the used credential is gone, under its name and aside.
func (n *node) awaitRid() {
	n.t.Helper()
	eventually(n.t, "the credential is deleted", func() bool {
		_, err := os.Lstat(n.bootstrapFile())
		_, asideErr := os.Lstat(n.path(asideName))
		return os.IsNotExist(err) && os.IsNotExist(asideErr)
	})
}

// theFile is a file as it was: bytes, inode, mode and time.
type theFile struct {
	content []byte
	info    fs.FileInfo
}

func (n *node) bootstrapBytes() theFile {
	n.t.Helper()
	content, err := os.ReadFile(n.bootstrapFile())
	must(n.t, err)
	info, err := os.Lstat(n.bootstrapFile())
	must(n.t, err)
	return theFile{content, info}
}

// assertNothingLost shows that the credential is untouched, that the request is kept, sent at most once, and that nothing claims to
// be an identity. It returns the request's name.
func (n *node) assertNothingLost(before theFile) (name string) {
	n.t.Helper()
	n.keeps(n.bootstrapFile(), n.path(asideName))
	if now := n.bootstrapBytes(); !bytes.Equal(now.content, before.content) || !os.SameFile(now.info, before.info) ||
		now.info.ModTime() != before.info.ModTime() || now.info.Mode() != before.info.Mode() {
		n.t.Error("the bootstrap kubeconfig was touched")
	}
	for _, path := range []string{n.kubeconfig(), n.certDir().Current(certdir.Client)} {
		n.assertGone(path)
	}
	pending := n.pending(certdir.Client)
	if pending == nil {
		n.t.Fatal("there is no pending request")
	}
	if found := n.csrs(csr.Client); len(found) > 1 || len(found) == 1 && found[0].Name != pending.Name {
		n.t.Errorf("%d client requests, expected none but %s", len(found), pending.Name)
	}
	return pending.Name
}

// assertPatient shows that the attempts have pauses between them. These are drawn from intervals that double, from a second on, so
// that more than twelve attempts even in half a minute come once in ten million times.
func (w *way) assertPatient(d *daemon) {
	w.t.Helper()
	if attempts := max(w.seen.Connections(), len(w.seen.Requests())); attempts > 12 {
		w.t.Errorf("%d attempts within %s", attempts, time.Since(d.started))
	}
}
