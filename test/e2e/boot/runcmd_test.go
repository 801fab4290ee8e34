package boot

import (
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/cloudinit"
)

// TestABootWithoutACredentialIsOverAndTheNodeJoinsWhenRuncmdBringsOne has the shipped user-data fetch the credential in cloud-final, which
// waits for multi-user.target, which waits for what the kubelet waits for: an agent that kept the kubelet waiting would wait for ever.
func TestABootWithoutACredentialIsOverAndTheNodeJoinsWhenRuncmdBringsOne(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{prepare: func(n *node) {
		n.Write("/root/bootstrap.kubeconfig", n.credential(), 0o600) // the cloud's secret store
		filled, err := cloudinit.Fill("user-data-fetched.yaml", map[string]string{"COMMAND": "cat /root/bootstrap.kubeconfig"})
		must(t, err)
		n.giveUserData(filled)
	}})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(bootLimit)
	n.assertCloudInitWell()

	ready, final := n.Time(agentUnit, "ActiveEnterTimestampMonotonic"), n.Time("cloud-final.service", "ExecMainStartTimestampMonotonic")
	if ready == 0 || ready > final {
		t.Errorf("the agent was READY %s after its start of the machine, and runcmd came after %s", ready, final)
	}
	n.awaitReady()
	if restarts, started := n.Unit(agentUnit, "NRestarts"), n.Time(agentUnit, "ExecMainStartTimestampMonotonic"); restarts != "0" || started > final {
		t.Errorf("the agent was restarted (%s times, the last time after %s; runcmd came after %s)", restarts, started, final)
	}
	n.assertTokenGone()
	if said := n.Journal(agentUnit); strings.Contains(said, "be read by others") {
		t.Errorf("the credential could be read by others for a moment:\n%s", said)
	}
}
