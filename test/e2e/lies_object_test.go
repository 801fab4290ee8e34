package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

type object = certificatesv1.CertificateSigningRequest

// Where an object can be lied about.
const (
	inPOST  = "POST"
	inGET   = "GET"
	inWATCH = "WATCH"
)

// What the agent says of lies about objects. A lie that is no answer leaves it waiting for one.
const (
	waiting   = "waiting for approval of certificate signing request"
	badAnswer = "reason=bad-answer"
	notOurs   = "another object stands under the name"
	denied    = "the certificate signing request was denied"
	failed    = "the signer cannot issue the certificate"
)

// lieAbout answers requests of one stage, about the object of one kind, with the lie, and all else as an API server that has not decided yet.
// A lie in GET is heard because every watch ends at once.
func (v *lied) lieAbout(kind csr.Kind, stage string, lie func(w http.ResponseWriter, r *http.Request, mine *object)) {
	v.handled(func(w http.ResponseWriter, r *http.Request) {
		asked, name := r.Method, strings.TrimPrefix(r.URL.Path, csrPath+"/")
		switch {
		case r.URL.Query().Has("watch"):
			asked, name = inWATCH, strings.TrimPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name=")
		case r.Method == http.MethodPost && r.URL.Path == csrPath:
			name = nameOfPosted(r)
			if v.object(name) == nil {
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(body))
				v.ServeHTTP(httptest.NewRecorder(), r)
				r.Body = io.NopCloser(bytes.NewReader(body))
			}
		}
		mine := v.object(name)
		switch {
		case mine != nil && mine.Spec.SignerName == kind.Signer() && asked == stage:
			lie(w, r, mine)
		case mine == nil || mine.Spec.SignerName != kind.Signer() && asked != inPOST:
			v.ServeHTTP(w, r)
		case asked == inWATCH && stage == inGET: // ends
		case asked == inWATCH:
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			undecided := mine.DeepCopy()
			undecided.Status = certificatesv1.CertificateSigningRequestStatus{}
			answerJSON(w, http.StatusOK, undecided)
		}
	})
}

// nameOfPosted is what the object in a request is called.
func nameOfPosted(r *http.Request) string {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	posted := &object{}
	_ = json.Unmarshal(body, posted)
	return posted.Name
}

// untruth is an object that is not what was asked for, or says what cannot be.
type untruth struct {
	name   string
	change func(o *object)
	// says, and saysWatched if that is different for a watch, are what the agent makes of it.
	says, saysWatched string
}

// objectLies are all untruths in all answers and about both certificates, and the events that no API server sends.
func objectLies() []lie {
	var all []lie
	nonsense := nonsenseEvents()
	for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
		for _, stage := range []string{inPOST, inGET, inWATCH} {
			for _, u := range untruths(kind) {
				says := u.says
				if stage == inWATCH && u.saysWatched != "" {
					says = u.saysWatched
				}
				if stage == inPOST && u.name == "another uid" { // it is the first that is heard
					continue
				}
				all = append(all, lie{name: string(kind) + " in " + stage + ", " + u.name, about: kind, says: says, tell: func(v *lied) {
					v.lieAbout(kind, stage, func(w http.ResponseWriter, r *http.Request, mine *object) {
						u.change(mine)
						tellObject(w, r, mine)
					})
				}})
			}
		}
		all = append(all, eventLies(kind, nonsense)...)
	}
	return all
}

// tellObject answers with the object: as it is, or as an event, after which nothing happens.
func tellObject(w http.ResponseWriter, r *http.Request, o any) {
	if !r.URL.Query().Has("watch") {
		answerJSON(w, http.StatusOK, o)
		return
	}
	answerJSON(w, http.StatusOK, map[string]any{"type": "MODIFIED", "object": o})
	http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

func untruths(kind csr.Kind) []untruth {
	long := strings.Repeat("a", 100<<10)
	all := []untruth{
		{name: "another request", change: func(o *object) { o.Spec.Request = []byte("another") }, says: notOurs},
		{name: "no request", change: func(o *object) { o.Spec.Request = nil }, says: notOurs},
		{name: "another signer", change: func(o *object) { o.Spec.SignerName = "example.com/another" }, says: notOurs},
		{name: "other usages", change: func(o *object) { o.Spec.Usages = []certificatesv1.KeyUsage{certificatesv1.UsageCertSign} }, says: notOurs},
		{name: "another life", change: func(o *object) { o.Spec.ExpirationSeconds = new(int32(7200)) }, says: notOurs},
		{name: "another uid", change: func(o *object) { o.UID = "another" }, says: notOurs},
		{name: "no uid", change: func(o *object) { o.UID = "" }, says: badAnswer, saysWatched: waiting},
		{name: "a uid of 100 KB", change: func(o *object) { o.UID = types.UID(long) }, says: badAnswer, saysWatched: waiting},
		{name: "another name", change: func(o *object) { o.Name = "another" }, says: badAnswer, saysWatched: waiting},
		{name: "no name", change: func(o *object) { o.Name = "" }, says: badAnswer, saysWatched: waiting},
		{name: "another kind", change: func(o *object) { o.Kind = "Pod" }, says: badAnswer, saysWatched: waiting},
		{name: "a list", change: func(o *object) { o.Kind = "CertificateSigningRequestList" }, says: badAnswer, saysWatched: waiting},
		{name: "a status", change: func(o *object) { o.Kind, o.APIVersion = "Status", "v1" }, says: badAnswer, saysWatched: waiting},
		{name: "another version", change: func(o *object) { o.APIVersion = "certificates.k8s.io/v1beta1" }, says: badAnswer, saysWatched: waiting},
		{name: "another group", change: func(o *object) { o.APIVersion = "example.com/v1" }, says: badAnswer, saysWatched: waiting},
	}
	for _, version := range []string{"", "nonsense", "-1", "0", "18446744073709551616", "7&watch=false", "\r\nHost: another", long} {
		all = append(all, untruth{name: "the version " + version[:min(len(version), 20)], change: func(o *object) {
			o.Status, o.ResourceVersion = certificatesv1.CertificateSigningRequestStatus{}, version
		}, says: waiting})
	}
	all = append(all, contradictions(long)...)
	if kind == csr.Serving {
		all = append(all, untruth{name: "another requester", change: func(o *object) { o.Spec.Username = "system:node:another" }, says: notOurs})
	}
	return all
}

// contradictions are in what the object says of its own state; the certificate is there in all of them.
func contradictions(long string) []untruth {
	type condition = certificatesv1.CertificateSigningRequestCondition
	const approval, denial, failure = certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed
	with := func(conditions ...condition) func(*object) {
		return func(o *object) { o.Status.Conditions = conditions }
	}
	all := []untruth{
		{name: "issued by nobody's leave", change: with(), says: waiting},
		{name: "approved and denied", change: with(condition{Type: approval, Status: "True"}, condition{Type: denial, Status: "True"}), says: denied},
		{name: "denied and approved", change: with(condition{Type: denial, Status: "True"}, condition{Type: approval, Status: "True"}), says: denied},
		{name: "denied and issued", change: with(condition{Type: denial, Status: "True"}), says: denied},
		{name: "failed and issued", change: with(condition{Type: approval, Status: "True"}, condition{Type: failure, Status: "True"}), says: failed},
		{name: "an approval that is false", change: with(condition{Type: approval, Status: "False"}), says: waiting},
		{name: "an approval that is unknown", change: with(condition{Type: approval, Status: "Unknown"}), says: waiting},
		{name: "an approval that is nonsense", change: with(condition{Type: approval, Status: "true"}), says: waiting},
		{name: "another condition", change: with(condition{Type: "approved", Status: "True"}), says: waiting},
		{name: "a denial of 100 KB", change: with(condition{Type: denial, Status: "True", Reason: long, Message: long}), says: denied},
		{name: "a denial with control characters", change: with(condition{Type: denial, Status: "True", Message: "\x1b[2J\nREADY=1\n\x00"}), says: denied},
	}
	for name, at := range map[string]time.Time{
		"in 1970": time.Unix(1, 0), "in the year 1": time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC), "in 9999": time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC),
	} {
		for what, kind := range map[string]certificatesv1.RequestConditionType{denied: denial, failed: failure} {
			all = append(all, untruth{name: string(kind) + " " + name, says: what, change: with(condition{
				Type: kind, Status: "True", LastTransitionTime: metav1.NewTime(at), LastUpdateTime: metav1.NewTime(at),
			})})
		}
	}
	return all
}
