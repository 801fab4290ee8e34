package boot

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/machine"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// TestTheUnitsSandboxRefusesAllButWhatTheAgentNeeds runs a probe as the agent, under the unit as it is shipped, and the same probe without
// the unit: what is refused there only, the unit refuses.
func TestTheUnitsSandboxRefusesAllButWhatTheAgentNeeds(t *testing.T) {
	t.Parallel()
	n := probed(t, "", false)
	var names []string
	for _, a := range attempts(t, n.Run("/usr/bin/bootstrap-agent")) {
		names = append(names, a.Name)
		if a.refused() || a.necessary() && a.Errno != 0 {
			t.Errorf("without the unit: %s: %s", a.Name, a.Says)
		}
	}
	refused := 0
	for _, a := range n.attempts() {
		switch {
		case !slices.Contains(names, a.Name):
			t.Errorf("only under the unit: %s", a.Name)
		case a.necessary() && a.Errno != 0:
			t.Errorf("the unit refuses what the agent must do: %s: %s", a.Name, a.Says)
		case a.limit():
		case !a.necessary() && !a.refused():
			t.Errorf("the unit does not refuse: %s (%d %s)", a.Name, a.Errno, a.Says)
		case !a.necessary():
			refused++
		}
	}
	t.Logf("%d attempts refused", refused)
	n.onlyTheseAreWritable("/var/lib/kubelet", "/etc/kubernetes", "/run/bootstrap-agent", "/tmp", "/var/tmp",
		"/proc", "/dev/pts", "/dev/mqueue", "/dev/hugepages") // the kernel's: no files, or none that others see
}

// TestTheSandboxFollowsWhatHappensOutside changes the machine under the running service.
func TestTheSandboxFollowsWhatHappensOutside(t *testing.T) {
	t.Parallel()
	n := probed(t, "", false)
	for _, folder := range []string{certDir, "/etc/kubernetes/manifests"} { // the probe writes into both, again and again
		n.Run("rm", "-rf", folder)
		n.Run("mkdir", folder)
		eventually(t, folder+" can be written after it was removed and made again", func() bool { return n.Exists(folder + "/probe") })
	}
	n.Run("hostname", "came-late")
	eventually(t, "a host name that comes late is seen", func() bool { return n.Read("/var/lib/kubelet/host-name") == "came-late" })

	const volume = "/var/lib/kubelet/plugins/volume"
	seen := func() bool {
		return slices.ContainsFunc(n.mounts(n.MainPID(agentUnit)), func(m mounted) bool { return m.place == volume })
	}
	n.Run("mkdir", "-p", volume)
	n.Run("mount", "-t", "tmpfs", "tmpfs", volume)
	eventually(t, "the kubelet's mounts arrive", seen)
	n.Run("umount", volume)
	eventually(t, "what the kubelet unmounts is not held", func() bool { return !seen() })

	pid := n.MainPID(agentUnit)
	n.Write("/usr/bin/bootstrap-agent.new", n.Read("/usr/bin/bootstrap-agent"), 0o755)
	n.Run("mv", "/usr/bin/bootstrap-agent.new", "/usr/bin/bootstrap-agent") // as a package does
	n.Run("chmod", "700", "/etc/kubernetes")
	n.Run("rm", "-rf", "/var/lib/kubelet")
	n.Run("systemctl", "restart", agentUnit)
	if now := n.MainPID(agentUnit); now == pid || now == 0 {
		t.Errorf("the pid was %d and is %d", pid, now)
	}
	eventually(t, "a folder that was removed is made at the next start", func() bool { return n.Exists("/var/lib/kubelet/host-name") })
	if modes := n.Run("stat", "-c", "%a", "/etc/kubernetes", "/var/lib/kubelet"); modes != "700\n750\n" {
		t.Errorf("the modes of a folder that was there and of one that was not are:\n%s", modes)
	}
}

// TestExecPluginsRunWithTheDropInAndAreHeldByTheRestOfTheSandbox runs the probe under the relaxed unit: programs run, and that is all.
func TestExecPluginsRunWithTheDropInAndAreHeldByTheRestOfTheSandbox(t *testing.T) {
	t.Parallel()
	relaxed, err := os.ReadFile("../../../deploy/systemd/exec-plugin.conf")
	must(t, err)
	n := probed(t, string(relaxed), true)
	allowed := 0
	for _, a := range n.attempts() {
		program := strings.HasPrefix(a.Name, "run ") && !strings.Contains(a.Name, "real-time") || strings.HasPrefix(a.Name, "map ")
		switch {
		case a.necessary() && a.Errno != 0:
			t.Errorf("the drop-in takes away: %s: %s", a.Name, a.Says)
		case program && a.refused() && a.Name != "run a program out of memory":
			t.Errorf("with the drop-in it is still refused: %s: %s", a.Name, a.Says)
		case program:
			allowed++
		case a.limit():
		case !a.necessary() && !a.refused():
			t.Errorf("the drop-in also allows: %s", a.Name)
		}
	}
	if allowed < 6 {
		t.Errorf("only %d ways to run a program were tried", allowed)
	}
}

// documented are the drop-ins of docs/systemd.md that narrow the unit further.
var documented = []struct{ name, dropIn string }{
	{"a user namespace", "[Service]\nPrivateUsers=yes\n"},
	{"the addresses that are known", "[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost " + machine.Gateway.String() + "\n"},
}

// TestADropInThatNarrowsTheUnitLeavesTheAgentWhatItNeeds tries one of them, with SOAK each.
func TestADropInThatNarrowsTheUnitLeavesTheAgentWhatItNeeds(t *testing.T) {
	t.Parallel()
	tried := documented
	if os.Getenv("SOAK") == "" {
		drawn := sample.Random(t).IntN(len(documented))
		tried = documented[drawn : drawn+1]
	}
	for _, narrower := range tried {
		t.Run(narrower.name, func(t *testing.T) {
			t.Parallel()
			n := probed(t, narrower.dropIn, false)
			for _, a := range n.attempts() {
				open := a.limit() && !strings.Contains(narrower.dropIn, "PrivateUsers")
				if a.necessary() && a.Errno != 0 || !a.necessary() && !open && !a.refused() {
					t.Errorf("%s: %d %s", a.Name, a.Errno, a.Says)
				}
			}
		})
	}
}
