package deploy

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unit is one that only orders: its [Unit] section and what wants it.
type unit struct{ section, wantedBy string }

// debians is the cloud-init of the root file system itself: 22.4 in Debian 12.
const debians = "cloud-init of Debian with its own units"

// generations are the ways in which cloud-init orders itself: the units of the root file system, and stubs of upstream's templates
// (systemd/*.service.tmpl of 22.4 and 25.1) as they come out for Debian and for RHEL.
var generations = map[string]map[string]unit{
	"no cloud-init": {},
	debians:         nil,
	"cloud-init 22.4 of RHEL": {
		"cloud-init-local.service": {"DefaultDependencies=no\nWants=network-pre.target\nAfter=systemd-remount-fs.service\nBefore=NetworkManager.service network.service network-pre.target firewalld.target shutdown.target\nConflicts=shutdown.target\n", "cloud-init.target"},
		"cloud-init.service":       {"Wants=cloud-init-local.service\nAfter=cloud-init-local.service NetworkManager.service\nBefore=network-online.target systemd-user-sessions.service\n", "cloud-init.target"},
		"cloud-config.service":     {"Wants=network-online.target cloud-config.target\nAfter=network-online.target cloud-config.target\n", "cloud-init.target"},
		"cloud-config.target":      {"Wants=cloud-init-local.service cloud-init.service\nAfter=cloud-init-local.service cloud-init.service\n", ""},
		"cloud-final.service":      {"Wants=network-online.target cloud-config.service\nAfter=network-online.target cloud-config.service rc-local.service\n", "cloud-init.target"},
		"cloud-init.target":        {"After=multi-user.target\n", "multi-user.target"},
	},
	"cloud-init 25.1 of Debian": {
		"cloud-init-main.service":    {"DefaultDependencies=no\nAfter=systemd-remount-fs.service\nBefore=cloud-init-local.service shutdown.target\nConflicts=shutdown.target\n", "cloud-init.target"},
		"cloud-init-local.service":   {"DefaultDependencies=no\nWants=network-pre.target\nBefore=network-pre.target sysinit.target shutdown.target\nConflicts=shutdown.target\n", "cloud-init.target"},
		"cloud-init-network.service": {"DefaultDependencies=no\nWants=cloud-init-local.service\nAfter=cloud-init-local.service systemd-networkd-wait-online.service networking.service\nBefore=network-online.target systemd-user-sessions.service sysinit.target shutdown.target\nConflicts=shutdown.target\n", "cloud-init.target"},
		"cloud-config.service":       {"Wants=network-online.target cloud-config.target\nAfter=network-online.target cloud-config.target\n", "cloud-init.target"},
		"cloud-config.target":        {"Wants=cloud-init-local.service cloud-init-network.service\nAfter=cloud-init-local.service cloud-init-network.service\n", ""},
		"cloud-final.service":        {"Wants=network-online.target cloud-config.service\nAfter=network-online.target time-sync.target cloud-config.service rc-local.service multi-user.target\nBefore=apt-daily.service\n", "cloud-init.target"},
		"cloud-init.target":          {"After=multi-user.target\n", "multi-user.target"},
	},
	"cloud-init 25.1 of RHEL": {
		"cloud-init-main.service":    {"DefaultDependencies=no\nRequires=dbus.socket\nAfter=dbus.socket systemd-remount-fs.service\nBefore=cloud-init-local.service shutdown.target\nConflicts=shutdown.target\n", "cloud-init.target"},
		"cloud-init-local.service":   {"DefaultDependencies=no\nRequires=dbus.socket\nAfter=dbus.socket\nWants=network-pre.target\nBefore=NetworkManager.service network.service network-pre.target firewalld.target shutdown.target\nConflicts=shutdown.target\n", "cloud-init.target"},
		"cloud-init-network.service": {"Wants=cloud-init-local.service\nAfter=cloud-init-local.service NetworkManager.service NetworkManager-wait-online.service\nBefore=network-online.target systemd-user-sessions.service\n", "cloud-init.target"},
		"cloud-config.service":       {"Wants=network-online.target cloud-config.target\nAfter=network-online.target cloud-config.target\n", "cloud-init.target"},
		"cloud-config.target":        {"Wants=cloud-init-local.service cloud-init-network.service\nAfter=cloud-init-local.service cloud-init-network.service\n", ""},
		"cloud-final.service":        {"Wants=network-online.target cloud-config.service\nAfter=network-online.target time-sync.target cloud-config.service rc-local.service\n", "cloud-init.target"},
		"cloud-init.target":          {"After=multi-user.target\n", "multi-user.target"},
	},
}

// cloudInit puts one generation into the image, in place of Debian's.
func (i *image) cloudInit(units map[string]unit) {
	i.t.Helper()
	if units == nil { // its generator would enable the target
		i.enable("cloud-init.target", "multi-user.target")
		return
	}
	for _, pattern := range []string{"cloud-*.service", "cloud-*.target", "cloud-*.socket"} {
		found, err := filepath.Glob(filepath.Join(i.debian, unitFolder, pattern))
		must(i.t, err)
		for _, path := range found {
			if _, replaced := units[filepath.Base(path)]; !replaced {
				i.hide(unitFolder + "/" + filepath.Base(path))
			}
		}
	}
	i.hide("/etc/systemd/system/cloud-init.target.wants") // its links are Debian's
	for name, u := range units {
		service := ""
		if strings.HasSuffix(name, ".service") {
			service = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
		}
		i.write(unitFolder+"/"+name, "[Unit]\n"+u.section+service)
		// not below Debian's folder of links, which is hidden
		if u.wantedBy != "" {
			i.write(unitFolder+"/"+u.wantedBy+".d/wants-"+name+".conf", "[Unit]\nWants="+name+"\n")
		}
	}
}

// everyGeneration runs a test next to each, in an image of its own.
func everyGeneration(t *testing.T, test func(i *image, units map[string]unit)) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(generations)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newImage(t)
			i.cloudInit(generations[name])
			test(i, generations[name])
		})
	}
}

func TestABootHasNoOrderingCycleAndNoLineThatSystemdDoesNotKnow(t *testing.T) {
	t.Parallel()
	everyGeneration(t, func(i *image, _ map[string]unit) {
		if said := i.verify("multi-user.target", agentUnit, "kubelet.service"); said != "" {
			i.t.Errorf("systemd-analyze verify:\n%s", said)
		}
	})
}

// Shown by systemd itself: whoever must be before the agent and asks to be after it makes a cycle.
func TestTheAgentStartsAfterCloudInitWroteItsFilesAndBeforeTheKubelet(t *testing.T) {
	t.Parallel()
	everyGeneration(t, func(i *image, units map[string]unit) {
		if units == nil || len(units) > 0 {
			i.expectCycle(i.filesStage(units), "After="+agentUnit)
		}
		i.expectCycle("local-fs.target", "After="+agentUnit)
		i.expectCycle("kubelet.service", "Before="+agentUnit)
	})
}

// filesStage is the unit that runs write_files.
func (i *image) filesStage(units map[string]unit) string {
	const before, since = "cloud-init.service", "cloud-init-network.service"
	if units == nil {
		if _, err := os.Stat(filepath.Join(i.debian, unitFolder, since)); err != nil {
			return before
		}
	} else if _, old := units[before]; old {
		return before
	}
	return since
}

// Whatever the agent would wait for, the kubelet would wait for, and multi-user.target.
func TestTheAgentWaitsForNothingThatMayNeverCome(t *testing.T) {
	t.Parallel()
	everyGeneration(t, func(i *image, units map[string]unit) {
		afters := []string{"network-online.target", "multi-user.target", "kubelet.service", "containerd.service"}
		if units == nil || len(units) > 0 {
			afters = append(afters, "cloud-config.service", "cloud-final.service", "cloud-init.target")
		}
		for _, after := range afters {
			i.write(dropIn(after), "[Unit]\nAfter="+agentUnit+"\n")
		}
		if said := i.verify("multi-user.target"); said != "" {
			i.t.Errorf("the agent waits for one of %q: told to start after the agent they get:\n%s", afters, said)
		}
	})
}

// expectCycle shows that a line more in a unit's [Unit] section makes a cycle that systemd finds.
func (i *image) expectCycle(unit, line string) {
	i.t.Helper()
	i.with(dropIn(unit), "[Unit]\n"+line+"\n", func() {
		said := i.verify("multi-user.target")
		if !strings.Contains(said, "ordering cycle") || !strings.Contains(said, agentUnit) {
			i.t.Errorf("%s with %s makes no cycle: %q", unit, line, said)
		}
	})
}

func dropIn(unit string) string { return "/etc/systemd/system/" + unit + ".d/test.conf" }

// The two ways in which the unit would go wrong unseen: systemd drops a job, or a line.
func TestACycleAndAMisspeltLineWouldBeFound(t *testing.T) {
	t.Parallel()
	for _, units := range []map[string]unit{nil, generations["cloud-init 25.1 of Debian"], generations["cloud-init 25.1 of RHEL"]} {
		i := newImage(t)
		i.cloudInit(units)
		i.expectCycle(agentUnit, "After=cloud-init.target")
		if _, rhel := units["cloud-init-main.service"]; !rhel || strings.Contains(units["cloud-final.service"].section, "multi-user.target") {
			i.expectCycle(agentUnit, "After=cloud-final.service")
		}
		i.expectCycle(agentUnit, "After=multi-user.target")
	}
	i := newImage(t)
	for line, says := range map[string]string{
		"[Service]\nProtectSytem=strict":            "Unknown key 'ProtectSytem'",
		"[Unit]\nWantedBy=multi-user.target":        "Unknown key 'WantedBy'",
		"[Service]\nSystemCallFilter=@no-such-set":  "@no-such-set",
		"[Service]\nRestart=allways":                "allways",
		"[Service]\nExecStart=\nExecStart=/no/such": "/no/such",
	} {
		i.with(dropIn(agentUnit), line+"\n", func() {
			if said := i.verify(agentUnit); !strings.Contains(said, says) {
				t.Errorf("of %q systemd says %q", line, said)
			}
		})
	}
}
