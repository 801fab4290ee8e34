package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// counts remembers what was counted.
type counts struct {
	unheard
	mu     sync.Mutex
	counts map[string]int
	waits  []time.Duration
	stands status.Standing
}

func (c *counts) count(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[string]int{}
	}
	c.counts[fmt.Sprintf(format, args...)]++
}

func (c *counts) Requested(certificate, result string) { c.count("%s %s", certificate, result) }
func (c *counts) Rotated(certificate string, success bool) {
	c.count("%s rotated %t", certificate, success)
}

func (c *counts) Failed(phase status.Phase, reason string) { c.count("failed %s %s", phase, reason) }
func (c *counts) Waited(_ string, d time.Duration)         { c.waits = append(c.waits, d) }
func (c *counts) Stands(s status.Standing)                 { c.stands = s }

// expect is what was counted since the last time.
func (c *counts) expect(t *testing.T, about string, want ...string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if got := slices.Sorted(maps.Keys(c.counts)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("%s: counted %q, expected %q", about, got, want)
	}
	c.counts = nil
}

func counting(s *settler) *counts {
	c := &counts{}
	s.agent.Metrics = c
	return c
}

func TestEveryEndOfARequestIsCounted(t *testing.T) {
	m := newMaterial(t)
	for _, result := range []csr.Result{csr.Denied, csr.Failed, csr.Replaced} {
		s, _ := asking(t, m, "sent", nil)
		c := counting(s)
		s.agent.asked(&s.agent.client, csr.Outcome{Result: result, At: noon}, nil)
		c.expect(t, string(result), "client "+string(result), "failed client "+string(result))
	}
	s, _ := asking(t, m, "sent", nil)
	c := counting(s)
	s.agent.asked(&s.agent.client, csr.Outcome{Result: csr.Deleted, At: noon}, nil)
	c.expect(t, "deleted", "client deleted", "failed client deleted")
	s, p := asking(t, m, "sent", nil)
	c = counting(s)
	s.agent.client.created = noon.Add(-90 * time.Second)
	s.agent.asked(&s.agent.client, csr.Outcome{Result: csr.Issued, CertificatePEM: theCA().issue(p, noon.Add(-time.Minute))}, nil)
	c.expect(t, "issued", "client issued")
	if len(c.waits) != 1 || c.waits[0] != 90*time.Second {
		t.Errorf("waited %v, expected 90 s", c.waits)
	}
	s.agent.giveUp(&s.agent.client, s.pending(t))
	c.expect(t, "given up", "client abandoned")
}

func TestARequestThatComesToNothingWhileACertificateIsInUseIsAFailedRotation(t *testing.T) {
	m := newMaterial(t)
	s, _ := start(t, m, disk{client: "good", older: "missing", clientPending: "sent", serving: "issued", servingPending: "none", kubeconfig: true}, durable.Disk{})
	t.Cleanup(s.close)
	s.agent.observe() // the certificate is remembered
	c := counting(s)
	s.agent.end(&s.agent.client, s.pending(t), csr.Outcome{Result: csr.Denied, At: noon})
	c.expect(t, "denied", "client denied", "failed client denied", "client rotated false")
}

func TestAFailureIsCountedByWhatWasBeingDoneAndWhy(t *testing.T) {
	m := newMaterial(t)
	resource := schema.GroupResource{Resource: "certificatesigningrequests"}
	for _, f := range []struct {
		err  error
		want string
	}{
		{apierrors.NewUnauthorized("by a test"), "failed client unauthorized"},
		{apierrors.NewForbidden(resource, "a", errors.New("by a test")), "failed client forbidden"},
		{&os.SyscallError{Syscall: "connect", Err: syscall.ECONNREFUSED}, "failed client unreachable"},
		{errors.New("something else"), "failed client bad-answer"},
	} {
		s, _ := asking(t, m, "sent", nil)
		c := counting(s)
		s.agent.asked(&s.agent.client, csr.Outcome{}, f.err)
		c.expect(t, f.err.Error(), f.want)
	}
	for err, reason := range map[error]string{
		syscall.ENOSPC: "full", fmt.Errorf("write: %w", syscall.EDQUOT): "full", syscall.EROFS: "read-only", fs.ErrPermission: "permission",
		syscall.EPERM: "permission", syscall.EIO: "io", syscall.ELOOP: status.OtherReason, errors.New("else"): status.OtherReason,
	} {
		s, _ := asking(t, m, "sent", nil)
		c := counting(s)
		s.agent.diskFailed(&s.agent.files, "test it", err)
		c.expect(t, err.Error(), "failed disk "+reason)
	}
}

// ofDiscovery are the reasons for which a cluster is not found.
func ofDiscovery() (reasons []string) {
	for _, reason := range discovery.Reasons() {
		reasons = append(reasons, string(reason))
	}
	return reasons
}

func TestEveryReasonThatTheAgentCountsIsInTheList(t *testing.T) {
	for _, reason := range []apiserver.Reason{
		apiserver.Unreachable, apiserver.Timeout, apiserver.TLS, apiserver.Redirected, apiserver.Unauthorized, apiserver.Forbidden, apiserver.NotFound,
		apiserver.Exists, apiserver.Throttled, apiserver.ServerError, apiserver.Expired, apiserver.Invalid, apiserver.BadAnswer, apiserver.NoCredential,
	} {
		for _, phase := range []status.Phase{status.ClientPhase, status.ServingPhase, status.CredentialPhase, status.NodePhase} {
			if !slices.Contains(status.Reasons(phase), string(reason)) {
				t.Errorf("%s is no reason of %s", reason, phase)
			}
		}
	}
	for phase, reasons := range map[status.Phase][]string{
		status.ClientPhase: {"refused", "denied", "failed", "deleted", "replaced", "configuration", "node-taken"}, status.CredentialPhase: {disposalReason, "other-cluster"},
		status.DiscoveryPhase: append(ofDiscovery(), "configuration", "not-found"), status.CAPhase: {fileReason, unprovedReason, untrustedReason, "configuration", "cluster-info", "not-published"},
		status.DiskPhase: {"full", "read-only", "permission", "io"}, status.ClockPhase: {"server-certificate", "issued-certificate"},
	} {
		for _, reason := range reasons {
			if !slices.Contains(status.Reasons(phase), reason) {
				t.Errorf("%s is no reason of %s", reason, phase)
			}
		}
	}
}

func TestWhatLastsIsCountedWhenItBegins(t *testing.T) {
	m := newMaterial(t)
	s, _ := settled(t, m, true)
	c := counting(s)
	o := s.agent.observe()
	s.agent.countFaults(o)
	c.expect(t, "well")
	o.NodeErr = errors.New("none")
	s.agent.countFaults(o)
	s.agent.countFaults(o)
	c.expect(t, "no name", "failed node name")
	o.NodeErr = nil
	s.agent.countFaults(o)
	c.expect(t, "a name")
	o.NodeErr = errors.New("none again")
	s.agent.countFaults(o)
	c.expect(t, "no name again", "failed node name")
}

func TestTheNodeIsNotReadyWhileTheAPIServerRefusesItsIdentity(t *testing.T) {
	m := newMaterial(t)
	s, _ := settled(t, m, true)
	a := s.agent
	if why := a.standing(a.observe()).NotReady; why != "" {
		t.Fatalf("not ready: %s", why)
	}
	a.heardAsNode(errors.New("connection refused"))
	if why := a.standing(a.observe()).NotReady; why != "" {
		t.Errorf("no answer makes it not ready: %s", why)
	}
	a.heardAsNode(apierrors.NewUnauthorized("by a test"))
	if a.standing(a.observe()).NotReady == "" {
		t.Error("it is ready, and the API server does not accept the identity")
	}
	a.heardAsNode(errors.New("connection refused"))
	if a.standing(a.observe()).NotReady == "" {
		t.Error("no answer makes it ready again")
	}
	for name, hear := range map[string]func(){
		"an answer":                   func() { a.heardAsNode(nil) },
		"403, which is for somebody":  func() { a.heardAsNode(apierrors.NewForbidden(schema.GroupResource{}, "a", errors.New("by a test"))) },
		"a request that was accepted": func() { acceptServing(t, s) },
	} {
		a.heardAsNode(apierrors.NewUnauthorized("by a test"))
		hear()
		if why := a.standing(a.observe()).NotReady; why != "" {
			t.Errorf("after %s it is not ready: %s", name, why)
		}
	}
}

// acceptServing has the API server accept a request that was sent as the node.
func acceptServing(t *testing.T, s *settler) {
	t.Helper()
	p, err := csr.New(csr.Wish{Kind: csr.Serving, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256", DNSNames: []string{"worker-1"}}, apiserver.Endpoint{Server: "https://192.0.2.1:6443"})
	must(t, err)
	must(t, s.agent.store(p))
	s.agent.serving.asNode = true
	s.agent.accepted(&s.agent.serving, &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: p.Name, UID: "uid"}})
}

func TestTheSkewIsWhatItIsNowAndNotKnownForEver(t *testing.T) {
	m := newMaterial(t)
	s, _ := settled(t, m, true)
	a := s.agent
	if skew := a.standing(a.observe()).ClockSkew; skew != nil {
		t.Errorf("known before any answer: %s", skew)
	}
	a.noted.local, a.noted.server = s.clock.Now(), s.clock.Now().Add(-42*time.Second)
	if skew := a.standing(a.observe()).ClockSkew; skew == nil || *skew != 42*time.Second {
		t.Errorf("skew %v, expected 42 s ahead", skew)
	}
	s.clock.Step(skewFor)
	if skew := a.standing(a.observe()).ClockSkew; skew != nil {
		t.Errorf("an hour later it is still said to be %s", skew)
	}
}

// A kubelet that was started since has read what is written again from memory.
func TestAHealedFileKeepsItsTime(t *testing.T) {
	m := newMaterial(t)
	s, on := settled(t, m, true)
	a := s.agent
	then := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, path := range []string{on.cfg.Kubeconfig, on.dir.ServerCA(), on.dir.ClientCA()} {
		must(t, os.Chtimes(path, then, then))
	}
	a.observe()
	for _, file := range a.healable() {
		if file.kept.text == nil {
			continue
		}
		must(t, os.WriteFile(file.what, nil, 0o600))
		must(t, file.restore())
		if info, err := os.Stat(file.what); err != nil || !info.ModTime().Equal(then) {
			t.Errorf("%s is of %s, expected %s (%v)", file.what, info.ModTime(), then, err)
		}
	}
}

func TestAKubeletThatReadsCAFilesAgainNeedsNoRestartForOne(t *testing.T) {
	m := newMaterial(t)
	s, on := settled(t, m, true)
	a := s.agent
	kubelet := node.Kubelet{Process: node.Process{PID: 7, Started: "7", Since: noon.Add(-time.Minute)}, Kubeconfig: node.Told[string]{Value: on.cfg.Kubeconfig, Known: true}}
	must(t, os.Chtimes(on.dir.ClientCA(), noon, noon))
	must(t, os.Chtimes(on.cfg.Kubeconfig, noon.Add(-time.Hour), noon.Add(-time.Hour)))
	must(t, os.Chtimes(on.dir.ServerCA(), noon.Add(-time.Hour), noon.Add(-time.Hour)))
	a.kubelets.found = []node.Kubelet{kubelet}
	for _, c := range []struct {
		version string
		err     error
		needed  bool
	}{{"", errors.New("no answer"), true}, {"v1.35.9", nil, true}, {"rubbish", nil, true}, {"v1.36.0", nil, false}, {"v1.40.1-gke.7", nil, false}} {
		a.version = versionMemory{}
		a.foundVersion(kubelet.Process, c.version, c.err)
		if got := a.standing(a.observe()).Restart[status.CAChanged]; got != c.needed {
			t.Errorf("kubelet %q: a restart is needed: %t", c.version, got)
		}
	}
	a.kubelets.found[0].Process.Started = "8" // another kubelet, which may be an older one
	if !a.standing(a.observe()).Restart[status.CAChanged] {
		t.Error("what is known of one kubelet is taken for another's")
	}
}

func TestWhatTheKubeletServesIsLookedAtOnceAfterTheStart(t *testing.T) {
	m := newMaterial(t)
	s, _ := settled(t, m, true)
	a := s.agent
	leaf := a.observe().Serving.Pair.Leaf
	begin := func() {
		a.served, a.Proc = servedMemory{}, t.TempDir()
		a.actServed(t.Context(), a.observe())
	}
	taken := func() string {
		if taken := a.standing(a.observe()).ServingTaken; taken != nil {
			return fmt.Sprint(*taken)
		}
		return "unknown"
	}
	begin()
	if a.served.leaf == nil || !a.served.leaf.Equal(leaf) || taken() != "unknown" {
		t.Fatalf("it is not looked for: %+v", a.served)
	}
	a.compareServed(serving.Comparison{Taken: serving.Took})
	if taken() != "true" || a.served.leaf != nil {
		t.Errorf("the kubelet serves it, and that is %s", taken())
	}
	a.actServed(t.Context(), a.observe())
	if a.served.leaf != nil {
		t.Error("it is looked for a second time")
	}
	begin()
	a.compareServed(serving.Comparison{Taken: serving.NotTaken, Served: leaf})
	if taken() != "unknown" {
		t.Errorf("a kubelet that has just been seen to serve an older one: %s", taken())
	}
	s.clock.Step(servedLate)
	a.compareServed(serving.Comparison{Taken: serving.NotTaken, Served: leaf})
	if taken() != "false" || !a.standing(a.observe()).Restart[status.OldKubelet] {
		t.Errorf("it still serves the older one, and that is %s", taken())
	}
	begin()
	s.clock.Step(servedQuiet)
	a.compareServed(serving.Comparison{Taken: serving.Unknown})
	if taken() != "unknown" || a.served.leaf != nil {
		t.Errorf("nobody answers, and that is %s", taken())
	}
}
