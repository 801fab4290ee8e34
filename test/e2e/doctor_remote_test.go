package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/doctor"
	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// The tests of this file are about the checks of doctor that ask the API server: what each of them says of a cluster in which one thing
// is wrong, and that its remedy mends that.

// mostQuestions is how many requests doctor may make of an API server, whatever it finds.
const mostQuestions = 20

// examined is what doctor has found at an API server.
type examined struct {
	doctor.Report
	t *testing.T
}

// examine has the checks look that ask somebody. They run in the test, by a clock that can be set.
func (n *node) examine(change ...func(*doctor.Patient)) examined {
	n.t.Helper()
	cfg := config.Default()
	cfg.BootstrapKubeconfig, cfg.Kubeconfig, cfg.CertDir, cfg.HostnameOverride = n.bootstrapFile(), n.kubeconfig(), n.certDir().Path, n.name
	p := &doctor.Patient{
		Config: cfg, Observed: status.Observe(cfg, time.Now()), Clock: clock.RealClock{}, UserAgent: n.examiner(), Root: n.path("root"),
	}
	for _, c := range change {
		c(p)
	}
	begun := time.Now()
	r := examined{doctor.Examine(n.t.Context(), p, doctor.Checks()[len(doctor.Local()):]), n.t}
	if took := time.Since(begun); took > time.Minute {
		n.t.Errorf("doctor took %s", took)
	}
	var text bytes.Buffer
	must(n.t, r.WriteText(&text, screen.Screen{}))
	content, err := json.Marshal(r.Report)
	must(n.t, err)
	fmt.Fprintf(&n.said, "%s\n%s\n", &text, content)
	n.assertAskedOnly()
	return r
}

// examiner is the User-Agent by which the audit log knows the node's doctor.
func (n *node) examiner() string { return "doctor-of-" + n.name }

// assertAskedOnly shows by the audit log that nothing was made or changed: reviews are questions, of which nothing is kept.
func (n *node) assertAskedOnly() {
	n.t.Helper()
	requests, err := n.cp.Requests("", controlplane.ByUserAgent(n.examiner()))
	must(n.t, err)
	for _, r := range requests {
		review := r.Verb == "create" && slices.Contains([]string{"selfsubjectreviews", "selfsubjectaccessreviews"}, r.Resource)
		if !review && r.Verb != "get" && !(r.Verb == "list" && r.Resource == "clusterrolebindings") {
			n.t.Errorf("doctor has sent %s", r)
		}
	}
}

// questions is how many requests the API server has had from the node's doctor.
func (n *node) questions() int {
	n.t.Helper()
	requests, err := n.cp.Requests("", controlplane.ByUserAgent(n.examiner()))
	must(n.t, err)
	return len(requests)
}

// says returns the result of a check with this verdict that says all of the texts in its line or its remedy.
func (f examined) says(check string, verdict doctor.Verdict, texts ...string) doctor.Result {
	f.t.Helper()
	for _, r := range f.Results {
		all := r.Text + "\n" + r.Remedy + "\n" + r.Command
		lacks := func(text string) bool { return !strings.Contains(all, text) }
		if r.Check == check && r.Verdict == verdict && !slices.ContainsFunc(texts, lacks) {
			return r
		}
	}
	f.t.Fatalf("%s does not find it %s with %q:\n%s", check, verdict, texts, f)
	return doctor.Result{}
}

func (f examined) String() string {
	var text bytes.Buffer
	must(f.t, f.WriteText(&text, screen.Screen{}))
	return text.String()
}

// nothingLookedAtAfter shows that one line says what is wrong, and that each check behind it says no more than that it has not looked.
func (f examined) nothingLookedAtAfter(check string) {
	f.t.Helper()
	behind := false
	for _, r := range f.Results {
		if behind && r.Check != check && r.Check != "api-server-clock" && r.Check != "bootstrap-credential" &&
			(r.Verdict != doctor.Unknown || !strings.HasPrefix(r.Text, "not looked at: ")) {
			f.t.Errorf("%s was looked at: %s %s", r.Check, r.Verdict, r.Text)
		}
		behind = behind || r.Check == check
	}
}

// administer runs the command of a result as it is printed, as an administrator of the cluster.
func (n *node) administer(r doctor.Result) {
	n.t.Helper()
	arguments, ok := strings.CutPrefix(r.Command, "kubectl ")
	if !ok {
		n.t.Fatalf("the command is %q", r.Command)
	}
	split, err := exec.Command("/bin/sh", "-c", "printf '%s\\0' "+arguments).Output() // as a shell takes it
	must(n.t, err)
	_, err = n.cp.Kubectl(strings.Split(strings.TrimSuffix(string(split), "\x00"), "\x00")...)
	must(n.t, err)
}

// registers makes the node's Node, as a kubelet does.
func (n *node) registers(change func(*corev1.NodeStatus)) {
	n.t.Helper()
	ctx, nodes := context.WithoutCancel(n.t.Context()), n.cp.AdminClient().CoreV1().Nodes()
	object, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}}, metav1.CreateOptions{})
	must(n.t, err)
	n.t.Cleanup(func() { _ = nodes.Delete(ctx, n.name, metav1.DeleteOptions{}) })
	object.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
	object.Status.NodeInfo = corev1.NodeSystemInfo{KubeletVersion: "v1.36.0", MachineID: machineID}
	object.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.10"}, {Type: corev1.NodeHostName, Address: n.name}}
	if change != nil {
		change(&object.Status)
	}
	_, err = nodes.UpdateStatus(ctx, object, metav1.UpdateOptions{})
	must(n.t, err)
}

const machineID = "0123456789abcdef0123456789abcdef"

// joined is a node with both certificates.
func joinedNode(t *testing.T, cp *controlplane.ControlPlane) *node {
	n := newNode(t, cp)
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	n.expect(n.once(), 0)
	n.write(n.path("root", "etc", "machine-id"), []byte(machineID+"\n"), 0o644)
	return n
}

func TestDoctorFindsAWellJoinedNodeWellAndAsksLittle(t *testing.T) {
	t.Parallel()
	n := joinedNode(t, shared(t))
	n.registers(nil)
	f := n.examine()
	for _, r := range f.Results {
		if r.Verdict != doctor.OK {
			t.Errorf("%s %s: %s", r.Verdict, r.Check, r.Text)
		}
	}
	f.says("dns", doctor.OK, "127.0.0.1 is an address (IPv4)")
	f.says("tcp", doctor.OK, "takes connections")
	f.says("api-server-clock", doctor.OK, "agree")
	f.says("api-server-version", doctor.OK, n.cp.Server(), "is an API server of version v1.")
	f.says("who-am-i", doctor.OK, "system:node:"+n.name, "system:nodes")
	f.says("csr-access", doctor.OK, "the node's certificate may create, get and watch")
	f.says("csr-approval", doctor.OK, "next client certificate", "selfnodeclient")
	f.says("node-object", doctor.OK, n.name+" is Ready", "v1.36.0")
	f.says("serving-chain", doctor.OK, "trusts this one", "/api/v1/nodes/"+n.name+"/proxy/healthz")
	if asked := n.questions(); asked != 8 {
		t.Errorf("it has asked %d questions of the API server, expected 8: version, who am I, cluster-info, create, get, watch, selfnodeclient, node", asked)
	}
	if strings.Contains(f.String(), "bootstrap-credential") || strings.Contains(f.String(), "same-cluster") {
		t.Errorf("it speaks of a bootstrap kubeconfig that is not there:\n%s", f)
	}
}

func TestDoctorBeforeJoiningLooksByTheBootstrapCredentialAndMakesNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.keeps(n.bootstrapFile())
	f := n.examine()
	f.says("who-am-i", doctor.OK, "the bootstrap credential for system:bootstrap:", "system:bootstrappers")
	f.says("csr-access", doctor.OK, "the bootstrap credential may create, get and watch")
	f.says("csr-approval", doctor.OK, "first client certificate", "nodeclient")
	look := f.says("bootstrap-credential", doctor.Unknown, "it is a bootstrap token with the ID ", "stands in its Secret")
	n.administer(look)
	if asked := n.questions(); asked != 7 {
		t.Errorf("it has asked %d questions of the API server, expected 7", asked)
	}
	if made := n.csrs(csr.Client); len(made) > 0 {
		t.Errorf("there are %d requests", len(made))
	}
	n.expect(n.once("--serving=off"), 0)
}

// With a bootstrap kubeconfig beside an identity, which leads to the API server by another name, both are looked at.
func TestDoctorLooksAtBothWaysWithinItsNumberOfQuestions(t *testing.T) {
	t.Parallel()
	n := joinedNode(t, shared(t))
	n.registers(nil)
	n.bootstrapVia(strings.Replace(n.cp.Server(), "127.0.0.1", "localhost", 1), n.secretToken())
	n.keeps(n.bootstrapFile())
	f := n.examine()
	f.says("dns", doctor.OK, "localhost is ", "127.0.0.1 (IPv4)")
	f.says("who-am-i", doctor.OK, "system:node:"+n.name)
	f.says("who-am-i", doctor.OK, "system:bootstrap:")
	f.says("same-cluster", doctor.OK, "leads to the same cluster by https://localhost")
	f.says("csr-access", doctor.OK, "the node's certificate")
	f.says("csr-access", doctor.OK, "the bootstrap credential")
	f.says("csr-approval", doctor.OK, "selfnodeclient")
	f.says("csr-approval", doctor.OK, "/nodeclient")
	if asked := n.questions(); asked > mostQuestions || asked != 15 {
		t.Errorf("it has asked %d questions of the API server, expected 15", asked)
	}
}

// A cluster as kubeadm makes it, with bootstrapsigner and tokencleaner, whose cluster-info everybody may read, and which a test may change.
func TestDoctorTellsWhatIsWrongWithTheCluster(t *testing.T) {
	t.Parallel()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Controllers: []string{"bootstrapsigner", "tokencleaner"}})
	must(t, err)
	t.Cleanup(cp.Stop)
	t.Run("why a token is not accepted", func(t *testing.T) {
		t.Parallel()
		tellsWhyATokenIsNotAccepted(t, cp)
	})
	t.Run("where the cluster of a discovery token is", func(t *testing.T) {
		t.Parallel()
		findsOutWhereTheClusterIs(t, cp)
	})
	t.Run("the missing binding, with the command that makes it", func(t *testing.T) {
		t.Parallel()
		namesTheMissingBinding(t, cp)
	})
}

// namesTheMissingBinding runs the remedy for each of the three bindings as it is printed, and the check is well.
func namesTheMissingBinding(t *testing.T, cp *controlplane.ControlPlane) {
	n := newNode(t, cp)
	n.bootstrap(n.secretToken())
	n.keeps(n.bootstrapFile())
	bindings := cp.AdminClient().RbacV1().ClusterRoleBindings()
	for _, missing := range []struct {
		binding, check string
		verdict        doctor.Verdict
		says           []string
	}{
		{"bootstrap-agent:node-bootstrapper", "csr-access", doctor.Broken, []string{"may not create, get, watch certificate signing requests", "system:bootstrap:"}},
		{"bootstrap-agent:approve-new-nodes", "csr-approval", doctor.Attention, []string{"first client certificate", "approved by a person", "nodeclient"}},
		{"bootstrap-agent:approve-node-rotation", "csr-approval", doctor.Attention, []string{"next client certificate", "approved by a person", "selfnodeclient"}},
	} {
		if strings.Contains(missing.binding, "rotation") {
			n.expect(n.once("--serving=off"), 0)
		}
		original, err := bindings.Get(t.Context(), missing.binding, metav1.GetOptions{})
		must(t, err)
		must(t, bindings.Delete(t.Context(), missing.binding, metav1.DeleteOptions{}))
		var f examined
		eventually(t, "the API server knows that "+missing.binding+" is gone", func() bool {
			f = n.examine()
			return slices.ContainsFunc(f.Results, func(r doctor.Result) bool { return r.Check == missing.check && r.Verdict != doctor.OK })
		})
		n.administer(f.says(missing.check, missing.verdict, append(missing.says, "kubectl create clusterrolebinding "+missing.binding+" ")...))
		eventually(t, "the remedy for "+missing.binding+" works", func() bool {
			f = n.examine()
			return !slices.ContainsFunc(f.Results, func(r doctor.Result) bool { return r.Check == missing.check && r.Verdict != doctor.OK })
		})
		f.says(missing.check, doctor.OK)
		made, err := bindings.Get(t.Context(), missing.binding, metav1.GetOptions{})
		must(t, err)
		if fmt.Sprint(made.RoleRef, made.Subjects) != fmt.Sprint(original.RoleRef, original.Subjects) {
			t.Errorf("the remedy makes %v %v, and deploy/rbac has %v %v", made.RoleRef, made.Subjects, original.RoleRef, original.Subjects)
		}
	}
}
