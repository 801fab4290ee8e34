package packages

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const pki = "/var/lib/kubelet/pki"

// identify gives the node an identity as the agent leaves it: the kubelet serves through links.
func (i *image) identify() {
	i.t.Helper()
	now := time.Now()
	for _, kind := range []string{"client", "server"} {
		certificate, key := selfSigned(i.t, now)
		name := "kubelet-" + kind + "-" + now.UTC().Format("2006-01-02-15-04-05") + ".pem"
		i.write(pki+"/"+name, string(certificate)+string(key), 0o600)
		must(i.t, os.Symlink(name, i.path(pki+"/kubelet-"+kind+"-current.pem")))
	}
	for _, name := range []string{"kubelet.crt", "kubelet.key"} {
		must(i.t, os.Symlink("kubelet-server-current.pem", i.path(pki+"/"+name)))
	}
	must(i.t, os.Chmod(i.path(pki), 0o700))
	i.write("/etc/kubernetes/kubelet.kubeconfig", "the kubelet's", 0o600)
}

// assertReal holds what the kubelet serves to be files of their own, and its client certificate to be as it was.
func (i *image) assertReal(what string) {
	i.t.Helper()
	for _, name := range []string{"kubelet.crt", "kubelet.key"} {
		info, err := os.Lstat(i.path(pki + "/" + name))
		if err != nil || info.Mode() != 0o600 {
			i.t.Errorf("%s: %s is %v, %v; a file of its own, 0600, is expected", what, name, info, err)
		}
	}
	if target, err := os.Readlink(i.path(pki + "/kubelet-client-current.pem")); err != nil || !i.has(pki+"/"+target) {
		i.t.Errorf("%s: the client certificate is %q, %v; a kubelet rotates only a link", what, target, err)
	}
	if !i.has("/etc/kubernetes/kubelet.kubeconfig") {
		i.t.Errorf("%s: the kubelet's kubeconfig is gone", what)
	}
}

func (i *image) has(path string) bool {
	_, err := os.Lstat(i.path(path))
	return err == nil
}

func TestARemovalLeavesAKubeletThatGoesOn(t *testing.T) {
	each(t, func(i *image, f format) {
		i.identify()
		i.must(f.install...)
		i.expect("installation beside an identity", reload, start)
		i.write("/etc/bootstrap-agent/config.yaml", "apiVersion: bootstrap-agent.io/v1alpha1\nkind: BootstrapAgentConfiguration\n", 0o644)
		said := i.must(f.remove...)
		i.expect("removal", stop, reload)
		i.assertReal("removal")
		if !strings.Contains(said, "rotateCertificates: true") {
			i.t.Errorf("nobody says that nothing rotates the certificates any more:\n%s", said)
		}
		for _, gone := range []string{"/usr/bin/bootstrap-agent", "/usr/lib/systemd/system/kubelet.service.d/20-bootstrap-agent.conf"} {
			if i.has(gone) {
				i.t.Errorf("%s is still there", gone)
			}
		}
		if !i.has("/etc/bootstrap-agent/config.yaml") {
			i.t.Error("a removal took the person's settings away")
		}
		i.must(f.install...)
		i.expect("installation after a removal", reload, start)
		i.isEnabled("after a removal and an installation", "enabled")
	})
}

func TestARemovalSucceedsAlsoWhenTheLinksCannotBeReplaced(t *testing.T) {
	each(t, func(i *image, f format) {
		i.identify()
		i.must(f.install...)
		i.write("/etc/bootstrap-agent/config.yaml", "no: settings\n", 0o644)
		said := i.must(f.remove...)
		if !strings.Contains(said, "are as they were") || !strings.Contains(said, "config.yaml") {
			i.t.Errorf("nobody says why:\n%s", said)
		}
		if target, err := os.Readlink(i.path(pki + "/kubelet.crt")); err != nil || target != "kubelet-server-current.pem" {
			i.t.Errorf("kubelet.crt leads to %q, %v", target, err)
		}
	})
}

func TestAPurgeTakesTheSettingsAndLeavesTheNodesIdentity(t *testing.T) {
	t.Parallel()
	i, f := newImage(t), formats(t)[0]
	i.systemd = true
	i.identify()
	i.must(f.install...)
	i.write("/etc/bootstrap-agent/config.yaml", "apiVersion: bootstrap-agent.io/v1alpha1\nkind: BootstrapAgentConfiguration\n", 0o644)
	i.must("dpkg", "--purge", "bootstrap-agent")
	i.assertReal("purge")
	if said, _ := i.run("dpkg", "--status", "bootstrap-agent"); !strings.Contains(said, "not installed") {
		t.Errorf("dpkg still knows it:\n%s", said)
	}
	said := i.must("find", "/etc", "/usr", "/var/lib/systemd", "/var/lib/dpkg", "-name", "*bootstrap-agent*")
	if strings.TrimSpace(said) != "" {
		t.Errorf("a purge leaves:\n%s", said)
	}
}

func TestAnInstallationThatFailsInBetweenIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	i, f := newImage(t), formats(t)[0]
	i.systemd = true
	i.configure()
	i.must("dpkg", "--unpack", "/mnt/packages/"+filepath.Base(f.install[len(f.install)-1]))
	i.expect("unpacked only")
	i.must("dpkg", "--configure", "bootstrap-agent")
	i.isEnabled("configured", "enabled")
}
