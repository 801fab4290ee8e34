package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

const joinConfigPage = "../../docs/join-config.md"

// joinPage is an administrator who does what docs/join-config.md says.
type joinPage struct {
	t      *testing.T
	cp     *controlplane.ControlPlane // nil: it does not run yet
	blocks map[string]string
	// dir is where the administrator works, bin has the programs that are called by name.
	dir, bin string
}

func readJoinPage(t *testing.T) *joinPage {
	t.Helper()
	page, err := os.ReadFile(joinConfigPage)
	must(t, err)
	p := &joinPage{t: t, blocks: map[string]string{}, dir: t.TempDir(), bin: t.TempDir()}
	found := fencedBlock.FindAllStringSubmatch(string(page), -1)
	if fences := bytes.Count(page, []byte("```")); fences != 2*len(found) {
		t.Fatalf("%s has %d fences, and %d blocks were found", joinConfigPage, fences, len(found))
	}
	for _, match := range found {
		if match[1] != "run" || p.blocks[match[2]] != "" {
			t.Errorf("%s: this block has no name of its own, so that nothing runs it:\n%s", joinConfigPage, match[4])
		}
		p.blocks[match[2]] = match[4]
	}
	kubectl, err := controlplane.Program("kubectl")
	must(t, err)
	must(t, os.Symlink(kubectl, filepath.Join(p.bin, "kubectl")))
	must(t, os.Symlink(agentProgram, filepath.Join(p.bin, "bootstrap-agent")))
	return p
}

// do runs a block of the page, once, and returns what it prints.
func (p *joinPage) do(name string) string {
	p.t.Helper()
	text, is := p.blocks[name]
	if !is {
		p.t.Fatalf("%s has no block %q that has not been run", joinConfigPage, name)
	}
	delete(p.blocks, name)
	c := exec.CommandContext(p.t.Context(), "bash", "-c", "set -euo pipefail\n"+text)
	c.Dir = p.dir
	c.Env = append(os.Environ(), "PATH="+p.bin+":"+os.Getenv("PATH"), "HOME="+p.dir)
	if p.cp != nil {
		c.Env = append(c.Env, "KUBECONFIG="+p.cp.AdminKubeconfig())
		c.Args[2] = strings.NewReplacer(
			"/etc/kubernetes/admin.conf", p.cp.AdminKubeconfig(), "/etc/kubernetes/pki/ca.crt", p.file("ca.crt"), "https://api.example.com:6443", p.cp.Server(),
		).Replace(c.Args[2])
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	output, err := c.Output()
	if err != nil {
		p.t.Fatalf("%s, %s: %v: %s", joinConfigPage, name, err, stderr.Bytes())
	}
	return string(output)
}

func (p *joinPage) file(name string) string { return filepath.Join(p.dir, name) }

func (p *joinPage) read(name string) string {
	p.t.Helper()
	content, err := os.ReadFile(p.file(name))
	must(p.t, err)
	return string(content)
}

// startControlPlane starts one that has none of the bindings that nodes need, and knows the static tokens.
func (p *joinPage) startControlPlane() {
	p.t.Helper()
	cp, err := controlplane.Start(p.t.Context(), controlplane.Options{APIServerFlags: []string{"--token-auth-file=" + p.file("tokens.csv")}})
	must(p.t, err)
	p.t.Cleanup(cp.Stop)
	p.cp = cp
	must(p.t, os.WriteFile(p.file("ca.crt"), cp.CA(), 0o644))
	names, err := cp.Kubectl("get", "clusterrolebindings", "-o", "name")
	must(p.t, err)
	remove := []string{"delete"}
	for name := range strings.Lines(names) {
		if strings.Contains(name, "/bootstrap-agent:") || strings.Contains(name, "/test:") {
			remove = append(remove, strings.TrimSpace(name))
		}
	}
	if len(remove) < 4 {
		p.t.Fatalf("bindings that the control plane has of deploy/rbac: %q", names)
	}
	_, err = cp.Kubectl(remove...)
	must(p.t, err)
}

// who is the user that a kubeconfig makes, and his groups, according to the API server.
func (p *joinPage) who(kubeconfig string) string {
	p.t.Helper()
	who, err := p.cp.KubectlWith(kubeconfig, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}")
	must(p.t, err)
	return who
}

// expectUser shows that a kubeconfig is for a bootstrap token with these groups besides those of every one.
func (p *joinPage) expectUser(kubeconfig string, groups ...string) {
	p.t.Helper()
	who := p.who(kubeconfig)
	user, got, _ := strings.Cut(who, " ")
	for _, group := range append(groups, "system:bootstrappers") {
		if !strings.Contains(got, `"`+group+`"`) {
			p.t.Errorf("%s is not in %s: %s", user, group, got)
		}
	}
	if len(user) != len("system:bootstrap:q7xz9k") || !strings.HasPrefix(user, "system:bootstrap:") || strings.Count(got, `"system:bootstrappers`) != 1+len(groups) {
		p.t.Errorf("%s is %s", kubeconfig, who)
	}
}

// kubeconfigWith is a kubeconfig with a token.
func (p *joinPage) kubeconfigWith(token string) string {
	p.t.Helper()
	content, err := p.cp.Kubeconfig("", clientcmdapi.AuthInfo{Token: strings.TrimSpace(token)})
	must(p.t, err)
	file, err := os.CreateTemp(p.dir, "kubeconfig-")
	must(p.t, err)
	defer file.Close()
	_, err = file.Write(content)
	must(p.t, err)
	return file.Name()
}

// awaitCan waits until the API server lets a user send requests for certificates, or not, and have them approved.
func (p *joinPage) awaitCan(kubeconfig, answer string) {
	p.t.Helper()
	for _, subresource := range []string{"", "--subresource=nodeclient"} {
		eventually(p.t, kubeconfig+" may send requests: "+answer, func() bool {
			args := []string{"auth", "can-i", "create", "certificatesigningrequests.certificates.k8s.io", "-A", "-q"}
			if subresource != "" {
				args = append(args, subresource)
			}
			_, err := p.cp.KubectlWith(kubeconfig, args...)
			return (err == nil) == (answer == "yes")
		})
	}
}

// joins shows that an agent joins with a bootstrap kubeconfig as it is.
func (p *joinPage) joins(kubeconfig string) {
	p.t.Helper()
	n := newNode(p.t, p.cp)
	_, after, _ := strings.Cut(kubeconfig, "token: ")
	token := strings.Trim(strings.Fields(after)[0], `"`)
	n.secret([]byte(token[7:]))
	n.write(n.bootstrapFile(), []byte(kubeconfig), 0o600)
	n.expect(n.once("--serving=off"), 0)
	n.assertJoined()
	n.assertGone(n.bootstrapFile())
	if user := n.csr(csr.Client).Spec.Username; user != "system:bootstrap:"+token[:6] {
		p.t.Errorf("the request is of %s", user)
	}
}

// writtenBy is what cloud-init makes of user-data: path → content.
func writtenBy(t *testing.T, userData string) map[string]string {
	t.Helper()
	var data struct {
		WriteFiles []struct{ Path, Content string } `json:"write_files"`
	}
	must(t, yaml.Unmarshal([]byte(userData), &data))
	written := map[string]string{}
	for _, file := range data.WriteFiles {
		written[file.Path] = file.Content
	}
	return written
}

// TestThePageOnJoinConfigDoesWhatItSays runs every command of docs/join-config.md, in a cluster without any binding for nodes; what is made
// is used.
func TestThePageOnJoinConfigDoesWhatItSays(t *testing.T) {
	t.Parallel()
	p := readJoinPage(t)
	p.do("static-line")
	static := p.read("token")
	p.startControlPlane()

	p.do("group")
	secrets, err := p.cp.Kubectl("get", "secrets", "-n=kube-system", "--field-selector=type=bootstrap.kubernetes.io/token", "-o", "go-template={{range .items}}{{index .data \"token-id\" | base64decode}}.{{index .data \"token-secret\" | base64decode}}\n{{end}}")
	must(t, err)
	if strings.Count(secrets, "\n") != 1 {
		t.Fatalf("%d tokens are in the cluster", strings.Count(secrets, "\n"))
	}
	ofGroup, other := p.kubeconfigWith(secrets), p.kubeconfigWith(static)
	p.expectUser(ofGroup, "system:bootstrappers:workers")
	p.awaitCan(ofGroup, "yes")
	p.awaitCan(other, "no")

	p.do("static-node")
	p.expectUser(p.file("bootstrap.kubeconfig"))
	p.do("first")
	p.awaitCan(other, "yes")
	p.awaitCan(ofGroup, "yes") // nothing is taken from it
	p.joins(p.read("bootstrap.kubeconfig"))
	p.expectUser(p.file("worker-1/bootstrap.kubeconfig"))
	p.joins(p.read("worker-1/bootstrap.kubeconfig"))

	p.do("kubeadm")
	p.expectUser(p.file("worker-2/bootstrap.kubeconfig"), "system:bootstrappers:kubeadm:default-node-token")
	p.do("token")
	p.joins(writtenBy(t, p.read("worker-3.yaml"))["/etc/kubernetes/bootstrap.kubeconfig"])
	p.do("discovery") // how a node joins with it: TestTheGuideToJoiningDoesWhatItSays
	written := writtenBy(t, p.read("worker-4/user-data.yaml"))
	p.expectUser(p.kubeconfigWith(written["/etc/kubernetes/bootstrap.token"]))
	if hash := p.do("hash"); !strings.Contains(written["/etc/bootstrap-agent/config.yaml"], strings.TrimSpace(hash)) {
		t.Errorf("the node gets another hash than %s", hash)
	}
	for name := range p.blocks {
		t.Errorf("%s: nothing has run the block %q", joinConfigPage, name)
	}
}
