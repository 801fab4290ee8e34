package machine

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main(m, func() (func(), error) { return func() {}, nil })
}

func TestAMachineBootsIsReachedAndKeepsItsDisk(t *testing.T) {
	t.Parallel()
	m := Boot(t, Options{Prepare: func(root string) {
		WriteTo(t, root, "/etc/systemd/system/hello.service", "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/echo hello\n[Install]\nWantedBy=multi-user.target\n", 0o644)
		must(t, os.Symlink("/etc/systemd/system/hello.service", root+"/etc/systemd/system/multi-user.target.wants/hello.service"))
	}})
	if state := m.State(); state != "running" {
		t.Errorf("it is %q: %s", state, m.try("systemctl", "--failed"))
	}
	if said := m.Journal("hello.service"); !strings.Contains(said, "hello") {
		t.Errorf("the journal has %q", said)
	}
	outside, err := net.Listen("tcp", net.JoinHostPort(Gateway.String(), "0"))
	must(t, err)
	defer outside.Close()
	_, port, _ := net.SplitHostPort(outside.Addr().String())
	m.Run("bash", "-c", "echo hello >/dev/tcp/"+Gateway.String()+"/"+port)
	m.Write("/var/lib/kept", "kept", 0o600)
	begin := time.Now()
	m.CutPower()
	m.Start()
	m.AwaitBoot(bootLimit)
	t.Logf("power cut and boot: %s", time.Since(begin))
	if m.Read("/var/lib/kept") != "kept" {
		t.Error("the disk forgot")
	}
}

func TestAMachineCanHaveCgroupsOfVersion2(t *testing.T) {
	t.Parallel()
	m := Boot(t, Options{CgroupV2: true})
	if kind := m.Run("stat", "-fc", "%T", "/sys/fs/cgroup"); !strings.Contains(kind, "cgroup2fs") {
		t.Errorf("/sys/fs/cgroup is %s", kind)
	}
}
