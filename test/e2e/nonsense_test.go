package e2e

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

type canned struct {
	code              int
	contentType, body string
}

// nonsense are answers with which a portal, a proxy or a health check might pass for an API server.
var nonsense = []canned{
	{200, "text/html", "<html><body>Welcome to the guest network</body></html>"},
	{200, "application/json", `{"status":"ok"}`},
	{201, "application/json", `{"kind":"CertificateSigningRequest","apiVersion":"certificates.k8s.io/v1","metadata":{}}`},
	{200, "application/json", `{"kind":"Status","apiVersion":"v1","status":"Success"}`},
	{200, "application/json", `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}`},
	{204, "", ""},
	{200, "application/vnd.kubernetes.protobuf", "k8s\x00garbage"},
	{418, "text/plain", "a teapot"},
	{200, "application/json", "\x00\x01\x02 garbage"},
}

// answerEach answers with one after the other, and then from the first again.
func (w *way) answerEach(answers ...canned) {
	var next atomic.Int64
	w.answered(func(rw http.ResponseWriter, _ *http.Request) {
		answer := answers[int(next.Add(1)-1)%len(answers)]
		rw.Header().Set("Content-Type", answer.contentType)
		rw.WriteHeader(answer.code)
		_, _ = rw.Write([]byte(answer.body))
	})
}

// proveNonsense shows that no nonsense passes for an answer: neither to the request itself, nor later when it is read and watched.
func proveNonsense(t *testing.T, row scenarios.Scenario) {
	portal := func(w *way) { w.answerEach(nonsense[0]) }
	trouble{lead: portal, cameBack: "text/html"}.prove(t, row)

	w := newWay(t, func(w *way) {
		user := w.staticToken(controlplane.Unapproved)
		w.user = &user
		w.answerEach(nonsense...)
	})
	d := w.startHurried(hurry(100)) // for each comes after a longer pause
	heard := func() bool { return len(w.seen.Requests()) > len(nonsense) }
	eventually(t, "every nonsense instead of an answer to POST", heard)
	name := w.assertNothingLost(w.bootstrapBytes())
	w.proxy.Pass()
	w.same(csr.Client, name)
	w.expectVerbs(csr.Client, "create", "watch")
	w.answerEach(nonsense...)
	eventually(t, "every nonsense instead of an answer to GET and WATCH", heard)
	w.assertNothingLost(w.bootstrapBytes())
	for line := range strings.Lines(d.log()) {
		if strings.Contains(line, "reason=") && !strings.Contains(line, "reason=bad-answer") && !strings.Contains(line, "reason=server-error") {
			t.Errorf("an answer was taken for something else than nonsense: %s", line)
		}
	}
	w.proxy.Pass()
	w.approve(csr.Client)
	w.awaitJoined()
	w.awaitRid()
	w.same(csr.Client, name)
}
