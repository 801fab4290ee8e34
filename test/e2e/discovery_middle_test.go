package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// The man in the middle stands on the only way to the API server, where cluster-info leads too. He knows all that anybody may read, has
// tokens of his own, sees every byte, and may do what he likes. He has neither the node's token nor the key of the cluster's CA.

// middle is the man and his plan: what he does with one connection after the other, from the first again when he is through.
type middle struct {
	*front
	town *town
	plan []move
	// own is his CA, which looks like the cluster's; his is a token that he was given.
	own authority
	his string
}

type move struct {
	name string
	do   func(m *middle, c net.Conn)
	// through: he leads it to the API server, whatever he does to it on the way.
	through bool
}

// answer is what he answers with where he has ended TLS himself.
type answer struct {
	name string
	with func(m *middle, w http.ResponseWriter, r *http.Request)
}

// manInTheMiddle has plans of one to six moves, drawn from all.
func (v *town) manInTheMiddle(t *testing.T) {
	source := sample.Random(t)
	plans := 3
	if os.Getenv("SOAK") != "" {
		plans = 100
	}
	for i := range plans {
		m := &middle{town: v, his: newToken(t, v.cp)}
		all := m.moves(t)
		if i == 0 {
			all = []func(*rand.Rand) move{m.replays(t)}
		}
		for range 1 + source.IntN(6)*min(i, 1) { // the first one is the simplest: nothing but the truth, from somebody else
			m.plan = append(m.plan, all[source.IntN(len(all))](source))
		}
		t.Run(fmt.Sprintf("plan %d", i+1), func(t *testing.T) {
			t.Log(m.name())
			m.stands(t)
		})
	}
}

func (m *middle) name() string {
	var names []string
	for _, move := range m.plan {
		names = append(names, move.name)
	}
	return strings.Join(names, ", then ")
}

func (m *middle) stands(t *testing.T) {
	v := m.town
	m.front = &front{discoverer: newDiscoverer(t, v.cp, newToken(t, v.cp), v.way.Address()), proxy: v.way}
	defer v.way.Pass()
	connections := make(chan int, 1)
	connections <- 0
	m.raw(func(c net.Conn) {
		n := <-connections
		connections <- n + 1
		m.plan[n%len(m.plan)].do(m, c)
	})
	d := m.startHurried(hurry(300), "--serving=off")
	eventually(t, "all that he has planned is done", func() bool { return m.visits() >= max(2*len(m.plan), 4) || isThere(m.kubeconfig()) })
	m.assertTrustedWithNothing()
	if !isThere(m.kubeconfig()) {
		m.assertThere(m.tokenFile())
	}
	if !slices.ContainsFunc(m.plan, func(is move) bool { return is.through }) && strings.Contains(d.log(), "found out where the cluster is") {
		t.Error("the agent has believed him")
	}
	v.way.Pass()
	m.awaitDiscovered()
	m.assertTrusts(v.cp.CA())
	m.assertTrustedWithNothing()
	if c := m.kubeletCluster(); c.Server != v.way.URL() {
		t.Errorf("the kubelet is led to %s", c.Server)
	}
	if strings.Contains(d.log(), m.token[7:]) {
		t.Error("the secret is in the log")
	}
}

// moves are all that he can do with a connection.
func (m *middle) moves(t *testing.T) []func(*rand.Rand) move {
	m.own = rogueCA(t, func(c *x509.Certificate) {
		c.Subject = m.clusterCA(t).Subject
		c.SerialNumber = m.clusterCA(t).SerialNumber
	})
	certificates := map[string]tls.Certificate{"a certificate of his own CA": m.own.server(t), "a certificate of nobody": selfSignedServer(t), "the real certificate": m.realCertificate(t)}
	var all []func(*rand.Rand) move
	for name, certificate := range certificates {
		for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12, tls.VersionTLS11} {
			config := &tls.Config{Certificates: []tls.Certificate{certificate}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS10, MaxVersion: version}
			all = append(all, func(source *rand.Rand) move {
				a := answers[source.IntN(len(answers))]
				return move{name: fmt.Sprintf("%s with %s by %s", a.name, name, tls.VersionName(version)), do: func(m *middle, c net.Conn) { m.ends(c, config, a) }}
			})
		}
	}
	through := func(name string, change func(source *rand.Rand) (toServer, toClient func(io.Writer) io.Writer)) func(*rand.Rand) move {
		return func(source *rand.Rand) move {
			toServer, toClient := change(source)
			return move{through: true, name: name, do: func(m *middle, c net.Conn) { splice(c, m.town.address(), toServer, toClient) }}
		}
	}
	return append(all,
		through("lets it through", func(*rand.Rand) (a, b func(io.Writer) io.Writer) { return plainly, plainly }),
		through("lets it through", func(*rand.Rand) (a, b func(io.Writer) io.Writer) { return plainly, plainly }),
		through("turns a bit of what comes back", func(source *rand.Rand) (a, b func(io.Writer) io.Writer) {
			at := source.IntN(6000)
			return plainly, func(w io.Writer) io.Writer { return &turning{w, at} }
		}),
		through("turns a bit of what is sent", func(source *rand.Rand) (a, b func(io.Writer) io.Writer) {
			at := source.IntN(1500)
			return func(w io.Writer) io.Writer { return &turning{w, at} }, plainly
		}),
		through("cuts off what comes back", func(source *rand.Rand) (a, b func(io.Writer) io.Writer) {
			at := source.IntN(6000)
			return plainly, func(w io.Writer) io.Writer { return &cutting{w, at} }
		}),
		func(*rand.Rand) move { return move{name: "hangs up", do: func(*middle, net.Conn) {}} },
		func(*rand.Rand) move {
			return move{name: "echoes", do: func(_ *middle, c net.Conn) { _, _ = io.Copy(c, c) }}
		},
	)
}

// replays is to say what the API server says, each time.
func (m *middle) replays(t *testing.T) func(*rand.Rand) move {
	t.Helper()
	config := &tls.Config{Certificates: []tls.Certificate{m.own.server(t)}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	return func(*rand.Rand) move {
		return move{name: "the truth", do: func(m *middle, c net.Conn) { m.ends(c, config, answers[0]) }}
	}
}

// answers are what he says.
var answers = []answer{
	{"the truth", func(m *middle, w http.ResponseWriter, _ *http.Request) { answerInfo(w, info(m.t, m.cp)) }},
	{"his CA beside the real one", lying(func(m *middle, data map[string]string) {
		data["kubeconfig"] = clusterKubeconfig(m.town.way.URL(), append(m.own.pem(), m.cp.CA()...))
	})},
	{"his CA", lying(func(m *middle, data map[string]string) {
		data["kubeconfig"] = clusterKubeconfig(m.town.way.URL(), m.own.pem())
	})},
	{"another server", lying(func(m *middle, data map[string]string) {
		data["kubeconfig"] = strings.Replace(data["kubeconfig"], "server: ", "server: https://127.0.0.1:1 #", 1)
	})},
	{"his CA, signed with his own token", lying(func(m *middle, data map[string]string) {
		data["kubeconfig"] = clusterKubeconfig(m.town.way.URL(), m.own.pem())
		data["jws-kubeconfig-"+m.token[:6]] = detachedJWS(m.his[:6], m.his[7:], data["kubeconfig"])
	})},
	{"his CA, signed with a guess", lying(func(m *middle, data map[string]string) {
		data["kubeconfig"] = clusterKubeconfig(m.town.way.URL(), append(m.cp.CA(), m.own.pem()...))
		data["jws-kubeconfig-"+m.token[:6]] = detachedJWS(m.token[:6], "0123456789abcdef", data["kubeconfig"])
	})},
	{"the truth without the signature", lying(func(m *middle, data map[string]string) { delete(data, "jws-kubeconfig-"+m.token[:6]) })},
	{"a redirect to himself", func(_ *middle, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}},
	{"401", func(_ *middle, w http.ResponseWriter, _ *http.Request) {
		answerStatus(w, http.StatusUnauthorized, "Unauthorized")
	}},
	{"429 for a year", func(_ *middle, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "31536000")
		answerStatus(w, http.StatusTooManyRequests, "TooManyRequests")
	}},
	{"a page that asks for a password", func(_ *middle, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", "Basic")
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}},
}

func lying(change func(m *middle, data map[string]string)) func(m *middle, w http.ResponseWriter, r *http.Request) {
	return func(m *middle, w http.ResponseWriter, _ *http.Request) {
		data := info(m.t, m.cp)
		change(m, data)
		answerInfo(w, data)
	}
}

// ends speaks TLS himself.
func (m *middle) ends(c net.Conn, config *tls.Config, a answer) {
	come := newComing()
	server := &http.Server{ReadHeaderTimeout: time.Minute, TLSConfig: config.Clone(), ErrorLog: quiet, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.note(r)
		a.with(m, w, r)
	})}
	defer server.Close()
	go func() { _ = server.ServeTLS(come, "", "") }()
	come.serve(c)
}

// clusterCA is the cluster's, without its key.
func (m *middle) clusterCA(t *testing.T) *x509.Certificate {
	t.Helper()
	return parsePEM(t, m.town.cp.CA())
}

// realCertificate is what the API server shows to everybody, with a key of his own.
func (m *middle) realCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	connection, err := tls.Dial("tcp", m.town.address(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // he takes what he gets
	must(t, err)
	defer connection.Close()
	real := tls.Certificate{PrivateKey: m.own.key}
	for _, certificate := range connection.ConnectionState().PeerCertificates {
		real.Certificate = append(real.Certificate, certificate.Raw)
	}
	return real
}

// turning turns one bit at a place.
type turning struct {
	io.Writer
	left int
}

func (w *turning) Write(text []byte) (int, error) {
	if w.left >= 0 && w.left < len(text) {
		text = append([]byte(nil), text...)
		text[w.left] ^= 4
	}
	w.left -= len(text)
	return w.Writer.Write(text)
}

// cutting ends at a place.
type cutting struct {
	io.Writer
	left int
}

func (w *cutting) Write(text []byte) (int, error) {
	if w.left -= len(text); w.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return w.Writer.Write(text)
}
