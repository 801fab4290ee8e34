package discovery

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

func hostileTokens() []hostility {
	return []hostility{
		{"another ID", func(v *town) { v.wish.Token.ID = "zzzzzz" }, NotSigned, "not signed with the token zzzzzz, but with 1 other tokens", "describe secret bootstrap-token-zzzzzz", 1, ""},
		{"not signed at all", func(v *town) { delete(v.info, "jws-kubeconfig-abcdef") }, NotSigned, "nor with any other", "bootstrapsigner", 1, ""},
		{"signed by thousands, and not by this one", func(v *town) {
			delete(v.info, "jws-kubeconfig-abcdef")
			for i := range 5000 {
				v.info[fmt.Sprintf("jws-kubeconfig-%06d", i)] = handSignature(fmt.Sprint(i), "0123456789abcdef", "")
			}
		}, NotSigned, "but with 5000 other tokens", "usage-bootstrap-signing", 1, ""},
		{"another secret", func(v *town) { v.wish.Token.Secret = "s3cr3ts3cr3ts3cs" }, BadSignature, "verified, has signed it with another secret of the token abcdef", "kubeadm token list", 2, ""},
		{"the signature of another token", func(v *town) {
			v.info["jws-kubeconfig-abcdef"] = handSignature("zzzzzz", v.token.Secret, v.info["kubeconfig"])
		}, BadSignature, "another secret of the token abcdef", "kubeadm token list", 2, "another secret"},
	}
}

// onTheWay is what somebody does who has a certificate of his own, and neither the token nor the CA's key.
func onTheWay(change func(info map[string]string, v *town)) func(*town) {
	return func(v *town) {
		between := v.answers(v.rogue.server(), func(w http.ResponseWriter, _ *http.Request) {
			info := maps.Clone(v.info)
			change(info, v)
			answerWith(w, info)
		})
		v.asks(between)
	}
}

// atFirst is what was changed in the first answer only, of the API server itself.
func atFirst(change func(info map[string]string)) func(*town) {
	return func(v *town) {
		v.answersWith(func(n int, w http.ResponseWriter, _ *http.Request) {
			info := maps.Clone(v.info)
			if n == 1 {
				change(info)
			}
			answerWith(w, info)
		})
	}
}

func replacing(old, by string) func(map[string]string) {
	return func(info map[string]string) { info["kubeconfig"] = strings.Replace(info["kubeconfig"], old, by, 1) }
}

func status(code int, body string, headers ...string) func(*town) {
	return func(v *town) {
		v.answersWith(func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		})
	}
}

func statusOf(code int, reason string) func(*town) {
	return status(code, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"message":%q,"code":%d}`, reason, reason, code))
}

// endless writes until nobody reads any more.
func endless(w io.Writer, text string) {
	for err := error(nil); err == nil; {
		_, err = io.WriteString(w, text)
	}
}

// compressed are 4 MiB, made once.
var compressed = sync.OnceValue(func() []byte {
	var buffer bytes.Buffer
	w := gzip.NewWriter(&buffer)
	_, _ = w.Write(make([]byte, 4<<20))
	_ = w.Close()
	return buffer.Bytes()
})

func hostileAnswers() []hostility {
	of := func(reason apiserver.Reason) Reason { return Reason(reason) }
	const where, isAPI = "https://127.0.0.1:", "is --api-server a Kubernetes API server"
	return []hostility{
		{"the server is changed on the way", onTheWay(func(info map[string]string, _ *town) { replacing("https://127", "https://126")(info) }), BadSignature, "who answers there has not proved to be the cluster either", "somebody changes", 1, ""},
		{"the CA is changed on the way", onTheWay(func(info map[string]string, v *town) { info["kubeconfig"] = v.kubeconfig(v.api.url, v.rogue) }), BadSignature, "nor would it be of use: none of its 1 CA certificates is pinned", "somebody changes", 1, ""},
		{"a CA is added on the way", onTheWay(func(info map[string]string, v *town) { info["kubeconfig"] = v.kubeconfig(v.api.url, v.ca, v.rogue) }), BadSignature, "who answers there has not proved", "somebody changes", 1, "the server is changed on the way"},
		{"a space is added on the way", onTheWay(func(info map[string]string, _ *town) { info["kubeconfig"] += " " }), BadSignature, "who answers there has not proved", "somebody changes", 1, "the server is changed on the way"},
		{"nonsense is put there on the way", onTheWay(func(info map[string]string, _ *town) { info["kubeconfig"] = "{" }), BadSignature, "nor would it be of use: its kubeconfig is none", "somebody changes", 1, ""},
		{"signed by somebody without the token", onTheWay(func(info map[string]string, v *town) {
			info["kubeconfig"] = v.kubeconfig(v.api.url, v.rogue)
			info["jws-kubeconfig-abcdef"] = handSignature("abcdef", "", info["kubeconfig"])
		}), BadSignature, "nor would it be of use: none", "somebody changes", 1, "the CA is changed on the way"},
		{"an old one is played again, which the cluster has replaced", func(v *town) {
			old := maps.Clone(v.info)
			v.asks(v.answers(v.rogue.server(), func(w http.ResponseWriter, _ *http.Request) { answerWith(w, old) }))
			v.publish(v.kubeconfig(v.api.url, v.ca, v.ca.again()))
		}, Changed, where, "it was changed between the two reads", 2, ""},
		{"it changes between the two reads", func(v *town) {
			v.answersWith(func(n int, w http.ResponseWriter, _ *http.Request) {
				if n == 2 {
					v.publish(v.kubeconfig(v.api.url, v.ca, v.rogue))
				}
				v.answerTruly(w)
			})
		}, Changed, "verified, says something else than what was answered here", "it is tried again", 2, "an old one is played again, which the cluster has replaced"},
		{"the content of the first answer was changed", atFirst(replacing("https://127", "https://126")), Changed, "the same server, verified, says something else", "somebody changes", 2, ""},
		{"the signature of the first answer was changed", atFirst(func(info map[string]string) { info["jws-kubeconfig-abcdef"] += "A" }), Changed, "the same server, verified, says something else", "somebody changes", 2, "the content of the first answer was changed"},
		{"the second answer is empty", func(v *town) {
			v.answersWith(func(n int, w http.ResponseWriter, _ *http.Request) {
				if n == 2 {
					v.info = nil
				}
				v.answerTruly(w)
			})
		}, Changed, "says something else", "tried again", 2, "an old one is played again, which the cluster has replaced"},
		{"a redirect to itself", status(302, "", "Location", clusterInfoPath), of(apiserver.Redirected), "answered with a redirect to https://127.0.0.1:", "--api-server must be the API server itself", 1, ""},
		{"a redirect to somebody else", status(307, "", "Location", "https://elsewhere.example"+clusterInfoPath), of(apiserver.Redirected), "answered with a redirect to https://elsewhere.example", "must be the API server itself", 1, ""},
		{"a redirect to http", status(301, "", "Location", "http://127.0.0.1:80"+clusterInfoPath), of(apiserver.Redirected), "answered with a redirect to http://127.0.0.1:80", "must be the API server itself", 1, ""},
		{"a redirect to nowhere", status(308, ""), of(apiserver.BadAnswer), where, isAPI, 1, ""},
		{"an endless body", func(v *town) {
			v.answersWith(func(_ int, w http.ResponseWriter, _ *http.Request) { endless(w, strings.Repeat("a", 1<<16)) })
		}, of(apiserver.BadAnswer), "the answer is longer than any of an API server", isAPI, 1, ""},
		{"four megabytes that were compressed a thousand times", func(v *town) {
			v.answersWith(func(_ int, w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				_, _ = w.Write(compressed())
			})
		}, of(apiserver.BadAnswer), "the answer is longer than any", isAPI, 1, "an endless body"},
		{"an endless kubeconfig", func(v *town) {
			v.answersWith(func(_ int, w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"kind":"ConfigMap","data":{"kubeconfig":"`)
				endless(w, strings.Repeat("a", 1<<16))
			})
		}, of(apiserver.BadAnswer), "the answer is longer than any", isAPI, 1, "an endless body"},
		{"a slow body", func(v *town) {
			v.patience = 300 * time.Millisecond
			v.answersWith(func(_ int, w http.ResponseWriter, r *http.Request) {
				_, _ = io.WriteString(w, "{")
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			})
		}, of(apiserver.Timeout), where, "load balancer", 1, ""},
		{"half a body", func(v *town) {
			v.answersWith(func(_ int, w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, `{"kind":"ConfigMap"`)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})
		}, of(apiserver.Unreachable), "the answer broke off", "check --api-server", 1, ""},
		{"nonsense", status(200, "good morning"), of(apiserver.BadAnswer), "the answer is something else", isAPI, 1, ""},
		{"a page", status(200, "<html>welcome to nginx</html>", "Content-Type", "text/html"), of(apiserver.BadAnswer), "the answer is something else", isAPI, 1, "nonsense"},
		{"another object", status(200, `{"kind":"Secret","data":{"kubeconfig":"a"}}`), of(apiserver.BadAnswer), "the answer is something else", isAPI, 1, "nonsense"},
		{"data of another kind", status(200, `{"kind":"ConfigMap","data":{"kubeconfig":["a"]}}`), of(apiserver.BadAnswer), "the answer is something else", isAPI, 1, "nonsense"},
		{"no content", status(204, ""), of(apiserver.BadAnswer), "the answer is something else", isAPI, 1, "nonsense"},
		{"no data", status(200, `{"kind":"ConfigMap"}`), NotPublished, "the ConfigMap has no key kubeconfig", "an administrator makes it", 1, ""},
		{"401", statusOf(401, "Unauthorized"), of(apiserver.Unauthorized), "Unauthorized", "--anonymous-auth=false must allow", 1, ""},
		{"403", statusOf(403, "Forbidden"), of(apiserver.Forbidden), "Forbidden", "lets system:anonymous read it", 1, ""},
		{"404", statusOf(404, "NotFound"), NotPublished, "NotFound", "an administrator makes it", 1, ""},
		{"a 404 of something else", status(404, "404 page not found", "Content-Type", "text/plain"), NotPublished, "could not find the requested resource", "an administrator makes it", 1, ""},
		{"429", statusOf(429, "TooManyRequests"), of(apiserver.Throttled), "TooManyRequests", "", 1, ""},
		{"500", statusOf(500, "InternalError"), of(apiserver.ServerError), "InternalError", "", 1, ""},
		{"503 of a load balancer", status(503, "no backend", "Content-Type", "text/plain"), of(apiserver.ServerError), "unable to handle the request", "", 1, ""},
		{"418", status(418, "short and stout", "Content-Type", "text/plain"), of(apiserver.BadAnswer), where, isAPI, 1, ""},
	}
}
