package apiserver

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"k8s.io/utils/clock"
)

// Whoever answers knows the token. What he repeats of it is not to be found in a log.
func TestNoErrorRepeatsTheToken(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"a failure": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Header.Get("Authorization"), http.StatusInternalServerError)
		},
		"a refusal": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Header.Get("Authorization"), http.StatusForbidden)
		},
		"no JSON": func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Authorization")) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://"+testToken+"/", http.StatusFound)
		},
		"a header": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", r.Header.Get("Authorization"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := connect(t, endpointOf(serve(t, answer)))
			for _, ask := range []func(context.Context, *Client) error{post, get, watch} {
				if err := ask(t.Context(), client); err != nil && strings.Contains(err.Error(), testToken) {
					t.Error("the error repeats the token")
				}
			}
		})
	}
}

func TestTheTokenIsCrossedOutHoweverTheBodyIsCutAndNothingElseIsHeldBack(t *testing.T) {
	t.Parallel()
	const token = "ababac"
	for body, expected := range map[string]string{
		"":                    "",
		"ababac":              concealed,
		"abababac":            "ab" + concealed,
		"ababacababac":        concealed + concealed,
		"an event\n":          "an event\n",
		"ends with ababa":     "ends with ababa",
		"ababa":               "ababa",
		"x ababac y ababac z": "x " + concealed + " y " + concealed + " z",
	} {
		for name, cut := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "by the byte": iotest.OneByteReader, "by halves": iotest.HalfReader, "with its end": iotest.DataErrReader,
		} {
			reader := &concealing{ReadCloser: io.NopCloser(cut(strings.NewReader(body))), token: []byte(token)}
			if read, err := io.ReadAll(reader); err != nil || string(read) != expected {
				t.Errorf("%q, %s: %q, %v, expected %q", body, name, read, err, expected)
			}
		}
	}
	from, to := io.Pipe()
	go func() { _, _ = io.WriteString(to, "an event\n") }()
	buffer := make([]byte, 100)
	n, err := (&concealing{ReadCloser: from, token: []byte(token)}).Read(buffer)
	if err != nil || string(buffer[:n]) != "an event\n" {
		t.Errorf("%q, %v of an event, expected it before there is more", buffer[:n], err)
	}
}

func TestAnAnswerThatIsTooLongIsABadOne(t *testing.T) {
	t.Parallel()
	for _, size := range []int{answerLimit, answerLimit + 1} {
		body := append(bytes.Repeat([]byte(" "), size-2), "{}"...)
		read, err := io.ReadAll(&limitedBody{io.NopCloser(bytes.NewReader(body)), answerLimit})
		if tooLong := size > answerLimit; errors.Is(err, errTooLong) != tooLong || len(read) > answerLimit {
			t.Errorf("%d of %d bytes, %v", len(read), size, err)
		}
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
		if err := get(t.Context(), connect(t, endpointOf(server))); size > answerLimit {
			assertReason(t, err, BadAnswer)
		}
	}
}

func TestHeadersThatAreTooLongAreNotRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*httptest.Server){"HTTP/1.1": http1, "HTTP/2": func(*httptest.Server) {}} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("A", strings.Repeat("a", 200<<10))
			echo(w, r)
		}, change)
		if err := get(t.Context(), connect(t, endpointOf(server))); err == nil {
			t.Errorf("%s: 200 KB were taken", name)
		}
	}
}

// A server that ends every connection is asked again when its turn has come, not at once and without end.
func TestARequestIsNotPassedOnFromConnectionToConnection(t *testing.T) {
	t.Parallel()
	tries := 0
	passing := fewConnections(roundTripper(func(request *http.Request) (*http.Response, error) {
		for request.Context().Err() == nil && tries < 1000 {
			tries++
			httptrace.ContextClientTrace(request.Context()).GotConn(httptrace.GotConnInfo{})
		}
		return nil, request.Context().Err()
	}))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://127.0.0.1/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := passing.RoundTrip(request)
	if err == nil {
		response.Body.Close()
	}
	assertReason(t, err, Unreachable)
	if tries > mostConnections+1 {
		t.Errorf("it was tried %d times", tries)
	}
}

func TestATimeAtWhichItsOwnCertificateIsNotValidIsNotTheServers(t *testing.T) {
	t.Parallel()
	change, ca := withCertificate(t, -time.Hour, time.Hour)
	for off, known := range map[time.Duration]bool{
		0: true, 50 * time.Minute: true, -50 * time.Minute: true, 2 * time.Hour: false, -2 * time.Hour: false, 200 * 365 * 24 * time.Hour: false,
	} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
			echo(w, r)
		}, change)
		client, err := New(Endpoint{Server: server.URL, CA: ca}, Credential{Token: testToken}, "", clock.RealClock{})
		if err != nil {
			t.Fatal(err)
		}
		client.AskTime(t.Context())
		if _, is := client.ServerTime(); is != known {
			t.Errorf("a Date that is %s off: known %t, expected %t", off, is, known)
		}
		client.Close()
	}
}

func TestAUserOfNoGroupIsNoNode(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":"system:node:a"}}}`)
	})
	user, err := connect(t, endpointOf(server)).WhoAmI(t.Context())
	if err != nil || user.Name != "system:node:a" || user.IsNode("a") {
		t.Errorf("%+v, %v, a node: %t", user, err, user.IsNode("a"))
	}
}
