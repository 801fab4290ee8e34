package e2e

import (
	"net/http"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
)

// begin brings the bootstrap to where its token is to end.
func (l *tokenLife) begin() {
	if l.at == beforePost {
		return
	}
	if l.at == issuedOnly {
		l.hinderProof()
	}
	l.startAgent()
	l.expectVerbs(csr.Client, "create", "watch")
	l.noteRequest()
	l.d.awaitLog("waiting for approval of certificate signing request") // and from now on it waits for events
}

// hinderProof lets everything through, but no answer to the question who the new certificate is.
func (l *tokenLife) hinderProof() {
	certificate, err := l.cp.ServingCertificate(controlplane.ServingOptions{})
	must(l.t, err)
	forward, err := l.proxy.Forward(l.cp.CA())
	must(l.t, err)
	l.proxy.Handler(certificate, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "selfsubjectreviews") {
			faultproxy.RetryAfter(http.StatusServiceUnavailable, time.Second).ServeHTTP(w, r)
			return
		}
		forward.ServeHTTP(w, r)
	}))
}

func (l *tokenLife) noteRequest() {
	l.t.Helper()
	eventually(l.t, "the request is kept", func() bool { return l.pending(certdir.Client) != nil })
	p := l.pending(certdir.Client)
	l.name, l.key = p.Name, p.KeyPEM
}

// renew makes the token good again, or puts another one in its place.
func (l *tokenLife) renew() {
	l.t.Helper()
	switch {
	case l.mend.renew != nil:
		l.successor = l.makeToken()
		begin := time.Now()
		l.mend.renew(l, l.successor)
		if !l.discovers {
			l.d.awaitLog("a new bootstrap credential is there")
		}
		if took := time.Since(begin); took > seenIn {
			l.t.Errorf("the new token was seen after %s, with a look that was due anyway", took)
		}
	case l.at == inTime:
		l.patch(controlplane.TokenExpiration, controlplane.Expiration(time.Now().Add(lastMoments)))
		l.overAt = time.Now().Add(lastMoments)
		tokenEnds[0].undo(l)
	default:
		l.end.undo(l)
	}
}

// finish has the token come to its end, unless that was put off.
func (l *tokenLife) finish() {
	if l.at == inTime {
		l.renew()
		if l.mend.renew == nil {
			return
		}
		l.awaitGood(csr.Client, 2, "watch")
	}
	l.end.do(l)
}

// awaitRefused waits until the API server would not take the token again, or would not have taken it had it not been extended.
func (l *tokenLife) awaitRefused() {
	if l.at == inTime && l.mend.renew == nil {
		remembered := l.d.started.Add(11 * time.Second)
		time.Sleep(max(time.Until(l.overAt), time.Until(remembered)))
		return
	}
	must(l.t, l.cp.AwaitBootstrapToken(l.t.Context(), l.token, false))
}

// disturb has the agent need its credential again.
func (l *tokenLife) disturb() {
	switch l.at {
	case beforePost:
		l.startAgent()
		l.noteRequest()
	case notHeard:
		l.proxy.HalfOpen()
		l.approve(csr.Client)
		eventually(l.t, "the certificate is issued", func() bool { return len(l.csr(csr.Client).Status.Certificate) > 0 })
	case issuedOnly:
		l.approve(csr.Client)
		l.d.awaitLog("msg=\"the certificate was issued\"")
		l.d.awaitLog("reason=server-error")
	}
	l.proxy.Pass()
}

// losesToken says whether the agent has to find out that its token is over.
func (l *tokenLife) losesToken() bool { return l.at != inTime && l.at != issuedOnly }
