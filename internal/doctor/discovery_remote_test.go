package doctor

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

const tokenFile = "/etc/kubernetes/bootstrap.token"

// withToken makes a newcomer one that has a discovery token, and asks the stand-in where its cluster is.
func withToken(s *standin, p *Patient) {
	p.Observed.Bootstrap, p.Observed.BootstrapErr = nil, status.ErrUndiscovered
	p.Observed.Undiscovered = &kubeconfig.Bootstrap{Path: tokenFile, Source: kubeconfig.DiscoveryToken, Credential: apiserver.Credential{Token: secretToken}}
	p.Observed.BootstrapFile, p.Config.DiscoveryTokenFile = tokenFile, tokenFile
	p.Config.APIServers = []string{strings.TrimPrefix(s.server.URL, "https://")}
	p.Config.DiscoveryCACertHashes = []string{string(discovery.PinOf(s.ca.cert))}
}

func clusterInfoOf(server string, ca ...authority) string {
	var bundle []byte
	for _, one := range ca {
		bundle = append(bundle, one.pem...)
	}
	return fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    server: %s\n    certificate-authority-data: %s\n", server, base64Of(bundle))
}

// info is cluster-info with this kubeconfig, signed with the token abcdef and this secret; empty: not signed.
func info(text, secret string) http.HandlerFunc {
	signature := ""
	if secret != "" {
		signature = fmt.Sprintf(",\"jws-kubeconfig-abcdef\":%q", signed(text, secret))
	}
	return answer(200, fmt.Sprintf(`{"kind":"ConfigMap","data":{"kubeconfig":%q%s}}`, text, signature))
}

const tokenSecret = "0123456789abcdef"

// published has the stand-in say this, rightly signed.
func published(text func(*standin) string) func(*standin, *Patient) {
	return func(s *standin, p *Patient) {
		withToken(s, p)
		s.on(infoPath, info(text(s), tokenSecret))
	}
}

func itself(s *standin) string { return clusterInfoOf(s.server.URL, s.ca) }

func (s *standin) stranger(name string) authority {
	return newAuthority(s.t, name, time.Now().Add(900*day))
}

// discovering has the stand-in answer this to the question for cluster-info.
func discovering(handler func(*standin) http.HandlerFunc) func(*standin, *Patient) {
	return func(s *standin, p *Patient) {
		withToken(s, p)
		s.on(infoPath, handler(s))
	}
}

func always(handler http.HandlerFunc) func(*standin) http.HandlerFunc {
	return func(*standin) http.HandlerFunc { return handler }
}

func discoveryAilments() []ailment {
	const check = "discovery"
	find := func(name string, during func(*standin, *Patient), verdict Verdict, says ...string) ailment {
		return ailment{name: name, newcomer: true, during: during, check: check, verdict: verdict, says: says}
	}
	nowhere := func(s *standin, p *Patient) {
		withToken(s, p)
		p.Config.APIServers = []string{closedPort(s.t)}
	}
	named := func(server func(*standin) string) func(*standin, *Patient) {
		return published(func(s *standin) string { return clusterInfoOf(server(s), s.ca) })
	}
	return []ailment{
		find("it is found", published(itself), OK, "says, signed with the token abcdef, that the cluster is https://127.0.0.1:"),
		{name: "who is asked with what was found", newcomer: true, during: published(itself), check: "who-am-i", verdict: OK, says: []string{"takes the bootstrap credential for system:bootstrap:abcdef"}},
		{name: "what was found is looked at", newcomer: true, during: published(itself), check: "tls", verdict: OK, says: []string{"trusted by the CA in cluster-info"}},
		find("it is not published", discovering(always(refuse(404, "NotFound", "no"))), Broken, "(not-published)", "docs/joining.md", "kubectl -n kube-public get configmap cluster-info"),
		find("strangers may not read it", discovering(always(refuse(403, "Forbidden", "no"))), Broken, "(forbidden)", "let system:anonymous read it"),
		find("strangers are not talked to", discovering(always(refuse(401, "Unauthorized", "Unauthorized"))), Broken, "(unauthorized)", "let system:anonymous read it"),
		find("it is empty", discovering(always(answer(200, `{"kind":"ConfigMap","data":{}}`))), Broken, "(not-published)", "has no key kubeconfig"),
		find("it is not signed", discovering(func(s *standin) http.HandlerFunc { return info(itself(s), "") }), Waiting, "(not-signed)", "bootstrapsigner", "get secret bootstrap-token-abcdef"),
		find("it is signed with another secret", discovering(func(s *standin) http.HandlerFunc { return info(itself(s), "0123456789abcdee") }), Broken, "(signature)", "kubeadm token list"),
		find("its CA is not pinned", func(s *standin, p *Patient) {
			published(itself)(s, p)
			p.Config.DiscoveryCACertHashes = []string{string(discovery.PinOf(s.stranger("other").cert))}
		}, Broken, "(pin)", string("sha256:"), "join-config --ca-file=/etc/kubernetes/pki/ca.crt --print=ca-cert-hash"),
		find("it names a CA beside the pinned one", published(func(s *standin) string { return clusterInfoOf(s.server.URL, s.ca, s.stranger("rogue")) }), Attention, `"CN=rogue"`, "is not trusted", "discoveryCACertHashes"),
		find("it leads to plain HTTP", named(func(*standin) string { return "http://192.0.2.1" }), Broken, "(cluster-info)", "must be https", "edit configmap cluster-info"),
		find("it leads to where nothing listens", named(func(s *standin) string { return "https://" + closedPort(s.t) }), Waiting, "(unreachable)", "it names the server", "curl -skS --max-time 5 https://127.0.0.1:"),
		find("it leads to a server of another CA", named(func(s *standin) string { return newStandin(s.t).server.URL }), Broken, "(tls)", "it names the server"),
		find("it is another each time", discovering(func(s *standin) http.HandlerFunc {
			var asked atomic.Int32
			return func(w http.ResponseWriter, r *http.Request) {
				info(fmt.Sprintf("# %d\n%s", asked.Add(1), itself(s)), tokenSecret)(w, r)
			}
		}), Waiting, "(changed)", "between the two reads", "the agent tries again"),
		find("the answer is a redirect", discovering(func(s *standin) http.HandlerFunc {
			return http.RedirectHandler(newStandin(s.t).server.URL, http.StatusFound).ServeHTTP
		}), Broken, "(redirect)", "must be the API server itself"),
		find("the API server fails", discovering(always(refuse(500, "InternalError", "no"))), Waiting, "(server-error)", "see what is wrong with the API server"),
		find("the answer is something else", discovering(always(answer(200, "<html>"))), Broken, "(bad-answer)", "Kubernetes API server?"),
		find("plain HTTP answers", func(s *standin, p *Patient) {
			withToken(s, p)
			p.Config.APIServers = []string{plainServer(s.t, "HTTP/1.0 400 Bad Request\r\n\r\n")}
		}, Broken, "(tls)", "TLS 1.2"),
		find("nothing listens", nowhere, Waiting, "(unreachable)", "curl -skS --max-time 5 https://127.0.0.8:"),
		{name: "nothing listens where it is to be found out", newcomer: true, during: nowhere, check: "tcp", verdict: Waiting, says: []string{"127.0.0.8:", "refuses connections"}},
		{name: "what is behind it is not looked at", newcomer: true, during: nowhere, check: "who-am-i", verdict: Unknown, says: []string{"not looked at: "}},
		{name: "without its CA a server is not looked at", newcomer: true, during: discovering(always(refuse(404, "NotFound", "no"))), check: "tls", verdict: Unknown, says: []string{"not looked at: where the cluster is has not been found out"}},
		find("beside an identity it is not needed", func(s *standin, p *Patient) {
			m := s.member()
			p.Observed.Kubelet, p.Observed.Client.Pair = m.Observed.Kubelet, m.Observed.Client.Pair
			nowhere(s, p)
		}, Attention, "(unreachable)"),
		find("a pin that is none", func(s *standin, p *Patient) {
			withToken(s, p)
			p.Config.DiscoveryCACertHashes = []string{"sha256:no"}
		}, Unknown, "sha256:no", "config check"),
		{name: "a file says where it is", newcomer: true, during: func(s *standin, p *Patient) {
			withToken(s, p)
			there := s.endpoint()
			p.Config.APIServers, p.Config.DiscoveryFile, p.Observed.DiscoveryFile = nil, "/etc/kubernetes/cluster.kubeconfig", &there
		}, check: "tls", verdict: OK, says: []string{"trusted by the CA in /etc/kubernetes/cluster.kubeconfig"}},
	}
}

const otherMachine = "fedcba9876543210fedcba9876543210"

// held has the node's name be another machine's, or this one's.
func held(ready, machine string) func(*standin, *Patient) {
	return func(s *standin, p *Patient) {
		must(s.t, os.MkdirAll(filepath.Join(p.Root, "etc"), 0o755))
		must(s.t, os.WriteFile(filepath.Join(p.Root, "etc/machine-id"), []byte(ourMachine+"\n"), 0o644))
		s.on(nodePath, answer(200, strings.Replace(nodeObject(ready, "v1.36.0"), `"machineID":"0123"`, fmt.Sprintf(`"machineID":%q`, machine), 1)))
	}
}

func takenAilments() []ailment {
	find := func(name string, during func(*standin, *Patient), verdict Verdict, says ...string) ailment {
		return ailment{name: name, newcomer: true, during: during, check: "node-taken", verdict: verdict, says: says}
	}
	return []ailment{
		find("nobody has the name", at(nodePath, refuse(404, "NotFound", "no")), OK, "there is no Node worker-1", "the name is free"),
		find("another live machine has it", held("True", otherMachine), Broken, "(machine ID "+otherMachine+") is the Node worker-1 already and is Ready", "allowNodeTakeover: true", "hostnameOverride", "kubectl get node worker-1 -o wide"),
		find("another live machine has it, and is to be replaced", func(s *standin, p *Patient) {
			held("True", otherMachine)(s, p)
			p.Config.AllowNodeTakeover = true
		}, Attention, "takes its place, as allowNodeTakeover says", "switch the other one off"),
		find("another machine has it, which is silent", held("Unknown", otherMachine), OK, "is not Ready: this one takes its place"),
		find("this machine has it", held("True", ourMachine), OK, "is this machine"),
		find("the Node has no machine ID", held("True", ""), Unknown, "cannot be told", "see machine-id"),
		find("this machine has no machine ID", at(nodePath, answer(200, nodeObject("True", "v1.36.0"))), Unknown, "cannot be told"),
		find("the bootstrap credential may not see it", at(nodePath, refuse(403, "Forbidden", "no")), Unknown, "cannot be seen by the bootstrap credential", "the agent looks once it has the certificate"),
		find("nobody is known", at(reviewPath, refuse(401, "Unauthorized", "no")), Unknown, "not looked at: "),
	}
}

// As the agent does, it asks with the issued certificate where there is one: most bootstrap tokens may not read Nodes.
func TestWithAnIssuedCertificateTheNodeItselfLooksForAnotherOfItsName(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	p := s.newcomer()
	held("True", otherMachine)(s, p)
	request := pending(t, csr.Client, nil)
	certificate, key := halves(s.ca.issue(t, nodeSubject, time.Now().Add(-time.Hour), time.Now().Add(day)))
	request.Endpoint, request.KeyPEM, request.CertificatePEM, request.UID = s.endpoint(), key, certificate, "uid-1"
	p.Observed.Client.Pending = request
	find(t, look(t, p), "node-taken", Broken, "is the Node worker-1 already and is Ready; this one ("+ourMachine+") does not take its place")
	asked := s.questions()
	if !slices.Contains(asked, "GET "+nodePath+" "+nodeSubject) {
		t.Errorf("asked was %q", asked)
	}
}

func halves(pair []byte) (certificate, key []byte) {
	text := string(pair)
	at := strings.Index(text, "-----BEGIN PRIVATE KEY")
	return []byte(text[:at]), []byte(text[at:])
}

func clusterCAAilments() []ailment {
	find := func(name string, during func(*standin, *Patient), verdict Verdict, says ...string) ailment {
		return ailment{name: name, during: during, check: "cluster-ca", verdict: verdict, says: says}
	}
	// also has cluster-info name another CA beside the one in use.
	also := func(change func(s *standin, p *Patient, next authority)) func(*standin, *Patient) {
		return func(s *standin, p *Patient) {
			next := s.stranger("next")
			s.on(infoPath, info(clusterInfoOf(s.server.URL, s.ca, next), ""))
			change(s, p, next)
		}
	}
	says := func(text string) func(*standin, *Patient) {
		return func(s *standin, _ *Patient) { s.on(infoPath, info(text, "")) }
	}
	follow := func(_ *standin, p *Patient) { p.Config.CAFromClusterInfo = true }
	pinned := func(_ *standin, p *Patient, next authority) {
		p.Config.CAFromClusterInfo, p.Config.DiscoveryCACertHashes = true, []string{string(discovery.PinOf(next.cert))}
	}
	return []ailment{
		find("it has the node's", func(s *standin, _ *Patient) { s.on(infoPath, info(itself(s), "")) }, OK, "every CA in kube-public/cluster-info is in"),
		find("it gets another one, and the node does not follow", also(func(*standin, *Patient, authority) {}), Attention, `"CN=next" with the key sha256:`, "is about to change, and this node does not follow it", "caFromClusterInfo: true", "--print=ca-cert-hash"),
		find("it gets another one, which is pinned", also(pinned), Attention, "the agent adds it within 12 minutes", agentLog),
		find("it gets another one, which nobody has signed", also(func(s *standin, p *Patient, _ authority) { follow(s, p) }), Attention, "neither pinned nor signed by one that it has", "discoveryCACertHashes"),
		find("it gets another one, which the file lacks", also(func(_ *standin, p *Patient, _ authority) { p.Config.CAFile = "/etc/ca.crt" }), Attention, "caFile lacks the new one", "put it into /etc/ca.crt"),
		find("it does not say, and is to be followed", follow, Attention, "is to follow cluster-info, which cannot be read (not-published)", "caFromClusterInfo"),
		find("it says nonsense", says("nonsense"), Attention, "cannot be used", "edit configmap cluster-info"),
		find("it fails to say", at(infoPath, refuse(500, "InternalError", "no")), Unknown, "(server-error)"),
		{name: "its certificate is of another CA already, which nobody has signed", before: func(s *standin) {
			next := s.stranger("next")
			s.shows(next.issue(s.t, "kube-apiserver", time.Now().Add(-time.Hour), time.Now().Add(day)))
			s.on(infoPath, info(clusterInfoOf("https://192.0.2.1", s.ca, next), ""))
		}, check: "cluster-ca", verdict: Broken, says: []string{"has a certificate of a CA that is not trusted", "CN=next", "discoveryCACertHashes", "systemctl restart bootstrap-agent"}},
		{name: "its certificate is of another CA", before: func(s *standin) {
			next := s.stranger("next")
			s.shows(next.issue(s.t, "kube-apiserver", time.Now().Add(-time.Hour), time.Now().Add(day)))
		}, check: "cluster-ca", verdict: Unknown, says: []string{"(tls)"}},
	}
}

// Whoever may read cluster-info is no business of a node that follows nothing: most clusters have none.
func TestWhereClusterInfoIsNotPublishedThereIsNothingToCompare(t *testing.T) {
	t.Parallel()
	for _, code := range []int{401, 403, 404} {
		s := newStandin(t)
		s.on(infoPath, refuse(code, "No", "no"))
		for _, result := range look(t, s.member()).Results {
			if result.Check == "cluster-ca" {
				t.Errorf("%d: %+v", code, result)
			}
		}
	}
}

// What is asked to find out where the cluster is goes to whoever answers.
func TestFindingOutWhereTheClusterIsSendsNothingThatIsSecret(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	p := s.newcomer()
	published(func(s *standin) string { return clusterInfoOf(s.server.URL, s.stranger("rogue")) })(s, p)
	find(t, look(t, p), "discovery", Broken, "(pin)")
	if asked := s.questions(); !slices.Equal(asked, []string{"GET " + infoPath}) {
		t.Errorf("asked was %q", asked)
	}
}

func TestEveryReasonWhyAClusterIsNotFoundHasARemedyAndACommand(t *testing.T) {
	t.Parallel()
	reasons := discovery.Reasons()
	for _, reason := range []apiserver.Reason{apiserver.Unreachable, apiserver.Timeout, apiserver.TLS, apiserver.Clock, apiserver.Redirected, apiserver.Unauthorized, apiserver.Forbidden, apiserver.Throttled, apiserver.ServerError, apiserver.BadAnswer} {
		reasons = append(reasons, discovery.Reason(reason))
	}
	seen := map[string]discovery.Reason{}
	for _, reason := range reasons {
		p := newStandin(t).newcomer()
		r := p.notFound(&discovery.Error{Reason: reason, Server: apiServer, Err: os.ErrInvalid}, discovery.Wish{Token: discovery.Token{ID: "abcdef"}})
		if r.Remedy == "" || r.Command == "" || !strings.Contains(r.Text, "("+string(reason)+")") || rank[r.Verdict] < rank[Waiting] {
			t.Errorf("%s: %+v", reason, r)
		}
		seen[r.Remedy] = reason
	}
	if len(seen) < 6 {
		t.Errorf("only %d remedies for %d reasons", len(seen), len(reasons))
	}
}

// Whoever answers may know the token by other ways; what he says is shown to people.
func TestAServerThatRepeatsTheDiscoveryTokenIsNotQuoted(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	p := s.newcomer()
	withToken(s, p)
	s.on(infoPath, refuse(500, tokenSecret, secretToken+" "+tokenSecret))
	find(t, look(t, p), "discovery", Waiting, "[the credential]")
}

// A systemd credential is there at every boot: beside an identity neither the agent nor doctor asks where it leads.
func TestASystemdTokenBesideAnIdentityIsNotFollowed(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	p, m := s.newcomer(), s.member()
	withToken(s, p)
	p.Observed.Kubelet, p.Observed.Client.Pair = m.Observed.Kubelet, m.Observed.Client.Pair
	p.Observed.Undiscovered.Path = "/run/credentials/bootstrap-agent.service/discovery.token"
	for _, result := range look(t, p).Results {
		if result.Check == "discovery" {
			t.Errorf("%+v", result)
		}
	}
}

// What a discovery file says is believed as far as the pins go, by doctor too: the token would go there.
func TestADiscoveryFileWhoseCAIsNotPinnedLeadsNowhere(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	p := s.newcomer()
	withToken(s, p)
	there := s.endpoint()
	p.Config.APIServers, p.Config.DiscoveryFile, p.Observed.DiscoveryFile = nil, "/etc/kubernetes/cluster.kubeconfig", &there
	p.Config.DiscoveryCACertHashes = []string{string(discovery.PinOf(s.stranger("other").cert))}
	look(t, p)
	if asked := s.questions(); len(asked) > 0 {
		t.Errorf("asked was %q", asked)
	}
}
