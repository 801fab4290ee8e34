package boot

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

const tokenFile = "/etc/kubernetes/bootstrap.token"

// invitation is what an administrator has made for one node.
type invitation struct {
	dir, token string
	// group is what the token is in besides system:bootstrappers.
	group string
	// said is what kubectl printed.
	said string
}

// invite has an administrator type the command of the documentation, on a machine of his own, with these flags besides.
func invite(t *testing.T, cp *controlplane.ControlPlane, flags ...string) invitation {
	t.Helper()
	kubectl, err := controlplane.Program("kubectl")
	must(t, err)
	i := invitation{dir: filepath.Join(t.TempDir(), "node-1"), group: "system:bootstrappers:" + strings.ToLower(t.Name())}
	must(t, os.WriteFile(filepath.Join(filepath.Dir(i.dir), "ca.crt"), cp.CA(), 0o644))
	script := `bootstrap-agent join-config "$@" --ttl=15m -o node-1 --print=rbac,secret | kubectl apply -f -`
	args := append([]string{"-o", "pipefail", "-c", script, "join", "--group=" + i.group}, flags...)
	pipe := exec.CommandContext(t.Context(), "/bin/bash", args...)
	pipe.Dir = filepath.Dir(i.dir)
	pipe.Env = []string{"PATH=" + built + ":" + filepath.Dir(kubectl) + ":/usr/bin:/bin", "HOME=" + pipe.Dir, "KUBECONFIG=" + cp.AdminKubeconfig()}
	output, err := pipe.CombinedOutput()
	if err != nil {
		t.Fatalf("join-config … | kubectl apply: %v:\n%s", err, output)
	}
	i.said, i.token = string(output), i.readToken(t)
	return i
}

// readToken finds the token in what is given to the node.
func (i invitation) readToken(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(i.read(t, "user-data.yaml")) {
		line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "token:"))
		if line = strings.Trim(line, `"`); len(line) == 23 && strings.Index(line, ".") == 6 {
			return line
		}
	}
	t.Fatal("there is no token in user-data.yaml")
	return ""
}

func (i invitation) id() string { return i.token[:6] }

func (i invitation) read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(i.dir, name))
	must(t, err)
	return string(content)
}

// assertApplied shows that the cluster has the token, and lets its group in by what was applied with it and by nothing else.
func (i invitation) assertApplied(t *testing.T, cp *controlplane.ControlPlane) {
	t.Helper()
	if !strings.Contains(i.said, "secret/bootstrap-token-"+i.id()+" created") {
		t.Errorf("kubectl says\n%s", i.said)
	}
	if strings.Contains(i.said, i.token[7:]) {
		t.Error("the token's secret was printed")
	}
	for _, access := range [][]string{{"create", "csr"}, {"create", "csr", "--subresource=nodeclient"}} {
		for group, expected := range map[string]string{i.group: "yes", i.group + "-of-others": "no"} {
			said, _ := cp.Kubectl(append([]string{"auth", "can-i", "--as=somebody", "--as-group=" + group}, access...)...) // exit 1: no
			if strings.TrimSpace(said) != expected {
				t.Errorf("may group %s %s? %s, expected %s", group, access, said, expected)
			}
		}
	}
}

// TestANodeJoinsByTwoCommandsOfItsAdministrator is the way of docs/joining.md: one command makes a token and tells the cluster, what it has
// written becomes the node's user-data as it is, and a real cloud-init, a real systemd and a real kubelet do the rest.
func TestANodeJoinsByTwoCommandsOfItsAdministrator(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	i := invite(t, n.cp, "--server="+n.way.url(), "--ca-file=ca.crt")
	n.bootsWith(i)
	n.assertInvited(i, bootstrapFile)
	if left, want := n.filesWith(i.token), n.documentedCopies(); !slices.Equal(left, want) {
		t.Errorf("the token is left in\n%s\nand docs/cloud-init.md says\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
	}
}

// TestANodeJoinsWithATokenAndAHashOfTheCA has the same two commands with --discovery: where the cluster is and which CA it has, the node
// finds out.
func TestANodeJoinsWithATokenAndAHashOfTheCA(t *testing.T) {
	t.Parallel()
	n := newNode(t, options{})
	publishClusterInfo(t, n.cp)
	i := invite(t, n.cp, "--discovery", "--kubeconfig="+n.cp.AdminKubeconfig(), "--server="+n.way.url())
	n.bootsWith(i)
	n.assertInvited(i, tokenFile)
	n.assertDiscovered()
	if left, want := n.filesWith(i.token), n.documentedCopies(); !slices.Equal(left, want) {
		t.Errorf("the token is left in\n%s\nand docs/cloud-init.md says\n%s", strings.Join(left, "\n"), strings.Join(want, "\n"))
	}
}

// TestANodeJoinsWithATokenThatIsASystemdCredential has the token in no file that the agent could delete.
func TestANodeJoinsWithATokenThatIsASystemdCredential(t *testing.T) {
	t.Parallel()
	const source = "/etc/credstore/discovery.token"
	n := newNode(t, options{noKubelet: true})
	publishClusterInfo(t, n.cp)
	i := invite(t, n.cp, "--discovery", "--ca-file=ca.crt", "--server="+n.way.url())
	n.Write(source, i.read(t, "bootstrap.token"), 0o600)
	n.Write(configFile, i.read(t, "config.yaml"), 0o644)
	n.Write(credentialDropIn, "[Service]\nLoadCredential=discovery.token:"+source+"\n", 0o644)
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(time.Minute)
	eventually(t, "all is well for a person", func() bool { _, err := n.Try("bootstrap-agent", "status"); return err == nil })
	n.assertDiscovered()
	said := n.Journal(agentUnit)
	if kept := "it is a systemd credential, which only its source can remove"; strings.Count(said, kept) != 1 || strings.Contains(said, "level=WARN") {
		t.Errorf("the agent says\n%s", said)
	}
	if n.Exists(tokenFile) || n.Exists(bootstrapFile) {
		t.Error("the agent has written a credential")
	}
	// the other one is in memory, for the agent alone (systemd.exec(5), LoadCredential=)
	if left, want := n.filesWith(i.token), []string{source, "/run/credentials/" + agentUnit + "/discovery.token"}; !slices.Equal(left, want) {
		t.Errorf("the token is in %s, expected %s", left, want)
	}
	if client, serving := n.requests(); len(client) != 1 || len(serving) != 1 {
		t.Errorf("%d client and %d serving requests", len(client), len(serving))
	}
}

// bootsWith boots the node with the user-data of an invitation, untouched.
func (n *node) bootsWith(i invitation) {
	n.t.Helper()
	i.assertApplied(n.t, n.cp)
	n.giveUserData(i.read(n.t, "user-data.yaml"))
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(bootLimit)
	n.awaitReady()
}

// assertInvited shows that the node has joined by one request for each certificate, the first made with the invitation's token, which came in
// a file that is gone.
func (n *node) assertInvited(i invitation, file string) {
	n.t.Helper()
	n.assertCloudInitWell()
	eventually(n.t, file+" is gone", func() bool { return !n.Exists(file) })
	if restarts := n.Unit(kubeletUnit, "NRestarts"); restarts != "0" {
		n.t.Errorf("the kubelet was restarted %s times:\n%s", restarts, n.Journal(kubeletUnit))
	}
	client, serving := n.requests()
	if len(client) != 1 || len(serving) != 1 {
		n.t.Fatalf("%d client and %d serving requests", len(client), len(serving))
	}
	made, err := n.cp.Kubectl("get", "csr", client[0], "-o", "jsonpath={.spec.username} {.spec.groups}")
	must(n.t, err)
	if !strings.HasPrefix(made, "system:bootstrap:"+i.id()+" ") || !strings.Contains(made, `"`+i.group+`"`) {
		n.t.Errorf("the request was made by %s, expected the token %s in group %s", made, i.id(), i.group)
	}
}

// assertDiscovered shows that the node goes where cluster-info leads, which is not where it had asked, and that what it found was not
// written down as a credential.
func (n *node) assertDiscovered() {
	n.t.Helper()
	if kubeconfig := n.Read(kubeconfigFile); !strings.Contains(kubeconfig, "server: "+server(n.cp)+"\n") {
		n.t.Errorf("the kubelet is not led to %s, which cluster-info names:\n%s", server(n.cp), kubeconfig)
	}
	if ca := n.Read(certDir + "/kubelet-apiserver-ca.crt"); ca != string(n.cp.CA()) {
		n.t.Errorf("the kubelet's CA is\n%s", ca)
	}
	if n.Exists(bootstrapFile) {
		n.t.Errorf("%s was written", bootstrapFile)
	}
}
