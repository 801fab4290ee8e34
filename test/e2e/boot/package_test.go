package boot

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// laterVersion is the package that tests upgrade to.
const laterVersion = "1.0.1"

// buildLater makes the package of another version, once.
var buildLater = sync.OnceValue(func() error {
	output, err := exec.Command("../../../hack/packages.sh", "-v", laterVersion, "-o", filepath.Join(built, "later"), runtime.GOARCH).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make the package of another version: %w: %s", err, output)
	}
	return nil
})

// laterDeb is the path of that package on machines.
func laterDeb(t *testing.T) string {
	t.Helper()
	must(t, buildLater())
	return "/opt/test/later/bootstrap-agent_" + laterVersion + "_" + runtime.GOARCH + ".deb"
}

// install is what a person types. There is no archive that apt could ask.
func (n *node) install(deb string) time.Duration {
	n.t.Helper()
	begin := time.Now()
	n.Run("apt-get", "install", "--yes", "--quiet", deb)
	return time.Since(begin)
}

// dpkg is what apt calls; how long it takes is what the scripts of the package wait for.
func (n *node) dpkg(deb string) time.Duration {
	n.t.Helper()
	begin := time.Now()
	n.Run("dpkg", "--install", deb)
	return time.Since(begin)
}

// runs tells whether the agent that runs is of a version, by its program: between fork and exec that is systemd's.
func (n *node) runs(version string) bool {
	n.t.Helper()
	said, err := n.Try("/bin/sh", "-c", fmt.Sprintf("/proc/%d/exe version", n.MainPID(agentUnit)))
	return err == nil && strings.HasPrefix(said, "bootstrap-agent "+version+",")
}

// TestAPackageFromItsInstallationToItsPurge is the life of the package on a node with a kubelet that nobody ever has to restart.
func TestAPackageFromItsInstallationToItsPurge(t *testing.T) {
	t.Parallel()
	first, later := debPackage(t), laterDeb(t)
	n := bootNode(t, options{noAgent: true, prepare: func(n *node) { // a person's copy of the drop-in stays when the package goes
		n.Write("/etc/systemd/system/kubelet.service.d/90-mine.conf", "[Unit]\nWants=bootstrap-agent.service\nAfter=bootstrap-agent.service\n", 0o644)
	}})
	n.approveServing(0)
	n.Run("systemctl", "stop", kubeletUnit) // it has nothing to work with; with the drop-in each of its starts starts the agent

	n.install(first)
	if state := n.Unit(agentUnit, "ActiveState"); state != "inactive" {
		t.Errorf("without a credential the installation left the agent %s", state)
	}
	if state := strings.TrimSpace(n.Run("systemctl", "is-enabled", agentUnit)); state != "enabled" {
		t.Errorf("the unit is %s", state)
	}
	n.giveCredential()
	n.Run("systemctl", "start", "--no-block", kubeletUnit) // it wants the agent, and starts when that is READY
	n.awaitReady()
	n.assertTokenGone()
	n.assertServes("packaged")

	kubelet, agent := n.MainPID(kubeletUnit), n.MainPID(agentUnit)
	t.Logf("upgrade: %s", n.install(later).Round(time.Millisecond))
	eventually(t, "the new agent runs", func() bool {
		now := n.MainPID(agentUnit)
		return now != agent && n.Unit(agentUnit, "ActiveState") == "active" && n.runs(laterVersion)
	})
	client, _ := n.requests()
	if now := n.MainPID(kubeletUnit); now != kubelet || len(client) != 1 {
		t.Errorf("the kubelet's pid was %d and is %d; %d client requests", kubelet, now, len(client))
	}

	said := n.Run("apt-get", "remove", "--yes", "--quiet", "bootstrap-agent")
	if !strings.Contains(said, "rotateCertificates") {
		t.Errorf("nobody says that nothing rotates the certificates any more:\n%s", said)
	}
	if now := n.MainPID(kubeletUnit); now != kubelet {
		t.Errorf("the removal made the kubelet's pid %d, it was %d", now, kubelet)
	}
	n.assertKubeletStartsAlone("after the removal")
	n.Run("apt-get", "purge", "--yes", "--quiet", "bootstrap-agent")
	n.assertKubeletStartsAlone("after the purge")
	n.Reboot()
	n.awaitReady()
	n.assertServes("packaged")
}

// assertKubeletStartsAlone has the kubelet start from what the agent left, and serve the certificate of the cluster.
func (n *node) assertKubeletStartsAlone(when string) {
	n.t.Helper()
	n.Run("systemctl", "restart", kubeletUnit)
	restarts := n.Unit(kubeletUnit, "NRestarts")
	eventually(n.t, "kubectl logs works "+when, func() bool { _, err := n.logs("packaged"); return err == nil })
	if now := n.Unit(kubeletUnit, "NRestarts"); now != restarts {
		n.t.Errorf("%s the kubelet failed: it was restarted %s times, %s before:\n%s", when, now, restarts, n.Journal(kubeletUnit))
	}
}

// TestAnUpgradeDoesNotWaitForAnAgentThatCannotBecomeReady has the agent hold back the kubelet for ten minutes, and dpkg not.
func TestAnUpgradeDoesNotWaitForAnAgentThatCannotBecomeReady(t *testing.T) {
	t.Parallel()
	first, later := debPackage(t), laterDeb(t)
	n := bootNode(t, options{noAgent: true, noKubelet: true})
	n.Unplug() // the API server cannot be reached
	n.Write(configFile, "apiVersion: bootstrap-agent.io/v1alpha1\nkind: BootstrapAgentConfiguration\nstartHold: 10m\n", 0o644)
	n.giveCredential()
	for _, step := range []struct{ what, deb string }{{"installation", first}, {"upgrade", later}, {"installation of the same again", later}} {
		took := n.dpkg(step.deb)
		t.Logf("%s: %s", step.what, took.Round(time.Millisecond))
		if took > 10*time.Second {
			t.Errorf("the %s took %s", step.what, took)
		}
		eventually(t, "the agent tries", func() bool { return n.Unit(agentUnit, "ActiveState") == "activating" && n.MainPID(agentUnit) != 0 })
	}
	eventually(t, "the new agent tries", func() bool { return n.runs(laterVersion) })
	eventually(t, "the agent says what it waits for", func() bool { return n.status() != "" })
}

// TestAnUpgradeOnANodeWithoutACredentialReturnsAtOnce is the node that got the package with its image, and nothing else yet.
func TestAnUpgradeOnANodeWithoutACredentialReturnsAtOnce(t *testing.T) {
	t.Parallel()
	first, later := debPackage(t), laterDeb(t)
	n := bootNode(t, options{noAgent: true, noKubelet: true})
	n.dpkg(first)
	n.Run("systemctl", "start", agentUnit)
	pid := n.MainPID(agentUnit)
	took := n.dpkg(later)
	t.Logf("upgrade: %s", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("the upgrade took %s", took)
	}
	eventually(t, "the new agent waits for a credential", func() bool {
		now := n.MainPID(agentUnit)
		return now != 0 && now != pid && n.Unit(agentUnit, "ActiveState") == "active"
	})
}
