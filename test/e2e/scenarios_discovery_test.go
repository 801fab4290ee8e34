package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// discoveryProofs are those of finding out where the cluster is, of a name that is another machine's, and of a CA that changes.
var discoveryProofs = map[string]proof{
	"discovery-nobody-there":      lost{lead: nobodyThere, mend: func(s *seeker) { s.gate.open(); s.mend() }}.prove,
	"discovery-not-published":     lost{lead: infoSays(faultproxy.Status(http.StatusNotFound).ServeHTTP)}.prove,
	"discovery-not-signed":        lost{lead: func(s *seeker) { s.gate.says(clusterInfo(s.t, s.gate.right(), "zzzzzz.0000000000000000")) }}.prove,
	"discovery-wrong-secret":      lost{lead: miscopied, mend: func(s *seeker) { s.write(s.tokenFile(), []byte(s.right), 0o600) }}.prove,
	"discovery-wrong-hash":        lost{lead: anotherHash}.prove,
	"discovery-server-unverified": lost{lead: unverified}.prove,
	"discovery-changed":           lost{lead: infoChanges}.prove,
	"discovery-redirect":          lost{lead: redirecting}.prove,
	"discovery-rogue-ca":          proveRogueCA,
	"node-taken":                  proveNodeTaken,
	"ca-file-unusable":            proveCAFileUnusable,
	"ca-not-trusted":              proveCANotTrusted,
}

// lost is a node that cannot find out where its cluster is, until that is mended: what cluster-info says, unless mend says what else.
type lost struct{ lead, mend func(*seeker) }

func (l lost) prove(t *testing.T, row scenarios.Scenario) {
	reason, _, _ := strings.Cut(strings.TrimPrefix(row.Metric, `errors_total{phase="discovery",reason="`), `"`)
	once := newSeeker(t, l.lead)
	once.keeps(once.tokenFile())
	r := once.meanwhile(func() {
		s := newSeeker(t, l.lead)
		s.keeps(s.tokenFile())
		d := s.start()
		d.awaitLog("reason=" + reason)
		d.awaitStatus("bootstrap: where the cluster is cannot be found out: " + reason)
		d.showsSigns(row)
		s.assertNothingGiven()
		if !d.running() {
			t.Error("the daemon has ended")
		}
		d.kill()
		l.goesOn(row, s)
	}, "--timeout=2s")
	once.expect(r, row.OnceExit, row.Says, "reason="+reason)
	once.assertNothingGiven()
}

// goesOn shows that a daemon goes on by itself when the trouble is over: by a faster clock, for a person acts in minutes.
func (l lost) goesOn(row scenarios.Scenario, s *seeker) {
	if row.Daemon == scenarios.Waits {
		return
	}
	d := s.startHurried(hurry(150), "--serving=off")
	d.awaitLog("reason=")
	if l.mend == nil {
		l.mend = (*seeker).mend
	}
	l.mend(s)
	s.awaitJoined()
	eventually(s.t, "the token is deleted", func() bool { return !isThere(s.tokenFile()) })
	s.csr(csr.Client)
	d.shows(row, scenarios.GoesOn)
}

func infoSays(handler http.HandlerFunc) func(*seeker) {
	return func(s *seeker) { s.gate.says(handler) }
}

func nobodyThere(s *seeker) { s.gate.seen = s.gate.Down() }

// miscopied has the node have another token than the cluster, of the same ID.
func miscopied(s *seeker) {
	s.mend()
	id, _, _ := strings.Cut(s.token, ".")
	s.secret([]byte("0123456789abcdef"))
	s.right, s.token = s.token, id+".0123456789abcdef"
	s.write(s.tokenFile(), []byte(s.token), 0o600)
}

func anotherHash(s *seeker) {
	s.mend()
	s.flags[len(s.flags)-1] = "--discovery-ca-cert-hash=sha256:" + strings.Repeat("0", 64)
}

// unverified leads on to a server that has a certificate of nobody's.
func unverified(s *seeker) {
	other := s.behind(s.t)
	certificate, err := s.cp.ServingCertificate(controlplane.ServingOptions{Untrusted: true})
	must(s.t, err)
	other.Handler(certificate, nil)
	s.gate.says(clusterInfo(s.t, s.gate.kubeconfig(other.URL(), s.cp.CA()), s.token))
}

// infoChanges says something else each time, rightly signed.
func infoChanges(s *seeker) {
	var asked atomic.Int32
	s.gate.says(func(w http.ResponseWriter, r *http.Request) {
		clusterInfo(s.t, fmt.Sprintf("# %d\n%s", asked.Add(1), s.gate.right()), s.token)(w, r)
	})
}

func redirecting(s *seeker) {
	elsewhere := s.behind(s.t)
	certificate, err := s.cp.ServingCertificate(controlplane.ServingOptions{})
	must(s.t, err)
	visits := elsewhere.Handler(certificate, nil)
	s.t.Cleanup(func() {
		if visits.Connections() > 0 {
			s.t.Errorf("the redirect was followed: %v", visits.Requests())
		}
	})
	s.gate.says(http.RedirectHandler(elsewhere.URL()+clusterInfoPath, http.StatusTemporaryRedirect).ServeHTTP)
}

// rogue is a CA that has nothing to do with the cluster.
func rogue(t *testing.T) []byte {
	t.Helper()
	return split(t).CA()
}

func proveRogueCA(t *testing.T, row scenarios.Scenario) {
	lead := func(s *seeker) {
		s.flags = append(s.flags, "--serving=off")
		s.gate.says(clusterInfo(t, s.gate.kubeconfig(s.gate.URL(), rogue(t), s.cp.CA()), s.token))
	}
	once := newSeeker(t, lead)
	once.expect(once.once(), row.OnceExit, row.Says)

	s := newSeeker(t, lead)
	d := s.start()
	d.awaitLog(row.Says)
	s.awaitJoined()
	for _, path := range []string{s.certDir().ServerCA(), s.certDir().ClientCA()} {
		if strings.Contains(string(s.text(path)), string(rogue(t))) {
			t.Errorf("%s holds the rogue CA", path)
		}
	}
	d.showsSigns(row)
	d.shows(row, scenarios.GoesOn)
}

// proveNodeTaken has another machine be the node, and then be gone.
func proveNodeTaken(t *testing.T, row scenarios.Scenario) {
	n := newNode(t, shared(t))
	n.flags = append(n.flags, "--serving=off")
	n.registers(func(s *corev1.NodeStatus) { s.NodeInfo.MachineID = machineID })
	n.bootstrap(n.secretToken())
	n.keeps(n.bootstrapFile())
	n.expect(n.once("--timeout=10s"), row.OnceExit, row.Says, machineID, "--allow-node-takeover")
	request := n.csr(csr.Client).Name
	d := n.start()
	d.awaitLog("reason=node-taken")
	d.awaitStatus("client: node-taken: " + row.Says)
	d.showsSigns(row)
	if isThere(n.kubeconfig()) {
		t.Error("it has become the node")
	}
	d.kill() // the next look would be in half a minute
	must(t, n.cp.AdminClient().CoreV1().Nodes().Delete(context.WithoutCancel(t.Context()), n.name, metav1.DeleteOptions{}))
	d = n.start()
	n.awaitJoined()
	n.awaitRid()
	n.same(csr.Client, request)
	d.shows(row, scenarios.GoesOn)
}

func proveCAFileUnusable(t *testing.T, row scenarios.Scenario) {
	n := member(t, shared(t))
	path := n.path("ca.crt")
	n.flags = append(n.flags, "--ca-file="+path)
	n.write(path, []byte("-----BEGIN CERTIFICATE-----\n"), 0o644)
	n.expect(n.once(), row.OnceExit)
	before := n.text(n.certDir().ServerCA())
	d := n.start()
	d.awaitLog(row.Says)
	d.awaitStatus("is not complete")
	d.showsSigns(row)
	if string(n.text(n.certDir().ServerCA())) != string(before) {
		t.Error("the CA in use was changed")
	}
	n.write(path, n.cp.CA(), 0o644)
	d.awaitLog("the CA of the API server is followed again")
	d.shows(row, scenarios.GoesOn)
}

// proveCANotTrusted has the cluster name another CA beside its own, as at the beginning of a change.
func proveCANotTrusted(t *testing.T, row scenarios.Scenario) {
	n := member(t, shared(t))
	gate := newGateway(t, n.cp)
	gate.says(clusterInfo(t, gate.kubeconfig(gate.URL(), n.cp.CA(), rogue(t))))
	n.flags = append(n.flags, "--ca-from-cluster-info")
	there := n.text(n.kubeconfig())
	n.write(n.kubeconfig(), []byte(strings.Replace(string(there), n.cp.Server(), gate.URL(), 1)), 0o600)
	n.expect(n.once(), row.OnceExit)
	before := n.text(n.certDir().ServerCA())
	d := n.start()
	d.awaitLog(row.Says)
	d.awaitStatus(row.Says)
	d.showsSigns(row)
	time.Sleep(aMoment / 4)
	if string(n.text(n.certDir().ServerCA())) != string(before) {
		t.Error("the CA in use was changed")
	}
	d.saidOnce("a CA is not trusted")
	d.shows(row, scenarios.Waits)
}
