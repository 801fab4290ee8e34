package csr

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	testingclock "k8s.io/utils/clock/testing"
)

// word is one event of a watch and what must follow from it.
type word struct {
	// line is what is sent; WAITING, ISSUED and so on stand for objects.
	line string
	// end is the outcome; nothing: the watch goes on.
	end Result
	// again: the watch is of no more use, so the object is read, and another watch begun.
	again bool
}

// alphabet is what the streams of FuzzWatch are made of.
var alphabet = []word{
	{`{"type": "MODIFIED", "object": WAITING}`, "", false},
	{`{"type": "ADDED", "object": WAITING}`, "", false},
	{`{"type": "MODIFIED", "object": APPROVED}`, "", false},
	{`{"type": "MODIFIED", "object": ISSUED}`, Issued, false},
	{`{"type": "ADDED", "object": ISSUED}`, Issued, false},
	{`{"type": "MODIFIED", "object": UNAPPROVED}`, "", false}, // a certificate that nobody has approved
	{`{"type": "MODIFIED", "object": NOTTRUE}`, "", false},    // a condition whose status is False
	{`{"type": "MODIFIED", "object": DENIED}`, Denied, false},
	{`{"type": "MODIFIED", "object": DENIEDTOO}`, Denied, false}, // with a certificate beside it
	{`{"type": "MODIFIED", "object": FAILED}`, Failed, false},
	{`{"type": "MODIFIED", "object": OTHERUID}`, Replaced, false},
	{`{"type": "DELETED", "object": ISSUED}`, Deleted, false},
	{`{"type": "BOOKMARK", "object": ISSUED}`, "", false}, // holds no news
	{`{"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired"}}`, "", true},
	{`{"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500}}`, "", true},
	{`{"type": "ERROR", "object": ISSUED}`, "", true},
	{`{"type": "ISSUED", "object": ISSUED}`, "", true},
	{`{"type": "MODIFIED", "object": {"kind": "Pod", "apiVersion": "v1"}}`, "", true},
	{`{"type": "MODIFIED", "object": {}}`, "", true},
	{`{"type": "MODIFIED"}`, "", true},
	{`]]`, "", true},
	{"<html>Bad Gateway</html>", "", true},
	{"", "", true}, // the end of the answer
}

// objectsOf are the objects that the words in the alphabet stand for.
func objectsOf(p *Pending, certificate string) *strings.Replacer {
	waiting := objectOf(p, "uid-1")
	issued := with(waiting, certificatesv1.CertificateApproved, certificate)
	unapproved, notTrue, other := issued.DeepCopy(), issued.DeepCopy(), issued.DeepCopy()
	unapproved.Status.Conditions = nil
	notTrue.Status.Conditions[0].Status = "False"
	other.UID = "uid-2"
	var pairs []string
	for word, o := range map[string]*object{
		"WAITING": waiting, "APPROVED": with(waiting, certificatesv1.CertificateApproved, ""), "ISSUED": issued, "UNAPPROVED": unapproved, "NOTTRUE": notTrue,
		"DENIED": with(waiting, certificatesv1.CertificateDenied, ""), "DENIEDTOO": with(issued, certificatesv1.CertificateDenied, certificate),
		"FAILED": with(waiting, certificatesv1.CertificateFailed, ""), "OTHERUID": other,
	} {
		text, _ := json.Marshal(o)
		pairs = append(pairs, `"object": `+word+`}`, `"object": `+string(text)+`}`)
	}
	return strings.NewReplacer(pairs...)
}

// FuzzWatch looks for a stream of events that leads to another end than the first event which has one, or to more requests than
// one GET and one WATCH for each watch that broke.
func FuzzWatch(f *testing.F) {
	for i := range alphabet {
		f.Add([]byte{0, byte(i), 3})
	}
	for i := range len(alphabet) / 3 { // three in a row
		f.Add([]byte{13, byte(3 * i), byte(3*i + 1), byte(3*i + 2)})
	}
	f.Fuzz(func(t *testing.T, recipe []byte) {
		s, p := newStandIn(t), newPending(t, clientWish)
		certificate := string(theSigner().issue(t, p, nil))
		words, expected, breaks := objectsOf(p, certificate), Result(""), 0
		streams := []string{""}
		for _, b := range recipe[:min(len(recipe), 8)] {
			e := alphabet[int(b)%len(alphabet)]
			streams[len(streams)-1] += words.Replace(e.line) + "\n"
			if e.again && expected == "" {
				streams, breaks = append(streams, ""), breaks+1
			}
			if expected == "" {
				expected = e.end
			}
		}
		if expected == "" { // so that every run has an end
			streams[len(streams)-1] += words.Replace(`{"type": "MODIFIED", "object": FAILED}`) + "\n"
			expected = Failed
		}
		s.server.Config.Handler = streaming(s, streams)
		outcome, err := s.asker(t, p).Ask(t.Context(), p)
		if err != nil || outcome.Result != expected {
			t.Fatalf("%v: %s, %v; expected %s", recipe, outcome.Result, err, expected)
		}
		if (outcome.Result == Issued) != (string(outcome.CertificatePEM) == certificate) {
			t.Errorf("%s with the certificate %q", outcome.Result, outcome.CertificatePEM)
		}
		if len(s.calls) != 2+2*breaks {
			t.Errorf("%d requests for %d watches that broke: %q", len(s.calls), breaks, s.calls)
		}
	})
}

// streaming answers as the stand-in, but for watches: each has the next stream as its body, whatever that is.
func streaming(s *standIn, streams []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("watch") != "true" {
			s.answer(w, r)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, "WATCH")
		w.Header().Set("Content-Type", "application/json")
		if len(streams) > 0 {
			fmt.Fprint(w, streams[0])
			streams = streams[1:]
		}
	})
}

// FuzzAnswers looks for answers, of whatever is behind the API server's address, that pass for our object, or for a certificate
// of our key. NAME, REQUEST, CERT, OTHERCERT, USAGES stand for the real ones; each line answers one request.
func FuzzAnswers(f *testing.F) {
	whole := `{"kind": "CertificateSigningRequest", "apiVersion": "certificates.k8s.io/v1", "metadata": {"name": "NAME", "uid": "u"}, "spec": {"request": "REQUEST", ` +
		`"signerName": "kubernetes.io/kube-apiserver-client-kubelet", "usages": ["digital signature", "client auth"]}, "status": STATUS}`
	issued := strings.Replace(whole, "STATUS", `{"certificate": "CERT", "conditions": [{"type": "Approved", "status": "True"}]}`, 1)
	waiting := strings.Replace(whole, "STATUS", "{}", 1)
	for _, line := range []string{
		issued, waiting, waiting + "\n" + `{"type": "MODIFIED", "object": ` + issued + `}`, strings.Replace(issued, "CERT", "OTHERCERT", 1), `{"status": "ok"}`, "{}", "null", "", "[]",
		strings.Replace(issued, `"u"`, `""`, 1), strings.Replace(issued, "NAME", "other", 1), strings.Replace(issued, "REQUEST", "CERT", 1), strings.Replace(issued, "client auth", "server auth", 1),
		strings.Replace(issued, "kube-apiserver-client-kubelet", "kube-apiserver-client", 1), strings.Replace(issued, `"spec"`, `"expirationSeconds": 1, "Spec"`, 1),
		strings.Replace(issued, "[]", `[{"type": "Denied"}]`, 1), `{"kind": "Status", "apiVersion": "v1", "status": "Success"}`, `{"kind": "Status", "code": 200, "reason": "AlreadyExists"}`,
	} {
		f.Add(uint16(201), line)
		f.Add(uint16(200), line+"\n"+issued)
		f.Add(uint16(409), line+"\n"+issued+"\n"+line)
	}
	f.Fuzz(func(t *testing.T, code uint16, text string) {
		p, other := newPending(t, clientWish), newPending(t, clientWish)
		b64 := func(text []byte) string { return base64.StdEncoding.EncodeToString(text) }
		if strings.Count(text, "\n") > 5 {
			return // the more answers, the longer the pauses between them
		}
		text = strings.NewReplacer("NAME", p.Name, "REQUEST", b64(p.RequestPEM), "OTHERCERT", b64(theSigner().issue(t, other, nil)), "CERT", b64(theSigner().issue(t, p, nil))).Replace(text)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := &standIn{clock: testingclock.NewFakeClock(noon)}
		s.server = httptest.NewUnstartedServer(saying(max(200, int(code)%600), strings.Split(text, "\n"), cancel))
		s.server.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.server.StartTLS()
		defer s.server.Close()
		asker := s.asker(t, p)
		accepted := false
		asker.Accepted = func(o *object) {
			if !accepted { // later ones are known by their UID
				expectOurObject(t, p, o)
			}
			accepted = true
		}
		outcome, err := asker.Ask(ctx, p)
		switch {
		case err == nil && slices.Contains([]Result{Issued, Denied, Failed}, outcome.Result) && !accepted:
			t.Errorf("%s, and the object was never ours", outcome.Result)
		case err == nil && outcome.Result == Issued:
			issued := *p
			issued.CertificatePEM = outcome.CertificatePEM
			if leaf, err := issued.Check(); err == nil {
				expectOurs(t, &issued, leaf)
			}
		}
	})
}

// saying answers each request with the next line, and ends it all when there is none.
func saying(code int, lines []string, end func()) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if len(lines) == 0 {
			end()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		code = http.StatusOK
		fmt.Fprintln(w, lines[0])
		lines = lines[1:]
	})
}

func expectOurObject(t *testing.T, p *Pending, o *object) {
	t.Helper()
	usages := slices.Clone(o.Spec.Usages)
	slices.Sort(usages)
	expected := p.Wish.Usages()
	slices.Sort(expected)
	if o.Name != p.Name || o.UID == "" || !bytes.Equal(bytes.TrimSpace(o.Spec.Request), bytes.TrimSpace(p.RequestPEM)) ||
		o.Spec.SignerName != p.Wish.Kind.Signer() || !slices.Equal(usages, expected) {
		t.Errorf("taken for ours: %s %q %s %v", o.Name, o.UID, o.Spec.SignerName, o.Spec.Usages)
	}
}
