package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// handledLies are whole answers, over HTTP/2, to the agent's requests.
func handledLies() []lie {
	all := []lie{
		{name: "protobuf", tell: answering(200, "application/vnd.kubernetes.protobuf", "k8s\x00garbage"), says: badAnswer},
		{name: "CBOR", tell: answering(200, "application/cbor", "\xd9\xd9\xf7\xa0"), says: badAnswer},
		{name: "a portal", tell: answering(200, "text/html", "<html>welcome</html>"), says: badAnswer},
		{name: "no content", tell: answering(204, "", ""), says: badAnswer},
		{name: "not modified", tell: answering(304, "", ""), says: badAnswer},
		{name: "a partial answer", tell: answering(206, "application/json", body), says: badAnswer},
		{name: "a text that never ends its JSON", tell: answering(200, "application/json", `{"kind":"`+strings.Repeat("a", 1<<20)), says: badAnswer},
		{name: "a million conditions", tell: answering(200, "application/json", body[:len(body)-1]+`,"status":{"conditions":[`+strings.Repeat("{},", 1_000_000)+"{}]}}"), says: badAnswer},
		{name: "two hundred kilobytes of conditions", tell: answering(200, "application/json", body[:len(body)-1]+`,"status":{"conditions":[`+strings.Repeat("{},", 65_000)+"{}]}}"), says: badAnswer},
		{name: "a depth of a hundred thousand", tell: answering(200, "application/json", strings.Repeat(`{"a":`, 30_000)), says: badAnswer},
		{name: "a failure of a megabyte", tell: answering(500, "text/plain", strings.Repeat("failed ", 150_000)), says: badAnswer},
		{name: "a failure of 200 KB", tell: answering(500, "text/plain", strings.Repeat("failed ", 30_000)), says: serverError},
		{name: "a failure with control characters", tell: answering(500, "text/plain", "\x1b[2J\r\nREADY=1\r\n\x00"), says: serverError},
		{name: "a refusal that names the node", tell: answering(403, "text/plain", `User "system:node:NAME" cannot create`), says: "reason=forbidden"},
	}
	for _, code := range []int{300, 301, 302, 303, 305, 306, 307, 308} {
		for where, to := range map[string]string{
			"plain text": "http://127.0.0.1:1/", "another port": "https://127.0.0.1:1/", "another host": "//localhost:1/", "itself": "/", "nowhere": "",
			"another protocol": "gopher://127.0.0.1/", "what is no URL": "http://[::1", "50 KB": strings.Repeat("a", 50<<10),
		} {
			says := redirects
			if code == 300 || code == 305 || code == 306 || to == "" || where == "what is no URL" {
				says = tryAgain // net/http does not take these for redirects
			}
			all = append(all, lie{name: fmt.Sprintf("%d to %s", code, where), says: says, tell: func(v *lied) {
				v.handled(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", to)
					w.WriteHeader(code)
				})
			}})
		}
	}
	for _, code := range []int{401, 404, 408, 409, 410, 413, 418, 421, 425, 429, 431, 451, 499, 500, 501, 502, 503, 504, 511, 599, 999} {
		for _, after := range []string{"31536000", "-1", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "soon"} {
			all = append(all, lie{name: fmt.Sprintf("%d, Retry-After: %s", code, after), says: tryAgain, tell: func(v *lied) {
				v.handled(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Retry-After", after)
					w.WriteHeader(code)
				})
			}})
		}
	}
	return append(all, dateLies()...)
}

func answering(code int, contentType, body string) func(*lied) {
	return func(v *lied) {
		body := strings.ReplaceAll(body, "NAME", v.name)
		v.handled(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(code)
			_, _ = w.Write([]byte(body))
		})
	}
}

// dateLies are about the time, for as long as a certificate is asked for that nobody can prove.
func dateLies() []lie {
	var all []lie
	for name, date := range map[string]func() time.Time{
		"the year 1":    func() time.Time { return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC) },
		"the year 1970": func() time.Time { return time.Unix(0, 0).UTC() },
		"the year 9999": func() time.Time { return time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) },
		"two hours ago": func() time.Time { return time.Now().UTC().Add(-2 * time.Hour) },
		"another one each time": func() time.Time {
			return time.Unix(time.Now().UnixNano()%4e9, 0).UTC()
		},
	} {
		all = append(all, lie{name: "the Date is " + name, says: tryAgain, tell: func(v *lied) {
			v.handled(func(w http.ResponseWriter, r *http.Request) {
				lying := dated{w, date()}
				if r.URL.Path == reviewPath {
					lying.Header().Set("Date", date().Format(http.TimeFormat))
					answerStatus(w, http.StatusServiceUnavailable, "ServiceUnavailable")
					return
				}
				v.ServeHTTP(lying, r)
			})
		}})
	}
	return all
}

// dated has every answer say another date.
type dated struct {
	http.ResponseWriter
	date time.Time
}

func (d dated) WriteHeader(code int) {
	d.Header().Set("Date", d.date.Format(http.TimeFormat))
	d.ResponseWriter.WriteHeader(code)
}

// TestALieAboutTheTimeIsNotBelievedForEver has the time be wrong when the certificate is issued, and right from then on: while a
// certificate waits for its time nothing but the time is asked.
func TestALieAboutTheTimeIsNotBelievedForEver(t *testing.T) {
	t.Parallel()
	for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			var honest atomic.Bool
			v := newLied(t, lie{tell: func(v *lied) {
				v.handled(func(w http.ResponseWriter, r *http.Request) {
					date := time.Now().UTC()
					if !honest.Load() {
						date = date.Add(-30 * time.Minute)
					}
					v.ServeHTTP(dated{w, date}, r)
				})
			}}, newLiar(t, nil, nil))
			v.tell(func(i *issue) {
				if i.kind == kind {
					i.template.NotAfter = i.template.NotBefore.Add(24 * time.Hour) // by the server's time it begins in 25 minutes
				} else {
					i.template.NotBefore = i.template.NotBefore.Add(-time.Hour)
				}
			}, nil)
			d := v.startHurried(hurry(50))
			d.awaitLog("is valid from")
			if n := len(v.proofs()); kind == csr.Client && n != 0 {
				t.Errorf("the certificate was used %d times", n)
			}
			honest.Store(true)
			v.awaitTruth()
			if client, serving := v.taken(csr.Client), v.taken(csr.Serving); len(client) != 1 || len(serving) != 1 {
				t.Errorf("requests %v and %v were sent, expected one of each", client, serving)
			}
		})
	}
}
