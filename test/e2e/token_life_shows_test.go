package e2e

import (
	"bytes"
	"cmp"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// goOn gives the agent a good credential, and approves the request where that is still to be done.
func (l *tokenLife) goOn() {
	if l.losesToken() {
		l.assertClear()
		l.renew()
	}
	if l.at != notHeard && l.at != issuedOnly {
		l.d.awaitStatus("kubectl certificate approve " + l.name)
		l.awaitGood(csr.Client, l.watches(), "watch")
		l.approve(csr.Client)
	}
}

// assertClear shows what a person sees while there is no good credential, and that nothing was given up.
func (l *tokenLife) assertClear() {
	attempted := "read certificate signing request "
	if l.at == beforePost {
		attempted = "create certificate signing request "
	}
	before := l.credentialBytes()
	l.assertSaysUnauthorized(attempted)
	if l.restarted {
		l.d.kill()
		l.startAgent()
	}
	switch {
	case l.restarted && l.discovers: // what it had found out it has forgotten
		l.d.awaitStatus("where the cluster is cannot be found out: not-signed: ")
		l.d.awaitMetric(`errors_total{phase="discovery",reason="not-signed"} > 0`)
	case l.restarted:
		l.assertSaysUnauthorized(attempted)
	}
	if after := l.credentialBytes(); !bytes.Equal(before, after) {
		l.t.Error("the credential was touched")
	}
	l.assertGone(l.kubeconfig())
	if p := l.pending(certdir.Client); p == nil || p.Name != l.name || !bytes.Equal(p.KeyPEM, l.key) {
		l.t.Errorf("the request %s is not kept with its key: %v", l.name, p != nil)
	}
	if found := len(l.csrs(csr.Client)); found > 1 || found == 0 && l.at != beforePost {
		l.t.Errorf("%d client requests", found)
	}
}

// credentialBytes is what the credential's files hold.
func (l *tokenLife) credentialBytes() []byte {
	var all []byte
	for _, name := range slices.Concat(l.mend.gone, l.mend.kept) {
		content, _ := os.ReadFile(l.path(name)) // one of the names is for later
		all = append(all, content...)
	}
	return all
}

func (l *tokenLife) assertSaysUnauthorized(attempted string) {
	l.t.Helper()
	l.d.awaitLog("reason=unauthorized")
	l.d.awaitStatus("client: unauthorized: " + attempted + l.name + " at " + l.proxy.URL())
	l.d.awaitStatus(apiserver.Unauthorized.Remedy() + " It is bootstrap-token-" + l.token[:6] + ";")
	l.d.awaitMetric(`errors_total{phase="client",reason="unauthorized"} > 0`)
}

// watches is how often the agent has to begin to wait.
func (l *tokenLife) watches() int {
	switch {
	case l.at == inWatch:
		return 2
	case l.at == inTime && l.mend.renew == nil:
		return 2
	case l.at == inTime:
		return 3
	}
	return 1
}

// awaitGood waits for so many requests of a verb that the API server has answered with what was asked for.
func (l *tokenLife) awaitGood(kind csr.Kind, times int, verb string) {
	l.t.Helper()
	eventually(l.t, "the API server answers another "+verb, func() bool { return l.answered(kind, verb, http.StatusOK) >= times })
}

// answered counts the requests about the node's request of a kind that had this verb and code.
func (l *tokenLife) answered(kind csr.Kind, verb string, code int) int {
	l.t.Helper()
	n := 0
	for _, r := range l.asked(kind) {
		if r.Verb == verb && r.Code == code {
			n++
		}
	}
	return n
}

// assertJoinedWithOneRequest shows that the node is in the cluster with the key it began with, what that has cost, and that of its
// credentials there is left what should be.
func (l *tokenLife) assertJoinedWithOneRequest() {
	l.awaitJoined()
	l.same(csr.Client, l.name)
	if pair, err := l.certDir().Read(certdir.Client); err != nil || !bytes.Contains(pair.PEM, bytes.TrimSpace(l.key)) {
		l.t.Errorf("the certificate is not for the key that the bootstrap began with (%v)", err)
	}
	for _, name := range l.mend.gone {
		eventually(l.t, name+" is gone", func() bool { _, err := os.Lstat(l.path(name)); return os.IsNotExist(err) })
	}
	for _, name := range l.mend.kept {
		if name != "data-2/token" || l.successor != "" {
			l.assertThere(l.path(name))
		}
	}
	l.assertCost()
}

func (l *tokenLife) assertCost() {
	l.t.Helper()
	created, watched := l.answered(csr.Client, "create", http.StatusCreated), l.answered(csr.Client, "watch", http.StatusOK)
	if created != 1 || count(l.verbs(csr.Client), "create") != 1 || watched != l.watches() { // a refused POST has no name in the audit log
		l.t.Errorf("it was created %d and watched %d times, expected 1 and %d: %v", created, watched, l.watches(), l.asked(csr.Client))
	}
	said := l.refusals("read") + l.refusals("watch")
	refused := l.answered(csr.Client, "get", http.StatusUnauthorized) + l.answered(csr.Client, "watch", http.StatusUnauthorized)
	if refused < said || refused > said+l.unheardOf() {
		l.t.Errorf("it was refused %d times, and said so %d times: %v", refused, said, l.asked(csr.Client))
	}
	if !l.losesToken() && !l.mend.half && said+l.refusals("create") > 0 {
		l.t.Error("the token that ended was missed")
	}
	last := l.asked(csr.Client)[len(l.asked(csr.Client))-1]
	if id, _, _ := strings.Cut(cmp.Or(l.successor, l.token), "."); last.User != "system:bootstrap:"+id {
		l.t.Errorf("the last request is not of the credential that was there: %s", last)
	}
}

// refusals is how often the node's agents have said that an attempt was answered with 401.
func (l *tokenLife) refusals(attempt string) (times int) {
	for _, d := range l.daemons {
		for line := range strings.Lines(d.log()) {
			if strings.Contains(line, "reason=unauthorized") && strings.Contains(line, `err="`+attempt+" certificate signing request") {
				times++
			}
		}
	}
	return times
}

// unheardOf is how many answers at most the agents did not wait for: a killed one, and one that was given another credential.
func (l *tokenLife) unheardOf() int {
	most := len(l.daemons) - 1
	if l.mend.renew != nil {
		most++
	}
	if l.mend.half {
		most++
	}
	return most
}

// assertEveryPostIsKnown counts what the API server cannot tell apart by node: the POSTs of those it did not know.
func assertEveryPostIsKnown(t *testing.T, cp *controlplane.ControlPlane, since time.Time, lives []*tokenLife) {
	t.Helper()
	if t.Failed() {
		return
	}
	refused, err := cp.Requests("", controlplane.ByUserAgent("bootstrap-agent/"), func(r controlplane.Request) bool {
		return r.Verb == "create" && r.Resource == "certificatesigningrequests" && r.Code == http.StatusUnauthorized && !r.Time.Before(since)
	})
	must(t, err)
	said, unheardOf := 0, 0
	for _, l := range lives {
		said, unheardOf = said+l.refusals("create"), unheardOf+l.unheardOf()
	}
	t.Logf("%d lives of tokens, %d POSTs with one that was over", len(lives), len(refused))
	if len(refused) < said || len(refused) > said+unheardOf {
		t.Errorf("%d POSTs were refused, and %d said to be", len(refused), said)
	}
}
