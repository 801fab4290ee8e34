package boot

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/test/cloudinit"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// forgetUserData is where the package puts the script.
const forgetUserData = "/usr/share/bootstrap-agent/cloud-init/forget-user-data.sh"

// bootLimit is ten times what a boot with cloud-init takes on two idle cores.
const bootLimit = 2 * time.Minute

// TestANodeJoinsFromTheShippedUserData boots a real cloud-init with a NoCloud seed on an image that has the package, and then removes
// what cloud-init leaves of the token.
func TestANodeJoinsFromTheShippedUserData(t *testing.T) {
	t.Parallel()
	token := ""
	n := newNode(t, options{prepare: func(n *node) {
		token = n.token()
		n.giveUserData(n.userData("user-data.yaml", token))
		n.installForgetUserData()
	}})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(bootLimit)
	n.awaitReady()

	n.assertCloudInitWell()
	written, started := n.cloudInitWrote(), n.Time(agentUnit, "ExecMainStartTimestampMonotonic")
	if started < written {
		t.Errorf("the agent was started %s before cloud-init had written its files", written-started)
	}
	if restarts := n.Unit(kubeletUnit, "NRestarts"); restarts != "0" {
		t.Errorf("the kubelet was restarted %s times:\n%s", restarts, n.Journal(kubeletUnit))
	}
	n.assertTokenGone()

	if left, want := n.filesWith(token), n.documentedCopies(); !slices.Equal(left, want) {
		t.Errorf("cloud-init leaves the token in\n%s\nand docs/cloud-init.md says\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
	}
	if named, left := n.copiesByDoctor(), n.filesWith(token); !slices.Equal(named, left) {
		t.Errorf("doctor finds the token in\n%s\nand it is in\n%s", strings.Join(named, "\n"), strings.Join(left, "\n"))
	}
	n.Run(forgetUserData)
	if named := n.copiesByDoctor(); len(named) > 0 {
		t.Errorf("after the cleaning doctor finds the token in %s", named)
	}
	if left := n.filesWith(token); len(left) > 0 {
		t.Errorf("after the cleaning the token is still in %s", left)
	}
	rebooted := time.Now()
	n.Reboot()
	eventually(t, "the kubelet sends heartbeats again", func() bool { return n.heartbeat().After(rebooted) })
	if left := n.filesWith(token); len(left) > 0 {
		t.Errorf("a boot after the cleaning the token is again in %s", left)
	}
	if state, _ := n.Try("cloud-init", "status"); !strings.Contains(state, "disabled") {
		t.Errorf("cloud-init still runs at every boot: %s", state)
	}
}

// token is a fresh bootstrap token.
func (n *node) token() string {
	n.t.Helper()
	token, err := n.cp.CreateBootstrapToken(n.t.Context(), controlplane.TokenOptions{TTL: time.Hour})
	must(n.t, err)
	return token
}

// userData is a shipped user-data, filled in for this node's cluster, and with further values: key, value.
func (n *node) userData(name, token string, more ...string) string {
	n.t.Helper()
	values := map[string]string{"SERVER": n.way.url(), "CA": base64.StdEncoding.EncodeToString(n.cp.CA()), "TOKEN": token}
	for i := 0; i+1 < len(more); i += 2 {
		values[more[i]] = more[i+1]
	}
	filled, err := cloudinit.Fill(name, values)
	must(n.t, err)
	return filled
}

// giveUserData has cloud-init find user-data at the first boot, as a NoCloud seed on the disk. What a test machine has no use for is
// switched off in cloud-init's own configuration: the user-data are as they are shipped.
func (n *node) giveUserData(userData string) {
	n.t.Helper()
	must(n.t, os.RemoveAll(n.Path("/etc/cloud/cloud-init.disabled")))
	n.Write("/etc/cloud/cloud.cfg.d/90-test.cfg",
		"datasource_list: [NoCloud, None]\nnetwork: {config: disabled}\nlocale: false\nssh_genkeytypes: []\n", 0o644)
	n.Write("/var/lib/cloud/seed/nocloud/meta-data", "instance-id: i-"+n.Name+"\nlocal-hostname: "+n.Name+"\n", 0o644)
	n.Write("/var/lib/cloud/seed/nocloud/user-data", userData, 0o600)
}

func (n *node) installForgetUserData() {
	n.t.Helper()
	script, err := os.ReadFile("../../../deploy/cloud-init/forget-user-data.sh")
	must(n.t, err)
	n.Write(forgetUserData, string(script), 0o755)
}

// assertCloudInitWell waits for the end of cloud-init, and looks at what it says of itself and at what systemd had to give up.
func (n *node) assertCloudInitWell() {
	n.t.Helper()
	var result struct {
		V1 struct{ Errors []string }
	}
	must(n.t, json.Unmarshal([]byte(n.Read("/var/lib/cloud/data/result.json")), &result))
	if len(result.V1.Errors) > 0 {
		n.t.Errorf("cloud-init says that this went wrong: %q", result.V1.Errors)
	}
	if failed := n.Run("systemctl", "list-units", "--failed", "--plain", "--no-legend", "cloud-*", agentUnit, kubeletUnit); failed != "" {
		n.t.Errorf("failed: %s", failed)
	}
	if journal := n.Run("journalctl", "--no-pager", "--boot", "--output=cat", "_PID=1"); strings.Contains(journal, "ordering cycle") {
		n.t.Errorf("systemd has dropped jobs:\n%s", journal)
	}
}

// cloudInitWrote is when the stage that writes files was over.
func (n *node) cloudInitWrote() time.Duration {
	n.t.Helper()
	return max(n.Time("cloud-init.service", "ActiveEnterTimestampMonotonic"), n.Time("cloud-init-network.service", "ActiveEnterTimestampMonotonic"))
}

// heartbeat is when the kubelet has renewed the node's lease.
func (n *node) heartbeat() time.Time {
	lease, err := n.cp.AdminClient().CoordinationV1().Leases("kube-node-lease").Get(n.t.Context(), n.Name, metav1.GetOptions{})
	if err != nil || lease.Spec.RenewTime == nil {
		return time.Time{}
	}
	return lease.Spec.RenewTime.Time
}

// findText prints the files that hold a line of its input, of all that were written since the machine was made; and the journal, if it
// does. /opt are folders of the host. The patterns are in no argument, as arguments can be seen and are looked through here as well.
const findText = `umask 077; cat >/dev/shm/patterns
find / \( -path /proc -o -path /sys -o -path /dev -o -path /opt \) -prune -o -type f -newer /test-init -print0 |
  xargs -0 -r grep -lasF -f /dev/shm/patterns || [ $? = 123 ]
if journalctl --no-pager --quiet | grep -qaF -f /dev/shm/patterns; then echo the journal; fi
rm /dev/shm/patterns`

// filesWith are the machine's files that hold a text, plain or as a part of something in base64, sorted.
func (n *node) filesWith(text string) []string {
	n.t.Helper()
	command := n.Command("/bin/sh", "-ec", findText)
	command.Stdin = strings.NewReader(strings.Join(spellings(text), "\n"))
	output, err := command.CombinedOutput()
	if err != nil {
		n.t.Fatalf("look for a text: %v: %s", err, output)
	}
	return slices.Sorted(strings.FieldsSeq(strings.ReplaceAll(string(output), "the journal", "the-journal")))
}

// spellings are the text and what it becomes in base64, wherever it begins; the characters that its neighbours decide left out.
func spellings(text string) []string {
	all := []string{text}
	for offset, unsure := range []int{0, 2, 3} {
		encoded := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + text))
		all = append(all, encoded[unsure:len(encoded)-1])
	}
	return all
}

// documentedCopies are the files in which docs/cloud-init.md says that this cloud-init leaves the user-data, sorted.
func (n *node) documentedCopies() []string {
	n.t.Helper()
	page, err := os.ReadFile("../../../docs/cloud-init.md")
	must(n.t, err)
	_, table, found := strings.Cut(string(page), "<!-- copies")
	table, _, ended := strings.Cut(table, "<!-- end of copies")
	if !found || !ended {
		n.t.Fatal("docs/cloud-init.md has no table of copies")
	}
	version := strings.Fields(n.Run("cloud-init", "--version"))[1] // /usr/bin/cloud-init 22.4.2
	var paths []string
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !slices.ContainsFunc(strings.Fields(cells[3]), func(v string) bool { return strings.HasPrefix(version, v+".") }) {
			continue
		}
		path := strings.Trim(strings.TrimSpace(cells[1]), "`")
		paths = append(paths, strings.ReplaceAll(path, "<instance-id>", "i-"+n.Name))
	}
	slices.Sort(paths)
	return paths
}

// TestAPackageThatBootcmdInstallsComesBeforeTheKubeletOfTheSameBoot has an image with the package as a file only.
func TestAPackageThatBootcmdInstallsComesBeforeTheKubeletOfTheSameBoot(t *testing.T) {
	t.Parallel()
	deb := debPackage(t)
	n := newNode(t, options{noAgent: true, prepare: func(n *node) {
		n.giveUserData(n.userData("user-data-local-package.yaml", n.token(), "PACKAGE", deb))
	}})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(bootLimit)
	n.awaitReady()
	n.assertCloudInitWell()

	ready, started := n.Time(agentUnit, "ActiveEnterTimestampMonotonic"), n.Time(kubeletUnit, "ExecMainStartTimestampMonotonic")
	if restarts := n.Unit(kubeletUnit, "NRestarts"); restarts != "0" || started < ready {
		t.Errorf("the kubelet was started %s after READY, and restarted %s times", started-ready, restarts)
	}
	n.assertTokenGone()

	n.Reboot()
	if log := n.Read("/var/log/dpkg.log"); strings.Count(log, " install bootstrap-agent:") != 1 || strings.Contains(log, " upgrade bootstrap-agent:") {
		t.Errorf("bootcmd runs at each boot, and has installed the package again:\n%s", log)
	}
	if state := n.Unit(agentUnit, "ActiveState"); state != "active" {
		t.Errorf("a boot later the agent is %s", state)
	}
}

// TestAPackageFromARepositoryIsInstalledWhenTheBootIsOverAndTheNodeJoins has apt take it from a repository that it can trust by nothing but
// the key in the user-data. The kubelet has given up by then.
func TestAPackageFromARepositoryIsInstalledWhenTheBootIsOverAndTheNodeJoins(t *testing.T) {
	t.Parallel()
	debPackage(t)
	n := newNode(t, options{noAgent: true, prepare: func(n *node) {
		deb, err := os.ReadFile(built + strings.TrimPrefix(debPackage(t), "/opt/test"))
		must(t, err)
		n.Write("/etc/systemd/system/kubelet.service.d/10-test.conf", "[Unit]\nStartLimitIntervalSec=1h\nStartLimitBurst=1\n", 0o644)
		entry, key := n.installRepository(deb)
		n.giveUserData(n.userData("user-data-apt.yaml", n.token(), "REPOSITORY", entry, "KEY", base64.StdEncoding.EncodeToString(key)))
	}})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(bootLimit)
	n.awaitReady()
	n.assertCloudInitWell()
	n.assertTokenGone()
	if enabled := n.Run("systemctl", "is-enabled", agentUnit); strings.TrimSpace(enabled) != "enabled" {
		t.Errorf("the agent is %s: it will not start at the next boot", enabled)
	}
}
