package boot

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/machine"
)

// limits of the unit, shortened but for SOAK: a watchdog of a minute is long to wait for.
func limits(watchdog, start string) string {
	if os.Getenv("SOAK") != "" {
		return ""
	}
	return fmt.Sprintf("[Service]\nWatchdogSec=%s\nTimeoutStartSec=%s\n", watchdog, start)
}

const limitsFile = "/etc/systemd/system/" + agentUnit + ".d/limits.conf"

// TestTheKubeletKeepsItsPIDWhateverBecomesOfTheAgent has a node that is Ready, and an agent that is restarted, stopped, killed and hangs.
func TestTheKubeletKeepsItsPIDWhateverBecomesOfTheAgent(t *testing.T) {
	t.Parallel()
	credential := ""
	n := newNode(t, options{prepare: func(n *node) {
		credential = n.credential()
		n.Write(bootstrapFile, credential, 0o600)
		n.Write(limitsFile, limits("6s", "60s"), 0o644)
	}})
	n.Start()
	n.AwaitBoot(time.Minute)
	n.awaitReady()
	kubelet, agent := n.MainPID(kubeletUnit), n.MainPID(agentUnit)
	restarts := n.Unit(kubeletUnit, "NRestarts") // before the node was Ready it may have needed several
	for _, mishap := range []struct {
		name string
		do   func()
	}{
		{"restarted", func() { n.Run("systemctl", "restart", agentUnit) }},
		{"stopped and started", func() {
			n.Run("systemctl", "stop", agentUnit)
			if now := n.MainPID(kubeletUnit); now != kubelet {
				t.Errorf("stopped: the kubelet's pid was %d and is %d", kubelet, now)
			}
			n.Run("systemctl", "start", agentUnit)
		}},
		{"killed", func() { n.signalAgent("KILL") }},
		{"hanging after READY", func() { n.signalAgent("STOP") }},
	} {
		mishap.do()
		within(t, 2*time.Minute, mishap.name+": the agent runs again", func() bool {
			now := n.MainPID(agentUnit) // 0 when systemd has noticed the end of the one before, and not started another
			return now != 0 && now != agent && n.Unit(agentUnit, "ActiveState") == "active"
		})
		if now := n.MainPID(kubeletUnit); now != kubelet {
			t.Errorf("%s: the kubelet's pid was %d and is %d", mishap.name, kubelet, now)
		}
		agent = n.MainPID(agentUnit)
	}
	if now := n.Unit(kubeletUnit, "NRestarts"); now != restarts {
		t.Errorf("the kubelet was restarted %s times, at first %s", now, restarts)
	}
	if !n.isReady() {
		t.Error("the node is not Ready any more")
	}
	said := n.Journal(agentUnit)
	if !strings.Contains(said, "Watchdog timeout") {
		t.Errorf("no word of the watchdog:\n%s", said)
	}
	n.saysNothingOf(credential, said)
}

// TestAHangBeforeREADYIsNoticed stops the agent while it holds the kubelet: systemd ends it, the kubelet starts, and goes on when the agent
// is started again. With SOAK also without a watchdog: there are only the extensions of the start's limit to go by, of 30 s each.
func TestAHangBeforeREADYIsNoticed(t *testing.T) {
	t.Parallel()
	ends := map[string]string{"watchdog": limits("6s", "60s")}
	if os.Getenv("SOAK") != "" {
		ends["timeout"] = "[Service]\nWatchdogSec=0\n"
	}
	for result, dropIn := range ends {
		t.Run(result, func(t *testing.T) {
			t.Parallel()
			hangBeforeREADY(t, dropIn, result)
		})
	}
}

func hangBeforeREADY(t *testing.T, dropIn, result string) {
	t.Helper()
	n := newNode(t, options{noKubelet: true, prepare: func(n *node) {
		n.Write(bootstrapFile, strings.ReplaceAll(n.credential(), machine.Gateway.String(), "10.77.0.250"), 0o600) // nobody answers there
		n.Write(limitsFile, dropIn, 0o644)
		n.Write("/etc/systemd/system/kubelet.service", "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n", 0o644)
		n.Enable("/etc/systemd/system/kubelet.service")
	}})
	n.Start()
	eventually(t, "the agent holds the kubelet, and says why", func() bool {
		_, err := n.Try("systemctl", "show", agentUnit) // the bus may not be there yet
		return err == nil && n.status() != "" && n.Unit(agentUnit, "ActiveState") == "activating"
	})
	if pid := n.MainPID(kubeletUnit); pid != 0 {
		t.Fatalf("the kubelet was not held: it has pid %d", pid)
	}
	n.signalAgent("STOP")
	within(t, 2*time.Minute, "the kubelet starts", func() bool { return n.MainPID(kubeletUnit) != 0 })
	kubelet := n.MainPID(kubeletUnit)
	eventually(t, "the agent is started again", func() bool { return n.Unit(agentUnit, "NRestarts") == "1" && n.MainPID(agentUnit) != 0 })
	said := n.Journal(agentUnit)
	either := dropIn == "" && strings.Contains(said, "Failed with result 'timeout'") // as shipped both are a minute, and either may be first
	if !either && !strings.Contains(said, "Failed with result '"+result+"'") {
		t.Errorf("it was not its %s that ended it:\n%s", result, said)
	}
	if now := n.MainPID(kubeletUnit); now != kubelet {
		t.Errorf("the kubelet's pid was %d and is %d", kubelet, now)
	}
	n.AwaitBoot(time.Minute)
}

// signalAgent sends its main process a signal by name.
func (n *node) signalAgent(name string) {
	n.t.Helper()
	pid := n.MainPID(agentUnit)
	if pid == 0 { // to kill(1) that is its own process group
		n.t.Fatal("the agent does not run")
	}
	n.Run("kill", "-"+name, fmt.Sprint(pid))
}

// saysNothingOf looks for the token of a credential.
func (n *node) saysNothingOf(credential, said string) {
	n.t.Helper()
	_, rest, _ := strings.Cut(credential, "token: ")
	token, _, _ := strings.Cut(rest, "\n")
	_, secret, found := strings.Cut(strings.TrimSpace(token), ".")
	if !found || len(secret) != 16 {
		n.t.Fatal("no token in the credential")
	}
	if strings.Contains(said, secret) {
		n.t.Error("the token's secret is in the journal")
	}
}
