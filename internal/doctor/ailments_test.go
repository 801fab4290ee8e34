package doctor

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
)

// ailment is one thing that is wrong at the API server or on the way there, and what the check says that finds it.
type ailment struct {
	name string
	// newcomer: the node has a bootstrap kubeconfig and nothing else; otherwise it has joined.
	newcomer bool
	// before changes the API server before it starts, during what it answers, and the node.
	before  func(*standin)
	during  func(*standin, *Patient)
	check   string
	verdict Verdict
	says    []string
}

func ailments() []ailment {
	all := append(tlsAilments(), answerAilments()...)
	all = append(append(all, credentialAilments()...), requestAilments()...)
	return append(append(append(all, discoveryAilments()...), takenAilments()...), clusterCAAilments()...)
}

// newCASince has a kubelet of a version run that was started before a CA file was written.
func newCASince(version string) func(*standin, *Patient) {
	return func(s *standin, p *Patient) {
		p.Config.CertDir = filepath.Join(p.Root, "pki")
		must(s.t, os.MkdirAll(p.Config.CertDir, 0o700))
		must(s.t, os.WriteFile(certdir.Dir{Path: p.Config.CertDir}.ServerCA(), s.ca.pem, 0o644))
		p.Observed.Now = time.Now().Add(time.Minute)
		p.Observed.Kubelets = []node.Kubelet{{Process: node.Process{PID: os.Getpid(), Since: time.Now().Add(-time.Hour)}, CertDir: node.Told[string]{Value: p.Config.CertDir, Known: true}}}
		s.on(nodePath, answer(200, nodeObject("True", version, "192.0.2.10")))
	}
}

func certified(from, until time.Duration) func(*standin) {
	return func(s *standin) {
		s.shows(s.ca.issue(s.t, "kube-apiserver", time.Now().Add(from), time.Now().Add(until)))
	}
}

// at has an answer be given at a path.
func at(path string, handler http.HandlerFunc) func(*standin, *Patient) {
	return func(s *standin, _ *Patient) { s.on(path, handler) }
}

func tlsAilments() []ailment {
	return []ailment{
		{name: "its certificate ends in two weeks", before: certified(-360*day, 13*day), check: "tls", verdict: Attention, says: []string{"which is in 12 days", "kubeadm certs renew apiserver"}},
		{name: "its certificate lives for a day and is renewed by something", before: certified(-12*time.Hour, 12*time.Hour), check: "tls", verdict: OK, says: []string{"TLS 1.3"}},
		{name: "it speaks TLS 1.1 only", before: func(s *standin) {
			s.server.TLS.MinVersion, s.server.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}, check: "tls", verdict: Broken, says: []string{"speaks no TLS as new as 1.2", "--tls-min-version"}},
		{name: "it talks to nobody without a certificate", before: func(s *standin) { s.server.TLS.ClientAuth = tls.RequireAnyClientCert }, check: "tls", verdict: OK, says: []string{"it does not talk to strangers (", "certificate required"}},
		{name: "it talks to nobody without a certificate, by an older TLS", before: func(s *standin) {
			s.server.TLS.ClientAuth, s.server.TLS.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
		}, check: "who-am-i", verdict: OK, says: []string{nodeSubject}},
		{name: "it tells its version to the node only", before: func(s *standin) { s.server.TLS.ClientAuth = tls.RequireAnyClientCert }, check: "api-server-version", verdict: OK, says: []string{"v1.34.1"}},
		{name: "a proxy takes TLS apart", before: func(s *standin) {
			zscaler := newAuthority(s.t, "Zscaler Intermediate Root CA (zscalertwo.net)", time.Now().Add(100*day))
			s.shows(zscaler.issue(s.t, "kube-apiserver", time.Now().Add(-time.Hour), time.Now().Add(day)))
		}, check: "tls", verdict: Broken, says: []string{"a proxy (zscaler) takes TLS apart", "no TLS inspection", "openssl s_client -connect 127.0.0.1:"}},
		{name: "nothing but plain HTTP is spoken", newcomer: true, during: func(s *standin, p *Patient) {
			p.Observed.Bootstrap.Endpoint.Server = "https://" + plainServer(s.t, "HTTP/1.0 400 Bad Request\r\n\r\n")
		}, check: "tls", verdict: Broken, says: []string{"does not speak TLS", "curl -sv --max-time 5 http://127.0.0.1:"}},
		{name: "its clock is behind", during: at("/version", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(-50*time.Second).UTC().Format(http.TimeFormat))
			answer(http.StatusOK, `{"gitVersion":"v1.34.1"}`)(w, r)
		}), check: "api-server-clock", verdict: Attention, says: []string{"this machine's clock is", "ahead of that of https://127.0.0.1:", "timedatectl set-ntp true"}},
		{name: "it does not tell the time", during: at("/version", func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Date"] = nil
			answer(http.StatusOK, `{"gitVersion":"v1.34.1"}`)(w, r)
		}), check: "api-server-clock", verdict: Unknown, says: []string{"has no Date"}},
		{name: "it tells a time that its own certificate contradicts", during: at("/version", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT")
			answer(http.StatusOK, `{"gitVersion":"v1.34.1"}`)(w, r)
		}), check: "api-server-clock", verdict: Unknown, says: []string{"has no Date"}},
	}
}

func answerAilments() []ailment {
	return []ailment{
		{name: "it is too old", during: at("/version", answer(200, `{"gitVersion":"v1.27.16-eks-1"}`)), check: "api-server-version", verdict: Broken, says: []string{"v1.27.16-eks-1", "1.28 or later"}},
		{name: "it is new enough, with a vendor's words", during: at("/version", answer(200, `{"gitVersion":"v1.28.0+k3s1"}`)), check: "api-server-version", verdict: OK, says: []string{"v1.28.0+k3s1"}},
		{name: "its version is no version", during: at("/version", answer(200, `{"gitVersion":"main"}`)), check: "api-server-version", verdict: Unknown, says: []string{`"main"`}},
		{name: "it tells strangers nothing, and the node its version", during: at("/version", func(w http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) == 0 {
				refuse(401, "Unauthorized", "Unauthorized")(w, r)
				return
			}
			answer(200, `{"gitVersion":"v1.31.2"}`)(w, r)
		}), check: "api-server-version", verdict: OK, says: []string{"v1.31.2"}},
		{name: "it tells strangers nothing, and the node nonsense", during: at("/version", func(w http.ResponseWriter, r *http.Request) {
			if len(r.TLS.PeerCertificates) == 0 {
				refuse(401, "Unauthorized", "Unauthorized")(w, r)
				return
			}
			answer(200, `{"status":"ok"}`)(w, r)
		}), check: "api-server-version", verdict: Unknown, says: []string{"does not tell its version", "something else"}},
		{name: "it tells nobody its version", during: at("/version", refuse(403, "Forbidden", "no")), check: "api-server-version", verdict: Unknown, says: []string{"does not tell its version"}},
		{name: "it redirects", during: at("/version", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example.com/version", http.StatusFound)
		}), check: "api-server-version", verdict: Broken, says: []string{"answers with a redirect (302)", "curl -skI"}},
		{name: "a health check answers everything", during: at("/version", answer(200, `{"status":"ok"}`)), check: "api-server-version", verdict: Broken, says: []string{"is no API server"}},
		{name: "a web page answers", during: at("/version", answer(404, `<html>nginx</html>`)), check: "api-server-version", verdict: Broken, says: []string{"is no API server", "404"}},
		{name: "its answers break off", during: at("/version", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"gitVersion":"v1.34.1"`)
		}), check: "api-server-version", verdict: Waiting, says: []string{"broke off: unexpected EOF"}},
		{name: "it is overloaded", during: at("/version", answer(503, ``)), check: "api-server-version", verdict: Waiting, says: []string{"answers 503", "readyz"}},
		{name: "it does not answer who we are", during: at(reviewPath, refuse(500, "InternalError", "etcd is gone")), check: "who-am-i", verdict: Waiting, says: []string{"(server-error)", "etcd is gone"}},
		{name: "it redirects who we are", during: at(reviewPath, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.example.com", http.StatusTemporaryRedirect)
		}), check: "who-am-i", verdict: Broken, says: []string{"(redirect)"}},
		{name: "it takes the node for nobody", during: at(reviewPath, review("system:anonymous", "system:unauthenticated")), check: "who-am-i", verdict: Broken, says: []string{"for system:anonymous: it has not looked at the node's certificate", "pass TLS through"}},
		{name: "it takes the node for nobody, and does not answer him", during: at(reviewPath, refuse(403, "Forbidden", `selfsubjectreviews is forbidden: User "system:anonymous" cannot create resource`)), check: "who-am-i", verdict: Broken, says: []string{"for system:anonymous"}},
		{name: "it takes the node for another", during: at(reviewPath, review("system:node:worker-2", "system:nodes")), check: "who-am-i", verdict: Broken, says: []string{"for system:node:worker-2, and the certificate is for system:node:worker-1"}},
		{name: "it takes the node for a user without the group", during: at(reviewPath, review(nodeSubject, "system:authenticated")), check: "who-am-i", verdict: Broken, says: []string{"not in the group system:nodes", "openssl x509"}},
		{name: "it does not say what the node may", during: at(accessPath, refuse(403, "Forbidden", "no")), check: "csr-access", verdict: Unknown, says: []string{"(forbidden)", "system:basic-user", "kubectl auth can-i"}},
		{name: "it says something else than what the node may", during: at(accessPath, answer(201, `{"kind":"Status"}`)), check: "csr-access", verdict: Unknown, says: []string{"(bad-answer)"}},
		{name: "the node may not create requests", during: at(accessPath, allow("get", "watch")), check: "csr-access", verdict: Broken, says: []string{"may not create certificate", "--authorization-mode=Node,RBAC", "--clusterrole=system:node --group=system:nodes"}},
		{name: "the node may not watch requests", during: at(accessPath, allow("create", "get")), check: "csr-access", verdict: Attention, says: []string{"may not watch"}},
		{name: "nobody approves the next certificate", during: at(accessPath, allow("create", "get", "watch", "nodeclient")), check: "csr-approval", verdict: Attention, says: []string{"create clusterrolebinding bootstrap-agent:approve-node-rotation", "selfnodeclient --group=system:nodes"}},
		{name: "it does not say whether anybody approves", during: at(accessPath, refuse(500, "InternalError", "no")), check: "csr-approval", verdict: Unknown},
	}
}

func credentialAilments() []ailment {
	jwt := func(exp time.Time) func(*standin, *Patient) {
		return func(_ *standin, p *Patient) {
			claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, exp.Unix()))
			p.Observed.Bootstrap.Credential.Token = "eyJhbGciOiJSUzI1NiJ9." + claims + ".c2ln"
		}
	}
	token := func(text string) func(*standin, *Patient) {
		return func(_ *standin, p *Patient) { p.Observed.Bootstrap.Credential.Token = text }
	}
	certificate := func(until time.Duration) func(*standin, *Patient) {
		return func(s *standin, p *Patient) {
			pem := s.ca.issue(s.t, "new-node", time.Now().Add(-day), time.Now().Add(until))
			p.Observed.Bootstrap.Source, p.Observed.Bootstrap.Credential = kubeconfig.EmbeddedKey, apiserver.Credential{CertificatePEM: pem, KeyPEM: pem}
		}
	}
	return []ailment{
		{name: "a bootstrap token", newcomer: true, check: "bootstrap-credential", verdict: Unknown, says: []string{"the ID abcdef", `get secret bootstrap-token-abcdef -o go-template=`}},
		{name: "a token that was miscopied", newcomer: true, during: token("abcdef.0123456789abcde"), check: "bootstrap-credential", verdict: Attention, says: []string{"with 6 and 15 characters around its dot", "get secrets --field-selector type=bootstrap.kubernetes.io/token"}},
		{name: "a static token", newcomer: true, during: token("0123456789abcdef0123456789"), check: "bootstrap-credential", verdict: OK, says: []string{"static token"}},
		{name: "a JSON Web Token", newcomer: true, during: jwt(time.Now().Add(2 * day)), check: "bootstrap-credential", verdict: OK, says: []string{"good until 20"}},
		{name: "a JSON Web Token about to expire", newcomer: true, during: jwt(time.Now().Add(10 * time.Minute)), check: "bootstrap-credential", verdict: Attention, says: []string{"JSON Web Token that expires in"}},
		{name: "a JSON Web Token that has expired", newcomer: true, during: jwt(time.Now().Add(-time.Minute)), check: "bootstrap-credential", verdict: Broken, says: []string{"has expired at 20"}},
		{name: "a client certificate", newcomer: true, during: certificate(day), check: "bootstrap-credential", verdict: OK, says: []string{"client certificate, good until"}},
		{name: "a client certificate that has expired", newcomer: true, during: certificate(-time.Minute), check: "bootstrap-credential", verdict: Broken, says: []string{"has expired at"}},
		{name: "a client certificate of another CA", newcomer: true, during: func(s *standin, p *Patient) {
			certificate(day)(s, p)
			s.on(reviewPath, refuse(401, "Unauthorized", "Unauthorized"))
		}, check: "who-am-i", verdict: Broken, says: []string{"does not accept the bootstrap credential (401), a client certificate", "auth whoami"}},
		{name: "a token that nobody knows", newcomer: true, during: token("fedcba.fedcba9876543210"), check: "who-am-i", verdict: Broken, says: []string{"bootstrap token with the ID fedcba is unknown there, has expired"}},
		{name: "a static token that nobody knows", newcomer: true, during: token("whatever"), check: "who-am-i", verdict: Broken, says: []string{"it is unknown there, or has expired", "kubeadm token create"}},
		{name: "the node's certificate is refused", during: at(reviewPath, refuse(401, "Unauthorized", "Unauthorized")), check: "who-am-i", verdict: Broken, says: []string{"issued by CN=kubernetes", "--client-ca-file"}},
		{name: "an ordinary token lacks a binding", newcomer: true, during: at(accessPath, allow()), check: "csr-access", verdict: Broken, says: []string{
			"kubectl create clusterrolebinding bootstrap-agent:node-bootstrapper --clusterrole=system:node-bootstrapper --group=system:bootstrappers",
		}},
		{name: "kubeadm's token lacks a binding", newcomer: true, during: func(s *standin, _ *Patient) {
			s.on(reviewPath, review("system:bootstrap:abcdef", "system:bootstrappers", "system:bootstrappers:kubeadm:default-node-token", "system:authenticated"))
			s.on(accessPath, allow("create", "get", "watch"))
		}, check: "csr-approval", verdict: Attention, says: []string{"create clusterrolebinding bootstrap-agent:approve-new-nodes-default-node-token ", "--group=system:bootstrappers:kubeadm:default-node-token"}},
		{name: "a group of somebody else's words", newcomer: true, during: func(s *standin, _ *Patient) {
			s.on(reviewPath, review("eve'$(reboot)", "system:bootstrappers:x; reboot #"))
			s.on(accessPath, allow())
		}, check: "csr-access", verdict: Broken, says: []string{`--user='eve'\''$(reboot)'`}},
	}
}

// pending is a request under way, in the place of those that the disk has.
func pending(t *testing.T, kind csr.Kind, change func(*csr.Pending)) *csr.Pending {
	t.Helper()
	p, err := csr.New(csr.Wish{Kind: kind, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256"}, apiserver.Endpoint{})
	must(t, err)
	p.UID, p.Accepted = "uid-1", time.Now().Add(-3*time.Hour)
	if change != nil {
		change(p)
	}
	return p
}

// object is how the API server has a request, with these conditions.
func object(p *csr.Pending, conditions string) http.HandlerFunc {
	return answer(200, fmt.Sprintf(`{"kind":"CertificateSigningRequest","apiVersion":"certificates.k8s.io/v1","metadata":{"name":%q,"uid":"uid-1","creationTimestamp":%q},
		"spec":{"request":%q,"signerName":%q,"usages":["digital signature","%s auth"],"username":"system:node:worker-1"},"status":{"conditions":[%s]}}`,
		p.Name, time.Now().Add(-3*time.Hour).UTC().Format(time.RFC3339), base64.StdEncoding.EncodeToString(p.RequestPEM), p.Wish.Kind.Signer(),
		map[csr.Kind]string{csr.Client: "client", csr.Serving: "server"}[p.Wish.Kind], conditions))
}

func requestAilments() []ailment {
	asked := func(kind csr.Kind, conditions string) func(*standin, *Patient) {
		return func(s *standin, p *Patient) {
			request := pending(s.t, kind, nil)
			if kind == csr.Serving {
				p.Observed.Serving.Pending = request
			} else {
				p.Observed.Client.Pending = request
			}
			s.on(csrPath+request.Name, object(request, conditions))
		}
	}
	gone := func(uid string) func(*standin, *Patient) {
		return func(s *standin, p *Patient) {
			p.Observed.Client.Pending = pending(s.t, csr.Client, func(r *csr.Pending) { r.UID = uid })
		}
	}
	return []ailment{
		{name: "a first certificate waits", newcomer: true, during: asked(csr.Client, ""), check: "csr", verdict: Waiting, says: []string{"waits for approval since", "(3h", "kubectl certificate approve worker-1-kubelet-client-"}},
		{name: "the next certificate waits", during: asked(csr.Client, ""), check: "csr", verdict: Attention, says: []string{"waits for approval since"}},
		{name: "a serving certificate waits", during: asked(csr.Serving, ""), check: "csr", verdict: Attention, says: []string{"nothing in a stock cluster approves serving certificates"}},
		{name: "approved, and nobody signs", newcomer: true, during: asked(csr.Client, `{"type":"Approved","status":"True"}`), check: "csr", verdict: Waiting, says: []string{"is approved, and no certificate has been issued", "kube-controller-manager --tail=100"}},
		{name: "a denial that is none", newcomer: true, during: asked(csr.Client, `{"type":"Denied","status":"False"}`), check: "csr", verdict: Waiting, says: []string{"waits for approval"}},
		{name: "denied", newcomer: true, during: asked(csr.Client, `{"type":"Denied","status":"True","reason":"No","message":"not in the inventory"}`), check: "csr", verdict: Broken, says: []string{"was denied at", "No: not in the inventory"}},
		{name: "another's object under the name", newcomer: true, during: func(s *standin, p *Patient) {
			asked(csr.Client, "")(s, p)
			p.Observed.Client.Pending.UID = "uid-2"
		}, check: "csr", verdict: Attention, says: []string{"another certificate signing request stands under the name"}},
		{name: "deleted", newcomer: true, during: gone("uid-1"), check: "csr", verdict: Waiting, says: []string{"any more: deleted by somebody", "journalctl"}},
		{name: "never sent", newcomer: true, during: gone(""), check: "csr", verdict: Waiting, says: []string{"has not come to"}},
		{name: "may not be read", newcomer: true, during: func(s *standin, p *Patient) {
			asked(csr.Client, "")(s, p)
			s.on(csrPath+p.Observed.Client.Pending.Name, refuse(403, "Forbidden", "no"))
		}, check: "csr", verdict: Unknown, says: []string{"cannot be read"}},
		{name: "the Node is not there", during: at(nodePath, refuse(404, "NotFound", "no")), check: "node-object", verdict: Waiting, says: []string{"there is no Node worker-1 yet"}},
		{name: "the kubelet is silent", during: at(nodePath, answer(200, nodeObject("Unknown", "v1.36.0"))), check: "node-object", verdict: Attention, says: []string{"does not say anything any more"}},
		{name: "the kubelet does not know a new CA", during: at(nodePath, answer(200, nodeObject("True", "v1.35.9"))), check: "node-object", verdict: OK, says: []string{"a new CA file only when it is restarted"}},
		{name: "the kubelet does not know a new CA, and there is one since it was started", during: newCASince("v1.35.9"), check: "node-object", verdict: Attention, says: []string{"v1.35.9, and was started before a CA file was written", "systemctl restart kubelet"}},
		{name: "the kubelet has read the new CA by itself", during: newCASince("v1.36.1"), check: "node-object", verdict: OK, says: []string{"is Ready, by its kubelet of version v1.36.1"}},
		{name: "the kubelet does not know a new certificate", during: at(nodePath, answer(200, nodeObject("True", "v1.30.14-gke.100"))), check: "node-object", verdict: Attention, says: []string{"v1.30.14-gke.100", "systemctl restart kubelet"}},
		{name: "a Node that may not be read", during: at(nodePath, refuse(403, "Forbidden", "no")), check: "node-object", verdict: Unknown, says: []string{"cannot be read"}},
		{name: "an address that the certificate lacks", during: at(nodePath, answer(200, nodeObject("True", "v1.36.0", "10.0.0.1"))), check: "node-object", verdict: Attention, says: []string{"not for 10.0.0.1", "--node-ip"}},
		{name: "a machine of the same name", during: func(s *standin, p *Patient) {
			must(s.t, os.MkdirAll(filepath.Join(p.Root, "etc"), 0o755))
			must(s.t, os.WriteFile(filepath.Join(p.Root, "etc", "machine-id"), []byte("4567\n"), 0o644))
		}, check: "node-object", verdict: Attention, says: []string{"another machine ID (0123) than this one (4567)"}},
		{name: "a serving certificate of a signer that is not known here", during: func(_ *standin, p *Patient) { p.Observed.ServerCA, p.Observed.ClientCA = nil, nil }, check: "serving-chain", verdict: Unknown, says: []string{"cannot be known here", "get --raw /api/v1/nodes/worker-1/proxy/healthz"}},
		{name: "an old guide's binding", during: func(s *standin, p *Patient) {
			p.Observed.Serving.Pair = nil
			s.on("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", answer(200, `{"items":[{"metadata":{"name":"a"},"roleRef":{"kind":"ClusterRole","name":"view"}},
				{"metadata":{"name":"auto approve"},"roleRef":{"kind":"ClusterRole","name":"system:certificates.k8s.io:certificatesigningrequests:selfnodeserver"}}]}`))
		}, check: "serving-approval", verdict: Attention, says: []string{"auto approve has no effect", "kubectl delete clusterrolebinding 'auto approve'"}},
	}
}
