package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
)

// diagnosis is what scripts read of doctor's JSON form; the names are a promise.
type diagnosis struct {
	Verdict string `json:"verdict"`
	Node    string `json:"node"`
	Results []struct {
		Check   string `json:"check"`
		Verdict string `json:"verdict"`
		Text    string `json:"text"`
		Remedy  string `json:"remedy"`
		Command string `json:"command"`
	} `json:"results"`
}

// theHosts are the checks whose answer is about the machine that runs the tests: how it was booted, who keeps its clock, its cloud.
var theHosts = []string{"agent-service", "kubelet-service", "sandbox", "time", "storage", "space", "kubelet-settings", "kubelet-restart", "kubelet-serves", "node-object"}

// doctor runs the command in both forms, which must agree as long as nothing changes.
func (n *node) doctor(args ...string) (d diagnosis, text string, code int) {
	n.t.Helper()
	d, code = n.diagnose(args...)
	again := n.run([]string{"doctor"}, args...)
	if again.code != code || again.stderr != "" {
		n.t.Errorf("exit code %d as text, %d as JSON; on standard error %q", again.code, code, again.stderr)
	}
	for _, result := range d.Results {
		if !strings.Contains(again.stdout, "  "+result.Check+" ") {
			n.t.Errorf("the text does not name %s:\n%s", result.Check, again.stdout)
		}
	}
	return d, again.stdout, code
}

// diagnose runs it once, for JSON, and checks what is always so: every trouble has its remedy.
func (n *node) diagnose(args ...string) (d diagnosis, code int) {
	n.t.Helper()
	r := n.run([]string{"doctor", "-o", "json"}, args...)
	if err := json.Unmarshal([]byte(r.stdout), &d); err != nil || r.stderr != "" {
		n.t.Fatalf("exit code %d, %v:\n%s%s", r.code, err, r.stdout, r.stderr)
	}
	if want, known := map[string]int{"ok": 0, "attention": 4, "waiting": 1, "broken": 3}[d.Verdict]; r.code != want || !known {
		n.t.Errorf("%s with exit code %d", d.Verdict, r.code)
	}
	for _, result := range d.Results {
		if result.Verdict != "ok" && result.Remedy == "" {
			n.t.Errorf("no remedy: %+v", result)
		}
	}
	return d, r.code
}

// verdicts are those of one check.
func (d diagnosis) verdicts(check string) []string {
	var verdicts []string
	for _, result := range d.Results {
		if result.Check == check {
			verdicts = append(verdicts, result.Verdict)
		}
	}
	return verdicts
}

// finds fails the test unless a check has a result with this verdict and words.
func (d diagnosis) finds(t *testing.T, check, verdict string, says ...string) {
	t.Helper()
	for _, result := range d.Results {
		all := result.Text + "\n" + result.Remedy + "\n" + result.Command
		if result.Check == check && result.Verdict == verdict && !slices.ContainsFunc(says, func(text string) bool { return !strings.Contains(all, text) }) {
			return
		}
	}
	t.Errorf("%s is not %s with the words %q:\n%+v", check, verdict, says, d.Results)
}

func TestDoctorFollowsANodeFromNothingToAllThatItNeeds(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	d, _, code := n.doctor()
	if code != 3 || d.Node != n.name {
		t.Errorf("node %s, exit code %d", d.Node, code)
	}
	d.finds(t, "bootstrap-kubeconfig", "broken", n.bootstrapFile(), "install -m 0600")
	d.finds(t, "agent-service", "broken", "the node gets no identity")

	n.bootstrap(n.staticToken(controlplane.Unapproved))
	agent := n.start()
	agent.awaitStatus("approve")
	d, text, code := n.doctor()
	if code != 1 {
		t.Errorf("exit code %d while the request waits:\n%s", code, text)
	}
	approve := "kubectl certificate approve " + n.csr(csr.Client).Name
	d.finds(t, "requests", "waiting", "waits for approval since", approve)
	d.finds(t, "agent-service", "ok", fmt.Sprintf("pid %d", agent.cmd.Process.Pid))
	says(t, text, "→ ", approve)

	n.approve(csr.Client)
	n.approveServing(0)
	agent.awaitLog("the serving certificate")
	eventually(t, "doctor finds nothing on the node", func() bool { return n.wellButForTheHost() })
	before, made := n.contents(), len(n.csrs(csr.Client))+len(n.csrs(csr.Serving))
	d, _, _ = n.doctor()
	n.assertUnchanged(before)
	if now := len(n.csrs(csr.Client)) + len(n.csrs(csr.Serving)); now != made {
		t.Errorf("doctor made requests: %d before, %d after", made, now)
	}
	for _, check := range []string{"client-certificate", "serving-certificate", "ca-files", "kubelet-kubeconfig", "who-am-i"} {
		d.finds(t, check, "ok")
	}
	if code, _ := agent.stop(); code != 0 {
		t.Errorf("the agent ended with %d", code)
	}
	d, _, _ = n.doctor("--offline")
	d.finds(t, "agent-service", "attention", "nothing is rotated")
	if asked := d.verdicts("tcp"); len(asked) > 0 {
		t.Errorf("--offline asks all the same: %v", asked)
	}
}

// wellButForTheHost says whether every check that is about the node is ok, or does not know.
func (n *node) wellButForTheHost() bool {
	d, _ := n.diagnose()
	for _, result := range d.Results {
		if result.Verdict != "ok" && result.Verdict != "unknown" && !slices.Contains(theHosts, result.Check) {
			n.t.Logf("%+v", result)
			return false
		}
	}
	return true
}

func TestDoctorRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.expect(n.run([]string{"doctor", "-o", "yaml"}), 2, "is not one of text, json")
	n.expect(n.run([]string{"doctor"}, "--serving=perhaps"), 2, "--serving")
	n.expect(n.run([]string{"doctor", "now"}), 2, "now")
}

func TestDoctorFindsWhatASecondLookMends(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.KubeletBootstrap))
	n.approveServing(0)
	n.expect(n.once(), 0)
	must(t, os.Chmod(n.kubeconfig(), 0o644))
	d, _, code := n.doctor("--offline")
	if code != 4 {
		t.Errorf("exit code %d", code)
	}
	d.finds(t, "owners-and-modes", "attention", "0644", "chmod 0600 "+n.kubeconfig())
}

// TestDoctorWorksAndChangesNothingWhateverIsOnTheDisk has it look at generated states of the node's files, as root without any power, as
// the agent is, and as somebody without any right. What it says is held against every secret when the test ends.
func TestDoctorWorksAndChangesNothingWhateverIsOnTheDisk(t *testing.T) {
	t.Parallel()
	cp := shared(t)
	stop := cp.ApproveServing(context.WithoutCancel(t.Context()), func(c *certificatesv1.CertificateSigningRequest) bool {
		return strings.HasPrefix(c.Spec.Username, "system:node:doctor-") // some states are of a request that was answered
	}, 0)
	defer stop()
	cells := someCells(t)
	if os.Getenv("SOAK") == "" {
		cells = everyTenth(cells)
	}
	start := time.Now()
	t.Run("states", func(t *testing.T) {
		for i, c := range cells {
			t.Run(c.String(), func(t *testing.T) {
				t.Parallel()
				n := newNode(t, cp)
				n.becomeNobody()
				n.name = fmt.Sprintf("doctor-%d-%x", i, time.Now().UnixNano()%0xfffff)
				n.flags = []string{"--hostname-override=" + n.name, "--node-ip=192.0.2.10"}
				n.through = withoutCapabilities
				n.examined(c)
			})
		}
	})
	t.Logf("%d states of %d, %s", len(cells), len(found.Cells()), time.Since(start).Round(time.Second))
}

func everyTenth(cells []found.Cell) []found.Cell {
	var some []found.Cell
	for i := 0; i < len(cells); i += 10 {
		some = append(some, cells[i])
	}
	return some
}

func (n *node) examined(c found.Cell) {
	n.t.Helper()
	n.furnish(c.File.Around)
	if c.Credential && !c.File.IsCredential {
		n.bootstrap(n.staticToken(controlplane.KubeletBootstrap))
	}
	n.put(c)
	n.keeps(n.bootstrapFile(), n.path(".bootstrap.kubeconfig.used"), n.path("elsewhere", "bootstrap.kubeconfig"), n.path("elsewhere", ".bootstrap.kubeconfig.used"))
	before := n.look().files
	n.diagnose("--offline")
	n.through = []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"}
	d, _ := n.diagnose("--offline")
	d.finds(n.t, "rights", "unknown", "65534", "bootstrap-agent doctor")
	if after := n.look().files; !maps.Equal(after, before) {
		n.t.Errorf("doctor has changed something: %v before, %v after", before, after)
	}
}
