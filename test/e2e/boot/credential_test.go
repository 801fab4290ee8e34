package boot

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// TestANodeWithoutACredentialBootsAndJoinsWhenItGetsOne has a person come late, at first with a token that is wrong.
func TestANodeWithoutACredentialBootsAndJoinsWhenItGetsOne(t *testing.T) {
	t.Parallel()
	n := bootNode(t, options{})
	n.approveServing(0)
	agent := n.MainPID(agentUnit)
	if ready := n.Unit(agentUnit, "ActiveState"); ready != "active" {
		t.Fatalf("the agent is %s though there is nothing to wait for", ready)
	}
	eventually(t, "the kubelet is started", func() bool { return n.Unit(kubeletUnit, "ExecMainStartTimestampMonotonic") != "0" })
	eventually(t, "systemctl status tells what to do", func() bool {
		return strings.Contains(n.systemctlStatus(), "put a bootstrap kubeconfig at "+bootstrapFile)
	})
	late(10*time.Second, time.Minute)

	n.Write(bootstrapFile, n.credentialOf("abcdef.0123456789abcdef"), 0o600)
	eventually(t, "systemctl status tells that the token is not accepted", func() bool {
		return strings.Contains(n.systemctlStatus(), "unauthorized") && strings.Contains(n.systemctlStatus(), "Secret in kube-system")
	})
	n.giveCredential()
	given := time.Now()
	eventually(t, "the right token is used and gone", func() bool { return !n.Exists(bootstrapFile) })
	t.Logf("right token → gone: %s", time.Since(given).Round(time.Millisecond))
	n.awaitReady()
	if now := n.MainPID(agentUnit); now != agent {
		t.Errorf("the agent's pid was %d and is %d", agent, now)
	}
	if client, serving := n.requests(); len(client) != 1 || len(serving) != 1 {
		t.Errorf("%d client and %d serving requests", len(client), len(serving))
	}
}

// late waits: for long only in the long run of the tests.
func late(short, long time.Duration) {
	if os.Getenv("SOAK") != "" {
		short = long
	}
	time.Sleep(short)
}

// systemctlStatus is what a person sees.
func (n *node) systemctlStatus() string {
	said, _ := n.Try("systemctl", "status", "--no-pager", "--full", "--lines=0", agentUnit)
	return said
}

var approveCommand = regexp.MustCompile(`kubectl (certificate approve [a-z0-9.-]+)`)

// TestAPendingNodeSaysWhatToDo has nobody who approves anything but the person who reads systemctl status and does what it says.
func TestAPendingNodeSaysWhatToDo(t *testing.T) {
	t.Parallel()
	long := os.Getenv("SOAK") != ""
	n := bootNode(t, options{noKubelet: !long, prepare: func(n *node) {
		content, err := n.cp.Kubeconfig(server(n.cp), clientcmdapi.AuthInfo{Token: n.cp.Token(controlplane.Unapproved)})
		must(t, err)
		n.Write(bootstrapFile, string(content), 0o600)
		n.Write(configFile, configuration("startHold: 5s"), 0o644)
	}})
	agent := n.MainPID(agentUnit)
	for _, certificate := range []string{"client", "serving"} {
		command := ""
		eventually(t, "systemctl status tells how to approve the "+certificate+" certificate", func() bool {
			said := n.systemctlStatus()
			if found := approveCommand.FindStringSubmatch(said); found != nil && strings.Contains(found[1], "-kubelet-"+certificate+"-") {
				command = found[1]
			}
			return command != ""
		})
		late(3*time.Second, 3*time.Minute)
		if _, err := n.cp.Kubectl(strings.Fields(command)...); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all is well", func() bool { _, err := n.Try("bootstrap-agent", "status"); return err == nil })
	if long {
		n.awaitReady()
	}
	if client, serving := n.requests(); len(client) != 1 || len(serving) != 1 || n.MainPID(agentUnit) != agent {
		t.Errorf("%d client and %d serving requests; the agent's pid was %d and is %d", len(client), len(serving), agent, n.MainPID(agentUnit))
	}
}

// configuration is a configuration file with these lines.
func configuration(lines ...string) string {
	return "apiVersion: bootstrap-agent.io/v1alpha1\nkind: BootstrapAgentConfiguration\n" + strings.Join(lines, "\n") + "\n"
}

const credentialDropIn = "/etc/systemd/system/bootstrap-agent.service.d/credential.conf"

// TestANodeJoinsWithASystemdCredential boots with LoadCredential=. The token stays where it is, is used once, and nobody is alarmed.
func TestANodeJoinsWithASystemdCredential(t *testing.T) {
	t.Parallel()
	const source = "/etc/credstore/bootstrap.kubeconfig"
	n := newNode(t, options{prepare: func(n *node) {
		n.Write(source, n.credential(), 0o600)
		n.Write(credentialDropIn, "[Service]\nLoadCredential=bootstrap.kubeconfig:"+source+"\n", 0o644)
	}})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(time.Minute)
	n.awaitReady()
	n.assertSystemdCredential()

	n.Run("systemctl", "restart", agentUnit)
	n.assertSystemdCredential()
	n.assertJournalHasLevels()
}

// TestANodeJoinsWithAnEncryptedSystemdCredential has LoadCredentialEncrypted=, with the machine's own key.
func TestANodeJoinsWithAnEncryptedSystemdCredential(t *testing.T) {
	t.Parallel()
	n := bootNode(t, options{noKubelet: true})
	n.approveServing(0)
	n.Write("/root/plain", n.credential(), 0o600)
	n.Write(credentialDropIn, "[Service]\nLoadCredentialEncrypted=bootstrap.kubeconfig\n", 0o644)
	n.Shell(`mkdir -p /etc/credstore.encrypted
		systemd-creds encrypt --with-key=host --name=bootstrap.kubeconfig /root/plain /etc/credstore.encrypted/bootstrap.kubeconfig
		rm /root/plain
		systemctl daemon-reload
		systemctl restart bootstrap-agent`)
	n.assertSystemdCredential()
}

// assertSystemdCredential shows that the node has both certificates by one request each, from a credential that stays and about which the
// agent has said so once since it was started; that a person who asks sees nothing to do; and that the agent's folder has no copy of it.
func (n *node) assertSystemdCredential() {
	n.t.Helper()
	const kept = "it is a systemd credential, which only its source can remove"
	pid := fmt.Sprint("_PID=", n.MainPID(agentUnit))
	said := ""
	eventually(n.t, "the agent says that the credential stays", func() bool {
		said = n.Run("journalctl", "--no-pager", "-o", "cat", pid)
		return strings.Contains(said, kept)
	})
	eventually(n.t, "all is well for a person", func() bool { _, err := n.Try("bootstrap-agent", "status"); return err == nil })
	report := n.Run("bootstrap-agent", "status")
	if !strings.Contains(report, "/run/credentials/bootstrap-agent.service/bootstrap.kubeconfig") {
		n.t.Errorf("status does not name the credential:\n%s", report)
	}
	if strings.Count(said, kept) != 1 || strings.Contains(said, "level=WARN") || strings.Contains(said, "level=ERROR") {
		n.t.Errorf("the agent says\n%s", said)
	}
	if client, serving := n.requests(); len(client) != 1 || len(serving) != 1 {
		n.t.Errorf("%d client and %d serving requests", len(client), len(serving))
	}
	if n.Exists(bootstrapFile) {
		n.t.Errorf("%s was made", bootstrapFile)
	}
}

// assertJournalHasLevels shows that what the agent says has its level in the journal, and the journal's time as its only one.
func (n *node) assertJournalHasLevels() {
	n.t.Helper()
	priorities := map[string]string{"level=DEBUG": "7", "level=INFO": "6", "level=WARN": "4", "level=ERROR": "3"}
	lines := 0
	for line := range strings.Lines(n.Run("journalctl", "--no-pager", "-o", "json", "_COMM=bootstrap-agent", "_TRANSPORT=stdout")) {
		var entry struct{ MESSAGE, PRIORITY string }
		must(n.t, json.Unmarshal([]byte(line), &entry))
		level, _, _ := strings.Cut(entry.MESSAGE, " ")
		if priorities[level] == "" || entry.PRIORITY != priorities[level] || strings.Contains(entry.MESSAGE, "time=") {
			n.t.Errorf("priority %s: %s", entry.PRIORITY, entry.MESSAGE)
		}
		lines++
	}
	if lines < 5 {
		n.t.Errorf("%d lines in the journal", lines)
	}
}

// TestAFileWinsOverASystemdCredential has a credential with a wrong token in the unit, and a person who puts a file in place.
func TestAFileWinsOverASystemdCredential(t *testing.T) {
	t.Parallel()
	n := bootNode(t, options{noKubelet: true, prepare: func(n *node) {
		n.Write("/etc/credstore/wrong", n.credentialOf("abcdef.0123456789abcdef"), 0o600)
		n.Write(credentialDropIn, "[Service]\nLoadCredential=bootstrap.kubeconfig:/etc/credstore/wrong\n", 0o644)
		n.Write(configFile, configuration("startHold: 1s"), 0o644)
	}})
	n.approveServing(0)
	agent := n.MainPID(agentUnit)
	eventually(t, "the wrong token is refused", func() bool { return strings.Contains(n.status(), "unauthorized") })
	n.giveCredential()
	eventually(t, "the file is used and gone", func() bool { return !n.Exists(bootstrapFile) })
	eventually(t, "all is well", func() bool { _, err := n.Try("bootstrap-agent", "status"); return err == nil })
	if now := n.MainPID(agentUnit); now != agent {
		t.Errorf("the agent's pid was %d and is %d", agent, now)
	}
}

// TestPathsThatTheUnitForbidsComeWithTheDropIn has files where the unit lets nothing be written, and a person who does what the journal says.
func TestPathsThatTheUnitForbidsComeWithTheDropIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines, dropIn []string
		gives         string
	}{
		"the cert-dir": {
			[]string{"certDir: /srv/node/pki"}, []string{"'RequiresMountsFor=/srv/node'", "'ReadWritePaths=-/srv/node'"}, "/srv/node/pki/kubelet-client-current.pem",
		},
		"the kubeconfig": {
			[]string{"kubeconfig: /opt/node/kubelet.kubeconfig"}, []string{"'RequiresMountsFor=/opt/node'", "'ReadWritePaths=-/opt/node'"}, "/opt/node/kubelet.kubeconfig",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, options{noKubelet: true, prepare: func(n *node) {
				n.giveCredential()
				n.Write(configFile, configuration(append(c.lines, "startHold: 5s")...), 0o644)
			}})
			n.approveServing(0)
			n.Start()
			eventually(t, "the journal has the drop-in", func() bool {
				said := n.Journal(agentUnit)
				for _, line := range c.dropIn {
					if !strings.Contains(said, line) {
						return false
					}
				}
				return strings.Contains(said, "bootstrap-agent config check --systemd")
			})
			n.Shell(`mkdir -p /etc/systemd/system/bootstrap-agent.service.d
				bootstrap-agent config check --systemd > /etc/systemd/system/bootstrap-agent.service.d/paths.conf
				systemctl daemon-reload && systemctl restart bootstrap-agent.service`)
			eventually(t, "the node has its certificates", func() bool {
				_, err := n.Try("bootstrap-agent", "status")
				return err == nil && n.Exists(c.gives) && !n.Exists(bootstrapFile)
			})
			if client, _ := n.requests(); len(client) != 1 {
				t.Errorf("%d client requests", len(client))
			}
		})
	}
}
