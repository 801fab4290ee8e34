package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// hostileServer is what stands at the address that a node was given, and is not the API server, or not as it should be.
type hostileServer struct {
	name string
	do   func(f *front)
	says string
	// stays: what is wrong is a setting, which takes a restart.
	stays bool
	slow  bool
}

// hostile has servers of every kind at the address that the node was given, each for a while. Then the API server is there.
func (v *town) hostile(t *testing.T) {
	all := hostileServers(v, t)
	source := sample.Random(t)
	source.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	told := 0
	for _, h := range all {
		if os.Getenv("SOAK") == "" && (told >= 8 || h.slow) {
			continue
		}
		told++
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			good := newToken(t, v.cp)
			f := newFront(t, v.cp, good)
			f.keeps(f.tokenFile())
			h.do(f)
			d := f.startHurried(hurry(100), "--serving=off")
			d.awaitLog(h.says)
			d.awaitSaid(strings.TrimPrefix(h.says, "reason="))
			visits := f.visits()
			eventually(t, "it is tried again", func() bool { return h.slow || h.stays || f.visits() > visits || visits == 0 })
			f.assertNothingYet()
			if h.stays {
				return
			}
			f.proxy.Pass()
			if f.token != good {
				f.give(good)
			}
			f.awaitDiscovered()
			f.assertTrusts(v.cp.CA())
			f.assertTrustedWithNothing()
		})
	}
	t.Logf("%d of %d kinds of hostile servers", told, len(all))
}

// untrustedAnswering has a server that has proved nothing answer so.
func untrustedAnswering(handler http.HandlerFunc) func(*front) {
	return func(f *front) { f.answered(f.untrusted(), handler) }
}

// infoWith has it answer with cluster-info that was changed.
func infoWith(v *town, change func(f *front, data map[string]string)) func(*front) {
	return func(f *front) {
		f.answered(f.untrusted(), func(w http.ResponseWriter, _ *http.Request) {
			data := info(f.t, v.cp)
			change(f, data)
			answerInfo(w, data)
		})
	}
}

// signedInfo is what somebody who has the token may say.
func signedInfo(v *town, kubeconfig func(f *front) string) func(*front) {
	return infoWith(v, func(f *front, data map[string]string) { maps.Copy(data, f.signs(kubeconfig(f))) })
}

// signs makes what bootstrapsigner would make of a kubeconfig with the node's token.
func (n *discoverer) signs(kubeconfig string) map[string]string {
	id, secret, _ := strings.Cut(n.token, ".")
	return map[string]string{"kubeconfig": kubeconfig, "jws-kubeconfig-" + id: detachedJWS(id, secret, kubeconfig)}
}

func untrustedRedirect(to string) func(*front) {
	return untrustedAnswering(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
}

func untrustedStatus(code int) func(*front) {
	return untrustedAnswering(func(w http.ResponseWriter, _ *http.Request) { answerStatus(w, code, http.StatusText(code)) })
}

func hostileServers(v *town, t *testing.T) []hostileServer {
	rogue := rogueCA(t)
	both := append(rogue.pem(), v.cp.CA()...)
	old := func(version uint16) func(*front) {
		return func(f *front) {
			f.answered(f.trusted(), http.NotFound, func(c *tls.Config) { c.MinVersion, c.MaxVersion = version, version })
		}
	}
	naming := func(server string) func(*front) {
		return signedInfo(v, func(*front) string { return clusterKubeconfig(server, v.cp.CA()) })
	}
	const signature = "its signature was not made with the secret of the token"
	all := []hostileServer{
		{name: "wrong hash", do: func(f *front) { f.pins("sha256:" + strings.Repeat("0", 64)) }, says: "reason=pin", stays: true},
		{name: "wrong ID", do: func(f *front) { f.give(randomToken()) }, says: "it is not signed with the token"},
		{name: "wrong secret", do: func(f *front) { f.give(f.token[:7] + randomToken()[7:]) }, says: "the cluster, verified, has signed it with another secret of the token"},
		{name: "the server is another one", do: infoWith(v, func(_ *front, data map[string]string) {
			data["kubeconfig"] = strings.Replace(data["kubeconfig"], "127.0.0.1", "127.0.0.2", 1)
		}), says: signature},
		{name: "the CA is another one", do: infoWith(v, func(_ *front, data map[string]string) {
			data["kubeconfig"] = clusterKubeconfig(v.way.URL(), rogue.pem())
		}), says: "nor would it be of use: none of its 1 CA certificates is pinned"},
		{name: "a CA more", do: infoWith(v, func(_ *front, data map[string]string) { data["kubeconfig"] = clusterKubeconfig(v.way.URL(), both) }), says: "who answers there has not proved to be the cluster either"},
		{name: "a byte more", do: infoWith(v, func(_ *front, data map[string]string) { data["kubeconfig"] += "\n" }), says: signature},
		{name: "the signature is another one", do: infoWith(v, func(f *front, data map[string]string) { data["jws-kubeconfig-"+f.token[:6]] += "=" }), says: signature},
		{name: "the signature is gone", do: infoWith(v, func(f *front, data map[string]string) { delete(data, "jws-kubeconfig-"+f.token[:6]) }), says: "it is not signed with the token"},
		{name: "thousands of signatures", do: infoWith(v, func(f *front, data map[string]string) {
			delete(data, "jws-kubeconfig-"+f.token[:6])
			for i := range 4000 {
				data[fmt.Sprintf("jws-kubeconfig-%06d", i)] = detachedJWS(fmt.Sprint(i), "0123456789abcdef", "")
			}
		}), says: "other tokens"},
		{name: "a rogue CA beside the pinned one, signed with the token", do: signedInfo(v, func(*front) string { return clusterKubeconfig(v.way.URL(), both) }), says: "verified, says something else than what was answered here"},
		{name: "it changes between the two reads", do: signedInfo(v, func(*front) string { return clusterKubeconfig(v.way.URL(), v.cp.CA()) + "\n" }), says: "verified, says something else than what was answered here"},
		{name: "a server by plain http", do: naming("http://127.0.0.1:1"), says: "it names a server that is not used: server is plain http"},
		{name: "a server with a password", do: naming("https://admin:hunter2@127.0.0.1:1"), says: "server holds a user name or password"},
		{name: "a server that is not reached", do: naming("https://127.0.0.1:1"), says: "it names the server https://127.0.0.1:1, where it could not be read again"},
		{name: "itself, under another CA", do: signedInfo(v, func(f *front) string { return clusterKubeconfig(f.proxy.URL(), both) }), says: "must come from the pinned CA and hold that name"},
		{name: "an expired CA", do: func(f *front) {
			expired := rogueCA(f.t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
			f.pins(hashOfCA(f.t, v.cp.CA()), hashOfCA(f.t, expired.pem()))
			signedInfo(v, func(*front) string { return clusterKubeconfig(v.way.URL(), expired.pem()) })(f)
		}, says: "reason=clock"},
		{name: "a CA that is none", do: func(f *front) {
			none := rogueCA(f.t, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = false, false })
			f.pins(hashOfCA(f.t, v.cp.CA()), hashOfCA(f.t, none.pem()))
			signedInfo(v, func(*front) string { return clusterKubeconfig(v.way.URL(), none.pem()) })(f)
		}, says: "is no CA (basicConstraints CA:TRUE is missing)"},
		{name: "a redirect to itself", do: untrustedRedirect(clusterInfoPath), says: "answered with a redirect to https://127.0.0.1:"},
		{name: "a redirect to somebody else", do: untrustedRedirect("https://elsewhere.example" + clusterInfoPath), says: "answered with a redirect to https://elsewhere.example"},
		{name: "a redirect to plain http", do: untrustedRedirect("http://127.0.0.1:1/"), says: "answered with a redirect to http://127.0.0.1:1"},
		{name: "an endless body", do: untrustedAnswering(func(w http.ResponseWriter, _ *http.Request) {
			for err := error(nil); err == nil; {
				_, err = io.WriteString(w, strings.Repeat("a", 1<<16))
			}
		}), says: "the answer is longer than any of an API server"},
		{name: "a slow body", do: untrustedAnswering(func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = io.WriteString(w, " ")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(100 * time.Millisecond)
			}
		}), says: "reason=timeout", slow: true},
		{name: "silence", do: func(f *front) { f.raw(func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }) }, says: "reason=timeout", slow: true},
		{name: "nonsense", do: untrustedAnswering(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "good morning") }), says: "the answer is something else"},
		{name: "plain HTTP", do: func(f *front) {
			f.raw(func(c net.Conn) {
				_, _ = c.Read(make([]byte, 1<<10))
				_, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")
				_ = c.(overheard).Conn.(interface{ HalfClose() error }).HalfClose()
				_, _ = io.Copy(io.Discard, c)
			})
		}, says: "server gave HTTP response to HTTPS client"},
		{name: "TLS 1.0", do: old(tls.VersionTLS10), says: "reason=tls"},
		{name: "TLS 1.1", do: old(tls.VersionTLS11), says: "reason=tls"},
		{name: "a client certificate is demanded", do: func(f *front) {
			f.answered(f.trusted(), http.NotFound, func(c *tls.Config) { c.ClientAuth, c.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12 })
		}, says: "reason=tls"},
	}
	for code, says := range map[int]string{401: "reason=unauthorized", 403: "reason=forbidden", 404: "reason=not-published", 429: "reason=throttled", 500: "reason=server-error"} {
		all = append(all, hostileServer{name: fmt.Sprint(code), do: untrustedStatus(code), says: says})
	}
	return all
}

// authority is a CA of somebody else.
type authority struct {
	*x509.Certificate
	key *ecdsa.PrivateKey
}

func rogueCA(t *testing.T, changes ...func(*x509.Certificate)) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rogue"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	for _, change := range changes {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	certificate, err := x509.ParseCertificate(der)
	must(t, err)
	return authority{certificate, key}
}

func (a authority) pem() []byte { return pemOf(a.Raw) }

// server is a certificate of this CA for 127.0.0.1.
func (a authority) server(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "kube-apiserver"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"kubernetes"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.Certificate, key.Public(), a.key)
	must(t, err)
	return tls.Certificate{Certificate: [][]byte{der, a.Raw}, PrivateKey: key}
}

// clusterKubeconfig is a kubeconfig as kubeadm puts it into cluster-info.
func clusterKubeconfig(server string, ca []byte) string {
	return fmt.Sprintf("apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: %s\n    server: %s\n  name: \"\"\ncontexts: null\ncurrent-context: \"\"\nkind: Config\npreferences: {}\nusers: null\n",
		base64.StdEncoding.EncodeToString(ca), server)
}

// detachedJWS is the signature of bootstrapsigner, made by hand (RFC 7515 appendix F).
func detachedJWS(id, secret, content string) string {
	encode := base64.RawURLEncoding.EncodeToString
	header := encode([]byte(`{"alg":"HS256","kid":"` + id + `"}`))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(header + "." + encode([]byte(content))))
	return header + ".." + encode(mac.Sum(nil))
}
