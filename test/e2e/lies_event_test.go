package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// eventLies are watches that bring what no API server sends.
func eventLies(kind csr.Kind, nonsense map[string]string) []lie {
	var all []lie
	add := func(name, says string, watch func(w io.Writer, mine *object)) {
		all = append(all, lie{name: string(kind) + " in WATCH, " + name, about: kind, says: says, tell: func(v *lied) {
			v.lieAbout(kind, inWATCH, func(w http.ResponseWriter, r *http.Request, mine *object) {
				w.Header().Set("Content-Type", "application/json")
				watch(w, mine)
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
		}})
	}
	for name, line := range nonsense {
		add(name, waiting, func(w io.Writer, mine *object) { fmt.Fprintln(w, strings.ReplaceAll(line, "NAME", mine.Name)) })
	}
	for _, code := range []int{0, 200, 204, 301, 400, 401, 403, 404, 405, 409, 410, 418, 422, 429, 500, 503, 504} {
		add(fmt.Sprintf("an error of code %d", code), waiting, func(w io.Writer, _ *object) { errorEvent(w, code) })
	}
	for name, change := range map[string]func(*object){
		"another object":             func(o *object) { o.Name, o.UID = "another", "another" },
		"an object with another uid": func(o *object) { o.UID = "another" },
		"an object as it was":        func(o *object) { o.Status = certificatesv1.CertificateSigningRequestStatus{} },
	} {
		says := map[bool]string{true: notOurs, false: waiting}[strings.HasSuffix(name, "uid")]
		for _, event := range []string{"ADDED", "MODIFIED", "BOOKMARK", "DELETED"} {
			says := says
			switch {
			case event == "BOOKMARK":
				says = waiting
			case event == "DELETED" && name != "another object":
				says = "was deleted before it was answered"
			}
			add(strings.ToLower(event)+" "+name, says, func(w io.Writer, mine *object) {
				change(mine)
				tellEvent(w, event, mine)
			})
			if says == waiting {
				add("a million times "+strings.ToLower(event)+" "+name, waiting, func(w io.Writer, mine *object) {
					change(mine)
					for range 1_000_000 {
						if tellEvent(w, event, mine) != nil {
							return
						}
					}
				})
			}
		}
	}
	return all
}

func tellEvent(w io.Writer, event string, o any) error {
	return json.NewEncoder(w).Encode(map[string]any{"type": event, "object": o})
}

func errorEvent(w io.Writer, code int) {
	status := metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: metav1.StatusFailure, Code: int32(code), Message: "a lie",
		Details: &metav1.StatusDetails{RetryAfterSeconds: 365 * 24 * 3600},
	}
	switch code {
	case http.StatusForbidden:
		status.Reason = metav1.StatusReasonForbidden
	case http.StatusNotFound:
		status.Reason = metav1.StatusReasonNotFound
	}
	_ = tellEvent(w, "ERROR", status)
}

// nonsenseEvents are lines that are no events.
func nonsenseEvents() map[string]string {
	const begin = `{"type":"MODIFIED","object":{"kind":"CertificateSigningRequest","apiVersion":"certificates.k8s.io/v1","metadata":{"name":"NAME"`
	repeat := func(text string, times int) string { return strings.Repeat(text, times) }
	return map[string]string{
		"nothing":                       "",
		"null":                          "null",
		"an empty event":                "{}",
		"a number":                      "1",
		"a list":                        "[]",
		"a text":                        `"MODIFIED"`,
		"no object":                     `{"type":"MODIFIED"}`,
		"a null object":                 `{"type":"MODIFIED","object":null}`,
		"an empty object":               `{"type":"MODIFIED","object":{}}`,
		"a text for an object":          `{"type":"MODIFIED","object":"NAME"}`,
		"an unknown type":               strings.Replace(begin, "MODIFIED", "CHANGED", 1) + `}}}`,
		"a type of another case":        strings.Replace(begin, "MODIFIED", "modified", 1) + `}}}`,
		"no type":                       strings.Replace(begin, "MODIFIED", "", 1) + `}}}`,
		"bytes that are no text":        strings.Replace(begin, "MODIFIED", "\xff\xfe\x00", 1) + `}}}`,
		"half an event":                 begin,
		"two types":                     `{"type":"BOOKMARK",` + begin[1:] + `}}}`,
		"something behind it":           begin + `}}} good morning`,
		"a number for the name":         strings.Replace(begin, `"NAME"`, "1e400", 1) + `}}}`,
		"protobuf":                      "k8s\x00\x0a\x0f",
		"a megabyte of blanks":          repeat(" ", 1<<20),
		"a megabyte of lines":           repeat("\n", 1<<20),
		"a line of 20 MB":               begin + `,"uid":"` + repeat("a", 20<<20) + `"}}}`,
		"a million conditions":          begin + `},"status":{"conditions":[` + repeat("{},", 1_000_000) + `{}]}}}`,
		"a million usages":              begin + `},"spec":{"usages":[` + repeat(`"",`, 1_000_000) + `""]}}}`,
		"a million managed fields":      begin + `,"managedFields":[` + repeat("{},", 1_000_000) + `{}]}}}`,
		"a hundred thousand labels":     begin + `,"labels":{` + labels(100_000) + `}}}}`,
		"a depth of a hundred thousand": begin + `},"spec":` + repeat(`{"extra":`, 100_000) + "1" + repeat("}", 100_000) + `}}`,
		"a million lists in lists":      begin + `},"spec":` + repeat("[", 1_000_000) + repeat("]", 1_000_000) + `}}`,
	}
}

func labels(count int) string {
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf(`"%d":""`, i)
	}
	return strings.Join(all, ",")
}
