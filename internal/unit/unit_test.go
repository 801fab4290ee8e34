package unit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// shipped are the values of a setting in the unit's section [Service], in order.
func shipped(t *testing.T, setting string) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/systemd/" + Name)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), setting+"="); ok {
			for value := range strings.FieldsSeq(value) {
				values = append(values, strings.TrimPrefix(value, "-")) // which lets it be missing
			}
		}
	}
	return values
}

func TestThePathsAreThoseOfTheShippedUnit(t *testing.T) {
	want := shipped(t, "ReadWritePaths")
	for _, name := range shipped(t, "RuntimeDirectory") {
		want = append(want, "/run/"+name)
	}
	if !slices.Equal(writable, want) {
		t.Errorf("writable are %q, the unit says %q", writable, want)
	}
	for setting, value := range map[string]string{"ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "NoExecPaths": "/"} {
		if got := shipped(t, setting); !slices.Contains(got, value) {
			t.Errorf("the unit has %s=%q: what is said here goes by %q", setting, got, value)
		}
	}
	if mounts := shipped(t, "RequiresMountsFor"); !slices.Equal(mounts, shipped(t, "ReadWritePaths")) {
		t.Errorf("the unit waits for the mounts of %q, and may write to %q", mounts, want)
	}
}

// settings are the defaults with other paths.
func settings(change func(*config.Config)) config.Config {
	cfg := config.Default()
	if change != nil {
		change(&cfg)
	}
	return cfg
}

func TestADropInHasWhatTheUnitLacksAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*config.Config)
		named  []string
		lines  []string
	}{
		{name: "the defaults"},
		{
			name: "a cert-dir elsewhere: the folder above, or one that is made again could not be written", change: func(c *config.Config) { c.CertDir = "/srv/node/pki" },
			lines: []string{"[Unit]", "RequiresMountsFor=/srv/node", "[Service]", "ExecStartPre=+mkdir -p /srv/node", "ReadWritePaths=-/srv/node", "NoExecPaths=-/srv/node"},
		},
		{
			name: "a cert-dir below the root", change: func(c *config.Config) { c.CertDir = "/pki" },
			lines: []string{"[Unit]", "RequiresMountsFor=/pki", "[Service]", "ExecStartPre=+mkdir -p /pki", "ReadWritePaths=-/pki", "NoExecPaths=-/pki"},
		},
		{
			name: "a kubeconfig elsewhere: its folder", change: func(c *config.Config) { c.Kubeconfig = "/srv/kubelet.kubeconfig" },
			lines: []string{"[Unit]", "RequiresMountsFor=/srv", "[Service]", "ExecStartPre=+mkdir -p /srv", "ReadWritePaths=-/srv", "NoExecPaths=-/srv"},
		},
		{
			name: "all three", change: func(c *config.Config) {
				c.CertDir, c.Kubeconfig, c.BootstrapKubeconfig = "/srv/n/pki", "/srv/n/kubelet.kubeconfig", "/opt/n/bootstrap.kubeconfig"
			},
			lines: []string{"[Unit]", "RequiresMountsFor=/opt/n /srv/n", "[Service]", "ExecStartPre=+mkdir -p /opt/n /srv/n", "ReadWritePaths=-/opt/n -/srv/n", "NoExecPaths=-/opt/n -/srv/n"},
		},
		{
			name: "a bootstrap kubeconfig that is kept is only read", change: func(c *config.Config) { c.BootstrapKubeconfig, c.KeepBootstrapKubeconfig = "/opt/b", true },
			lines: []string{"[Unit]", "RequiresMountsFor=/opt/b"},
		},
		{name: "a systemd credential", change: func(c *config.Config) { c.BootstrapKubeconfig = "/run/credentials/bootstrap-agent.service/b" }},
		{
			name: "a discovery token elsewhere: its folder, for it is deleted", change: func(c *config.Config) { c.DiscoveryTokenFile = "/srv/join/token" },
			lines: []string{"[Unit]", "RequiresMountsFor=/srv/join", "[Service]", "ExecStartPre=+mkdir -p /srv/join", "ReadWritePaths=-/srv/join", "NoExecPaths=-/srv/join"},
		},
		{name: "a discovery token beside the kubeconfigs", change: func(c *config.Config) { c.DiscoveryTokenFile = "/etc/kubernetes/discovery.token" }},
		{
			name: "a discovery token that is kept is only read", change: func(c *config.Config) { c.DiscoveryTokenFile, c.KeepBootstrapKubeconfig = "/srv/token", true },
			lines: []string{"[Unit]", "RequiresMountsFor=/srv/token"},
		},
		{name: "a discovery token that is a systemd credential", change: func(c *config.Config) {
			c.DiscoveryTokenFile = "/run/credentials/bootstrap-agent.service/discovery.token"
		}},
		{
			name:   "a discovery file, what it names, and the CA that is followed are only read",
			change: func(c *config.Config) { c.DiscoveryFile, c.CAFile = "/srv/cluster.kubeconfig", "/opt/ca.crt" }, named: []string{"/srv/pki/ca.crt"},
			lines: []string{"[Unit]", "RequiresMountsFor=/opt/ca.crt /srv/cluster.kubeconfig /srv/pki/ca.crt"},
		},
		{
			name: "a CA and what the bootstrap kubeconfig names are only read", change: func(c *config.Config) { c.KubeletClientCAFile = "/srv/ca.crt" }, named: []string{"/opt/token", "/etc/ssl/ca.crt"},
			lines: []string{"[Unit]", "RequiresMountsFor=/opt/token /srv/ca.crt"},
		},
		{
			name:   "a text file elsewhere: its folder, which node_exporter reads",
			change: func(c *config.Config) { c.Textfile = "/var/lib/node_exporter/bootstrap-agent.prom" },
			lines: []string{
				"[Unit]", "RequiresMountsFor=/var/lib/node_exporter", "[Service]", "ExecStartPre=+mkdir -p -m 755 /var/lib/node_exporter",
				"ReadWritePaths=-/var/lib/node_exporter", "NoExecPaths=-/var/lib/node_exporter",
			},
		},
		{
			name:   "a web configuration elsewhere is only read",
			change: func(c *config.Config) { c.WebConfigFile = "/srv/web.yaml" }, lines: []string{"[Unit]", "RequiresMountsFor=/srv/web.yaml"},
		},
		{name: "a web configuration beside the configuration file", change: func(c *config.Config) { c.WebConfigFile = "/etc/bootstrap-agent/web.yaml" }},
		{
			name: "names that systemd would read otherwise", change: func(c *config.Config) { c.CertDir = `/srv/100% $a "b"/pki` },
			lines: []string{
				"[Unit]", `RequiresMountsFor="/srv/100%% $a \"b\""`, "[Service]", `ExecStartPre=+mkdir -p "/srv/100%% $$a \"b\""`, `ReadWritePaths="-/srv/100%% $a \"b\""`, `NoExecPaths="-/srv/100%% $a \"b\""`,
			},
		},
	} {
		if lines := NeedsOf(settings(c.change), c.named...).lines(); !slices.Equal(lines, c.lines) {
			t.Errorf("%s:\n%q, expected\n%q", c.name, lines, c.lines)
		}
	}
}

func TestTheTextSaysWhatNoDropInOfPathsCanMend(t *testing.T) {
	for name, c := range map[string]struct {
		needs Needs
		says  string
	}{
		"nothing":                     {NeedsOf(settings(nil)), "Nothing is needed"},
		"a home":                      {NeedsOf(settings(func(c *config.Config) { c.BootstrapKubeconfig = "/root/bootstrap.kubeconfig" })), "/root/bootstrap.kubeconfig has to lie elsewhere"},
		"a temporary folder":          {NeedsOf(settings(func(c *config.Config) { c.CertDir = "/var/tmp/pki" })), "/var/tmp/pki has to lie elsewhere"},
		"a web configuration at home": {NeedsOf(settings(func(c *config.Config) { c.WebConfigFile = "/root/web.yaml" })), "/root/web.yaml has to lie elsewhere"},
		"a text file in /tmp":         {NeedsOf(settings(func(c *config.Config) { c.Textfile = "/tmp/a.prom" })), "/tmp/a.prom has to lie elsewhere"},
		"an exec credential plugin":   {Needs{Exec: "/usr/bin/aws"}, "cp " + ExecDropIn + " /etc/systemd/system/" + Name + ".d/"},
		"a file elsewhere, and exec":  {Needs{Exec: "aws", Write: []string{"/srv"}}, "As root: put this into " + DropIn},
	} {
		text := c.needs.Text()
		if !strings.Contains(text, c.says) || strings.Contains(text, "Nothing is needed") != (name == "nothing") {
			t.Errorf("%s: %q, expected a word about %q", name, text, c.says)
		}
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") && !slices.Contains(c.needs.lines(), strings.TrimSpace(line)) {
				t.Errorf("%s: the line %q is neither a comment nor the drop-in's", name, line)
			}
		}
	}
}

// What counts is where a path leads.
func TestLinksAreFollowed(t *testing.T) {
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	inside, elsewhere := filepath.Join(top, "inside"), filepath.Join(top, "elsewhere")
	for _, folder := range []string{inside, elsewhere} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{inside + "/away": elsewhere, top + "/way-in": inside} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]bool{
		inside: true, inside + "/pki/not/there": true, inside + "/away/pki": false, elsewhere: false, top + "/way-in/pki": true, top: false, inside + "x": false,
	} {
		if got := below(path, []string{inside}); got != want {
			t.Errorf("%s is below %s: %v", path, inside, got)
		}
		if got := below(path, []string{top + "/way-in"}); got != want {
			t.Errorf("%s is below %s/way-in, a link there: %v", path, top, got)
		}
	}
}

func TestAWriteThatTheUnitForbidsComesWithTheDropIn(t *testing.T) {
	cfg := settings(func(c *config.Config) { c.CertDir = "/srv/node/pki" })
	refused := func(durable.Op) error { return &os.PathError{Op: "open", Path: "x", Err: syscall.EROFS} }
	disk := durable.Disk{Before: refused, ReadOnly: Remedy(cfg)}
	outside := durable.WithRemedy(disk.WriteFile("/srv/node/pki/a", nil, 0o600)).Error()
	for _, text := range []string{"write /srv/node/pki/a: ", "read-only file system", DropIn, "systemctl edit " + Name, "'[Unit]' 'RequiresMountsFor=/srv/node' '[Service]'", "'ReadWritePaths=-/srv/node'", "config check --systemd"} {
		if !strings.Contains(outside, text) {
			t.Errorf("%s\ndoes not say %q", outside, text)
		}
	}
	if strings.ContainsAny(outside, "\n") {
		t.Errorf("%q has more than one line", outside)
	}
	if inside := durable.Remedy(disk.Remove("/etc/kubernetes/bootstrap.kubeconfig")); !strings.HasPrefix(inside, "remount") {
		t.Errorf("where the unit lets it write: %q", inside)
	}
	if usual := durable.Remedy(durable.Disk{Before: refused, ReadOnly: Remedy(settings(nil))}.Remove("/srv/a")); !strings.HasPrefix(usual, "remount") {
		t.Errorf("a path that is none of the settings: %q", usual)
	}
	full := durable.Disk{Before: func(durable.Op) error { return syscall.ENOSPC }, ReadOnly: Remedy(cfg)}
	if remedy := durable.Remedy(full.Remove("/srv/node/pki/a")); !strings.Contains(remedy, "df -i") {
		t.Errorf("a full disk: %q", remedy)
	}
}
