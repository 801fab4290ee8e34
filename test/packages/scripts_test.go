package packages

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// What systemctl is told, word by word. Nothing may wait for a start, and nothing may name the kubelet.
const (
	reload  = "--system daemon-reload"
	start   = "--no-block start bootstrap-agent.service"
	restart = "--no-block try-restart bootstrap-agent.service"
	stop    = "stop bootstrap-agent.service"
)

// format is a kind of package, with the commands of a person.
type format struct {
	name                     string
	install, upgrade, remove []string
}

func formats(t *testing.T) []format {
	t.Helper()
	d, r := "/mnt/packages/"+filepath.Base(deb(t, runtime.GOARCH)), "/mnt/packages/"+filepath.Base(rpm(t, runtime.GOARCH))
	return []format{
		{"deb", []string{"dpkg", "--install", d}, []string{"dpkg", "--install", d}, []string{"dpkg", "--remove", "bootstrap-agent"}},
		// Debian's rpm knows nothing of Debian's systemd.
		{"rpm", []string{"rpm", "--install", "--nodeps", r}, []string{"rpm", "--upgrade", "--nodeps", "--replacepkgs", r}, []string{"rpm", "--erase", "bootstrap-agent"}},
	}
}

// each runs a test with both formats, each in an image of its own.
func each(t *testing.T, test func(i *image, f format)) {
	t.Helper()
	t.Parallel()
	for _, f := range formats(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			i := newImage(t)
			i.systemd = true
			test(i, f)
		})
	}
}

// expect holds what systemctl was told since the last time against what it should have been.
func (i *image) expect(what string, want ...string) {
	i.t.Helper()
	if got := i.told(); !slices.Equal(got, want) {
		i.t.Errorf("%s: systemctl was told %q, expected is %q", what, got, want)
	}
}

func (i *image) isEnabled(what, want string) {
	i.t.Helper()
	if got := i.enabled(); got != want {
		i.t.Errorf("%s: the unit is %s, expected is %s", what, got, want)
	}
}

func (i *image) configure() {
	i.t.Helper()
	i.write("/etc/kubernetes/bootstrap.kubeconfig", "a credential", 0o600)
}

func TestAnImageGetsTheUnitEnabledAndNothingIsStarted(t *testing.T) {
	each(t, func(i *image, f format) {
		i.systemd = false
		i.configure()
		i.must(f.install...)
		i.isEnabled("in an image", "enabled")
		i.must(f.upgrade...)
		i.isEnabled("after an upgrade", "enabled")
		i.must(f.remove...)
		if told := i.told(); slices.ContainsFunc(told, func(s string) bool { return s != reload }) {
			i.t.Errorf("systemctl was told %q where systemd does not run", told)
		}
	})
}

func TestAnUnconfiguredUnitIsEnabledAndNotStarted(t *testing.T) {
	each(t, func(i *image, f format) {
		i.must(f.install...)
		i.expect("installation", reload)
		i.isEnabled("unconfigured", "enabled")
	})
}

func TestAConfiguredUnitIsStartedWithoutWaitingAndAnUpgradeOnlyRestartsWhatRuns(t *testing.T) {
	each(t, func(i *image, f format) {
		i.configure()
		i.must(f.install...)
		i.expect("installation", reload, start)
		i.must(f.upgrade...)
		i.expect("upgrade", reload, restart)
		i.must(f.upgrade...)
		i.expect("second upgrade", reload, restart)
	})
}

func TestAUnitThatThePersonDisabledStaysSoOverUpgrades(t *testing.T) {
	each(t, func(i *image, f format) {
		i.configure()
		i.must(f.install...)
		i.must("systemctl", "disable", "bootstrap-agent.service")
		i.told()
		i.must(f.upgrade...)
		i.expect("upgrade", reload, restart)
		i.isEnabled("after an upgrade", "disabled")
	})
}

func TestAMaskedUnitIsNeitherStartedNorUnmasked(t *testing.T) {
	each(t, func(i *image, f format) {
		i.configure()
		i.must("systemctl", "mask", "bootstrap-agent.service")
		i.must(f.install...)
		i.expect("installation", reload)
		i.isEnabled("masked", "masked")
		i.must(f.upgrade...)
		i.isEnabled("masked, after an upgrade", "masked")
	})
}

func TestAPresetOfThePersonGoesBeforeThatOfThePackage(t *testing.T) {
	each(t, func(i *image, f format) {
		i.configure()
		i.write("/etc/systemd/system-preset/00-mine.preset", "disable bootstrap-agent.service\n", 0o644)
		i.must(f.install...)
		i.expect("installation", reload)
		i.isEnabled("with a preset that disables it", "disabled")
	})
}

func TestThePackageEnablesTheUnitWhereEverythingElseIsDisabled(t *testing.T) {
	each(t, func(i *image, f format) {
		i.write("/usr/lib/systemd/system-preset/99-default-disable.preset", "disable *\n", 0o644)
		i.must(f.install...)
		i.isEnabled("with the presets of Fedora", "enabled")
	})
}

func TestAPolicyThatForbidsStartsIsAsked(t *testing.T) {
	t.Parallel()
	i, f := newImage(t), formats(t)[0]
	i.systemd = true
	i.configure()
	i.write("/usr/sbin/policy-rc.d", "#!/bin/sh\necho \"$1 $2\" >>/var/tmp/asked\nexit 101\n", 0o755)
	i.must(f.install...)
	i.must(f.upgrade...)
	i.expect("installation and upgrade", reload, reload)
	asked, err := os.ReadFile(i.path("/var/tmp/asked"))
	must(t, err)
	if want := "bootstrap-agent.service start\nbootstrap-agent.service restart\n"; string(asked) != want {
		t.Errorf("policy-rc.d was asked %q, expected is %q", asked, want)
	}
	i.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 104\n", 0o755)
	i.must(f.upgrade...)
	i.expect("upgrade with a policy that allows it", reload, restart)
}

func TestFoldersAreMadeWhereTheyAreMissingAndLeftAsTheyAreElsewhere(t *testing.T) {
	each(t, func(i *image, f format) {
		i.must(f.install...)
		for path, want := range map[string]string{"/etc/kubernetes": "drwxr-xr-x", "/var/lib/kubelet": "drwxr-x---", "/etc/bootstrap-agent": "drwxr-xr-x"} {
			info, err := os.Stat(i.path(path))
			must(i.t, err)
			if info.Mode().String() != want {
				i.t.Errorf("%s is %s, expected is %s", path, info.Mode(), want)
			}
		}
		must(i.t, os.Chmod(i.path("/etc/kubernetes"), 0o700))
		must(i.t, os.Chmod(i.path("/var/lib/kubelet"), 0o711))
		i.must(f.upgrade...)
		for path, want := range map[string]string{"/etc/kubernetes": "drwx------", "/var/lib/kubelet": "drwx--x--x"} {
			info, err := os.Stat(i.path(path))
			must(i.t, err)
			if info.Mode().String() != want {
				i.t.Errorf("%s was made %s by an upgrade, it was %s", path, info.Mode(), want)
			}
		}
	})
}

// The disk of the kubelet may be mounted later than an image is made.
func TestALinkToADiskThatIsNotMountedIsLeftAlone(t *testing.T) {
	each(t, func(i *image, f format) {
		must(i.t, os.MkdirAll(i.path("/var/lib"), 0o755))
		must(i.t, os.Symlink("/data/kubelet", i.path("/var/lib/kubelet")))
		i.must(f.install...)
		if target, err := os.Readlink(i.path("/var/lib/kubelet")); err != nil || target != "/data/kubelet" {
			i.t.Errorf("%q, %v", target, err)
		}
	})
}

func TestWhatCountsAsConfigured(t *testing.T) {
	t.Parallel()
	common, err := os.ReadFile("../../deploy/packages/common.sh")
	must(t, err)
	configured := func(i *image) string {
		t.Helper()
		return strings.TrimSpace(i.must("/bin/sh", "-c", string(common)+"\nif configured; then echo yes; else echo no; fi"))
	}
	i := newImage(t)
	i.write("/etc/kubernetes/kubelet.conf", "of a kubelet alone", 0o600)
	if said := configured(i); said != "no" {
		t.Errorf("a node without anything is taken for configured: %s", said)
	}
	for _, path := range []string{
		"/etc/bootstrap-agent/config.yaml", "/etc/kubernetes/bootstrap.kubeconfig", "/etc/kubernetes/.bootstrap.kubeconfig.used",
		"/etc/systemd/system/bootstrap-agent.service.d/credential.conf", "/var/lib/kubelet/pki/kubelet-client-current.pem",
		"/var/lib/kubelet/pki/kubelet-client.pending.pem",
	} {
		i := newImage(t)
		i.write(path, "something", 0o600)
		if said := configured(i); said != "yes" {
			t.Errorf("a node with %s is not taken for configured: %s", path, said)
		}
	}
}
