package boot

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestANodeBootsWithNothingButABootstrapKubeconfig is the whole story: the agent first, the kubelet as soon as it is let, Node Ready, and the
// API server reaches the kubelet under the cluster's CA.
func TestANodeBootsWithNothingButABootstrapKubeconfig(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{prepare: (*node).giveCredential})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(time.Minute)
	n.awaitReady()

	ready, started := n.Time(agentUnit, "ActiveEnterTimestampMonotonic"), n.Time(kubeletUnit, "ExecMainStartTimestampMonotonic")
	agent := n.Time(agentUnit, "ExecMainStartTimestampMonotonic")
	t.Logf("agent started → READY %s → kubelet started %s", (ready - agent).Round(time.Millisecond), (started - ready).Round(time.Millisecond))
	if wait := started - ready; wait < 0 || wait > atOnce {
		t.Errorf("the kubelet was started %s after READY", wait)
	}
	if restarts := n.Unit(kubeletUnit, "NRestarts"); restarts != "0" {
		t.Errorf("the kubelet was restarted %s times:\n%s", restarts, n.Journal(kubeletUnit))
	}
	n.assertTokenGone()
	n.assertServes("first")
	client, serving := n.requests()
	if len(client) != 1 || len(serving) != 1 {
		t.Errorf("%d client and %d serving requests", len(client), len(serving))
	}
}

// TestTheKubeletGoesOnWhenItsServingCertificateIsApprovedLate has it start on the placeholder and take the certificate without a restart.
func TestTheKubeletGoesOnWhenItsServingCertificateIsApprovedLate(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{prepare: (*node).giveCredential})
	n.Start()
	n.AwaitBoot(time.Minute)
	n.awaitReady()
	if names := n.parsed("server"); !strings.HasSuffix(names.Subject.CommonName, "@bootstrap-agent-placeholder") || !slices.ContainsFunc(names.IPAddresses, n.IP.Equal) {
		t.Errorf("the kubelet began with %s for %s: not a placeholder for %s", names.Subject, names.IPAddresses, n.IP)
	}
	pid := n.MainPID(kubeletUnit)
	if os.Getenv("SOAK") != "" {
		time.Sleep(35 * time.Second) // what is looked at again after half a minute must not disturb it
	}
	n.runPod("late")
	if said, err := n.logs("late"); err == nil {
		t.Fatalf("the API server trusts the placeholder: kubectl logs printed %q", said)
	}
	stop := n.approveServing(0)
	defer stop()
	approved := time.Now()
	eventually(t, "kubectl logs works", func() bool { _, err := n.logs("late"); return err == nil })
	took := time.Since(approved)
	t.Logf("approval → kubectl logs works: %s", took.Round(time.Millisecond))
	if took > atOnce {
		t.Errorf("kubectl logs worked %s after the approval", took)
	}
	if now := n.MainPID(kubeletUnit); now != pid {
		t.Errorf("the kubelet's pid was %d and is %d", pid, now)
	}
	if said := n.Journal(agentUnit); strings.Contains(said, "made anew") {
		t.Errorf("the kubelet began with a placeholder that lacked a name:\n%s", said)
	}
}

// assertTokenGone looks at what the agent was given.
func (n *node) assertTokenGone() {
	n.t.Helper()
	eventually(n.t, "the bootstrap kubeconfig is gone", func() bool { return !n.Exists(bootstrapFile) })
}

// assertServes shows that the API server reaches the kubelet for logs and exec of a running pod.
func (n *node) assertServes(pod string) {
	n.t.Helper()
	n.runPod(pod)
	said := ""
	eventually(n.t, "kubectl logs works", func() bool {
		var err error
		said, err = n.logs(pod)
		return err == nil
	})
	if !strings.Contains(said, "hello from a pod") {
		n.t.Errorf("kubectl logs printed %q", said)
	}
	eventually(n.t, "kubectl exec works", func() bool { // after a reboot the container may be just about to be replaced
		said, err := n.exec(pod, "/pod", "it", "runs")
		return err == nil && strings.Contains(said, "[it runs]")
	})
}
