package doctor

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	testclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func TestEachThingThatIsWrongIsFoundByItsCheck(t *testing.T) {
	t.Parallel()
	for _, a := range ailments() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			s := newStandin(t, slices.DeleteFunc([]func(*standin){a.before}, func(f func(*standin)) bool { return f == nil })...)
			p := s.member()
			if a.newcomer {
				p = s.newcomer()
			}
			if a.during != nil {
				a.during(s, p)
			}
			find(t, look(t, p), a.check, a.verdict, a.says...)
			if asked := s.questions(); len(asked) > 20 {
				t.Errorf("%d questions were asked", len(asked))
			}
		})
	}
}

func TestAWellNodeIsWell(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	if r := look(t, s.member()); r.Verdict != OK {
		t.Errorf("it is %s:\n%s", r.Verdict, printed(t, r))
	}
	if r := look(t, s.newcomer()); r.Verdict != OK {
		t.Errorf("before it has joined it is %s:\n%s", r.Verdict, printed(t, r))
	}
}

// With the node's identity at hand, what is wrong with a bootstrap kubeconfig beside it is worth a look and no more.
func TestABadBootstrapKubeconfigBesideAnIdentityBreaksNothing(t *testing.T) {
	t.Parallel()
	s, other := newStandin(t), newStandin(t)
	for name, change := range map[string]func(*kubeconfig.Bootstrap){
		"an unknown token":        func(b *kubeconfig.Bootstrap) { b.Credential.Token = "fedcba.fedcba9876543210" },
		"another CA":              func(b *kubeconfig.Bootstrap) { b.Endpoint.CA = other.ca.pem },
		"another cluster":         func(b *kubeconfig.Bootstrap) { b.Endpoint = other.endpoint() },
		"a server without a name": func(b *kubeconfig.Bootstrap) { b.Endpoint.Server = "https://api.example.com:6443" },
		"a server that is off":    func(b *kubeconfig.Bootstrap) { b.Endpoint.Server = "https://" + closedPort(t) },
	} {
		p := s.member()
		p.Observed.Bootstrap = s.newcomer().Observed.Bootstrap
		change(p.Observed.Bootstrap)
		p.Resolver = nameServer(t, noSuchName)
		if r := look(t, p); r.Verdict != Attention {
			t.Errorf("%s: it is %s:\n%s", name, r.Verdict, printed(t, r))
		}
	}
}

func TestABootstrapKubeconfigBesideAnIdentityIsComparedByTheNodesCertificateAlone(t *testing.T) {
	t.Parallel()
	s, other := newStandin(t), newStandin(t)
	p := s.member()
	p.Observed.Bootstrap = s.newcomer().Observed.Bootstrap
	p.Observed.Bootstrap.Endpoint = other.endpoint()
	find(t, look(t, p), "same-cluster", Attention, "is for another cluster, "+other.server.URL, "drain it, and reboot", "rm /etc/kubernetes/bootstrap.kubeconfig")

	p.Observed.Bootstrap.Path, p.network = "/run/credentials/bootstrap-agent.service/bootstrap.kubeconfig", network{}
	find(t, look(t, p), "same-cluster", Attention, "LoadCredential=", "systemctl show -p LoadCredential")

	p = s.member()
	p.Observed.Bootstrap = s.newcomer().Observed.Bootstrap
	p.Observed.Bootstrap.Endpoint.TLSServerName = "worker-1" // another way to the same server
	find(t, look(t, p), "same-cluster", OK, "leads to the same cluster")

	s.on(reviewPath, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.TLS.ServerName, "worker-1") && len(r.TLS.PeerCertificates) > 0 {
			refuse(401, "Unauthorized", "Unauthorized")(w, r)
			return
		}
		s.whoAsks(w, r)
	})
	p = s.member()
	p.Observed.Bootstrap = s.newcomer().Observed.Bootstrap
	p.Observed.Bootstrap.Endpoint.TLSServerName = "worker-1"
	find(t, look(t, p), "same-cluster", Attention, "does not know this node", "uses the credential for a new identity")
}

func TestAnExecPluginIsRunOnlyWhereItIsNeeded(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	mark := filepath.Join(t.TempDir(), "ran")
	plugin := filepath.Join(t.TempDir(), "plugin")
	must(t, os.WriteFile(plugin, fmt.Appendf(nil, `#!/bin/sh
echo >>%s
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"%s"}}'
`, mark, secretToken), 0o700))
	exec := &clientcmdapi.ExecConfig{Command: plugin, APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode}
	for _, needed := range []bool{false, true} {
		p := s.newcomer()
		if !needed {
			p = s.member()
			p.Observed.Bootstrap = s.newcomer().Observed.Bootstrap
		}
		p.Observed.Bootstrap.Source, p.Observed.Bootstrap.Credential = kubeconfig.ExecPlugin, apiserver.Credential{Exec: exec}
		r := look(t, p)
		find(t, r, "bootstrap-credential", OK, "an exec plugin gives the credential: "+plugin)
		ran, _ := os.ReadFile(mark)
		if needed != (len(ran) > 0) {
			t.Errorf("needed %t: it was run: %t", needed, len(ran) > 0)
		}
		if needed {
			find(t, r, "who-am-i", OK, "for system:bootstrap:abcdef")
		} else {
			find(t, r, "who-am-i", Unknown, "not looked at: the exec plugin of the bootstrap kubeconfig is not run")
		}
	}
	p := s.newcomer()
	p.Observed.Bootstrap.Source, p.Observed.Bootstrap.Credential = kubeconfig.ExecPlugin, apiserver.Credential{Exec: &clientcmdapi.ExecConfig{
		Command: "/nonexistent/plugin", APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
	}}
	find(t, look(t, p), "who-am-i", Broken, "(credential)", "run the exec plugin of the bootstrap kubeconfig by hand")
	if os.Getenv("SOAK") == "" { // one that hangs is waited for
		return
	}
	begun := time.Now()
	plugin, mark = plugin+"-that-hangs", mark+"-and-hangs" // client-go knows the answers of the other one
	must(t, os.WriteFile(plugin, fmt.Appendf(nil, "#!/bin/sh\necho $$ >%s\nexec sleep 60\n", mark), 0o700))
	t.Cleanup(func() { // nobody else ends it: client-go runs plugins without regard to contexts
		content, err := os.ReadFile(mark)
		must(t, err)
		pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
		must(t, err)
		must(t, syscall.Kill(pid, syscall.SIGKILL))
	})
	p.Observed.Bootstrap.Credential.Exec.Command, p.network = plugin, network{}
	find(t, look(t, p), "who-am-i", Broken, "(credential)", "run the exec plugin")
	if took := time.Since(begun); took > requestLimit+10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// Whoever answers knows the token, for it was sent there; what he says is shown to people and kept in their tickets.
func TestAServerThatRepeatsTheTokenEverywhereIsNotQuoted(t *testing.T) {
	t.Parallel()
	second := strings.Split(secretToken, ".")[1]
	for _, echo := range []string{secretToken, second, "\x1b[2J" + secretToken + "\u202e\n\r" + second} {
		s := newStandin(t)
		s.on("/version", answer(200, `{"gitVersion":"`+second+`"}`))
		s.on(reviewPath, review("system:bootstrap:"+echo, echo))
		for _, code := range []int{0, 401, 403, 404, 500} {
			if code > 0 {
				s.on(reviewPath, refuse(code, echo, echo))
			}
			p := s.newcomer()
			request := pending(t, csr.Client, nil)
			p.Observed.Client.Pending = request
			s.on(csrPath+request.Name, refuse(500, echo, echo))
			s.on(accessPath, refuse(403, echo, echo))
			s.on(infoPath, refuse(500, echo, echo))
			if text := printed(t, look(t, p)); strings.ContainsAny(text, "\x1b\r\u202e") {
				t.Errorf("a server's words command the terminal: %q", text)
			}
		}
	}
}

func TestTheTokenGoesNowhereButToItsOwnVerifiedServer(t *testing.T) {
	t.Parallel()
	s, liar := newStandin(t), newStandin(t)
	s.on("/version", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, liar.server.URL, http.StatusTemporaryRedirect)
	})
	s.on(reviewPath, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, liar.server.URL, http.StatusTemporaryRedirect)
	})
	look(t, s.newcomer())
	p := s.newcomer() // under the CA of s, the liar answers
	p.Observed.Bootstrap.Endpoint.Server = liar.server.URL
	find(t, look(t, p), "tls", Broken, "is not signed by the CA in")
	p = s.member() // the node is elsewhere
	p.Observed.Bootstrap = liar.newcomer().Observed.Bootstrap
	p.Observed.Bootstrap.Endpoint = s.endpoint()
	p.Observed.Kubelet.Endpoint = liar.endpoint()
	look(t, p)
	for _, asked := range liar.questions() {
		if strings.Contains(asked, "Bearer") {
			t.Errorf("the token went to another server: %s", asked)
		}
	}
	for _, asked := range s.questions() {
		if strings.HasPrefix(asked, "GET /version") && asked != "GET /version" {
			t.Errorf("a credential went along where none is needed: %s", asked)
		}
	}
}

// A cluster with cluster-info has signed it with each of its tokens.
func TestARefusedTokenIsComparedWithTheSignaturesOfClusterInfo(t *testing.T) {
	t.Parallel()
	const text = "apiVersion: v1\nkind: Config\n"
	for signature, says := range map[string]string{
		signed(text, "0123456789abcdef"):       "may not be used to log in",
		signed(text, "0123456789abcdee"):       "is there with another secret",
		signed(text+"x", "0123456789abcdef"):   "is there with another secret",
		"":                                     "is there with another secret",
		"eyJhbGciOiJub25lIn0..":                "is there with another secret",
		"eyJhbGciOiJIUzI1NiJ9.cGF5bG9hZA.c2ln": "is there with another secret",
		strings.Replace(signed(text, "0123456789abcdef"), "..", ".e30.", 1): "is there with another secret", // it is over something else
	} {
		s := newStandin(t)
		s.on(reviewPath, refuse(401, "Unauthorized", "Unauthorized"))
		s.on(infoPath, answer(200, fmt.Sprintf(`{"kind":"ConfigMap","data":{"kubeconfig":%q,"jws-kubeconfig-abcdef":%q}}`, text, signature)))
		find(t, look(t, s.newcomer()), "who-am-i", Broken, "the bootstrap token with the ID abcdef is", says)
		if asked := s.questions(); !slices.Contains(asked, "GET "+infoPath) {
			t.Errorf("cluster-info was read with a credential: %q", asked)
		}
	}
}

// After networkLimit nobody is asked any more, however well he answers.
func TestChecksThatHaveTakenTooLongAskNoMore(t *testing.T) {
	t.Parallel()
	s := newStandin(t)
	p := s.member()
	now := testclock.NewFakePassiveClock(time.Now())
	p.Clock = now
	checks := remote()
	look := checks[3].Run
	checks[3].Run = func(ctx context.Context, p *Patient) []Result {
		defer now.SetTime(now.Now().Add(networkLimit))
		return look(ctx, p)
	}
	r := Examine(t.Context(), p, checks)
	find(t, r, "who-am-i", Unknown, "not looked at: the other checks have taken 45s")
	if asked := s.questions(); len(asked) != 1 {
		t.Errorf("asked was %q", asked)
	}
}

// shownByOthers are the verdicts of checks that other tests show: network_test.go, the rest of this file, test/e2e/doctor_remote_test.go.
func shownByOthers() map[string][]Verdict {
	return map[string][]Verdict{
		"dns": {OK, Unknown, Attention, Waiting, Broken}, "tcp": {OK, Unknown, Attention, Waiting}, "tls": {Unknown, Waiting}, "api-server-clock": {OK, Broken},
		"who-am-i": {OK, Unknown, Attention}, "same-cluster": {OK, Unknown, Attention}, "csr-access": {OK}, "csr-approval": {OK}, "serving-chain": {OK},
	}
}

func TestThePageOnDoctorHasTheVerdictsOfTheChecksThatAsk(t *testing.T) {
	t.Parallel()
	shown := shownByOthers()
	for _, a := range ailments() {
		shown[a.check] = append(shown[a.check], a.verdict)
	}
	_, rows := documented(t)
	for _, check := range remote() {
		var want []string
		for _, v := range []Verdict{OK, Unknown, Attention, Waiting, Broken} {
			if slices.Contains(shown[check.Name], v) {
				want = append(want, string(v))
			}
		}
		if row := rows[check.Name]; len(row) == 3 && row[1] != strings.Join(want, ", ") {
			t.Errorf("docs/doctor.md says that %s can be %s; shown was %s", check.Name, row[1], strings.Join(want, ", "))
		}
	}
}
