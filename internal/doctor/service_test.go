package doctor

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/unit"
)

const (
	agentFile   = "/usr/lib/systemd/system/bootstrap-agent.service"
	agentDropIn = "/etc/systemd/system/bootstrap-agent.service.d/"
	enabledLink = "/etc/systemd/system/multi-user.target.wants/bootstrap-agent.service"
	kubeletFile = "/etc/systemd/system/kubelet.service"
	kubeletDrop = "/usr/lib/systemd/system/kubelet.service.d/20-bootstrap-agent.conf"
)

// file writes one of the machine's, and without takes some away.
func file(path, content string) func(*sick) {
	return func(n *sick) { n.write(path, content, 0o644) }
}

func without(paths ...string) func(*sick) { return func(n *sick) { n.remove(paths...) } }

func serviceIllnesses() []illness {
	noAgent := func(n *sick) { n.noAgent = true }
	gone := (*sick).noIdentity
	exec := func(n *sick) {
		n.write(n.cfg.BootstrapKubeconfig, `{"apiVersion": "v1", "kind": "Config", "current-context": "c", "clusters": [{"name": "c", "cluster": {"server": "`+apiServer+`", "certificate-authority-data": "`+base64Of(n.ca.pem)+`"}}],
"contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], "users": [{"name": "u", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/usr/bin/plugin", "interactiveMode": "Never"}}}]}`, 0o600)
	}
	return []illness{
		{name: "no agent runs beside an identity", make: noAgent, check: "agent-service", verdict: Attention, says: []string{"nothing is rotated", startAgent}},
		{name: "no agent runs", make: both(gone, noAgent), check: "agent-service", verdict: Broken, says: []string{"gets no identity", startAgent}},
		{name: "masked", make: both(without(agentFile), func(n *sick) { n.link("/dev/null", "/etc/systemd/system/bootstrap-agent.service") }), check: "agent-service", verdict: Broken, says: []string{"is masked", "systemctl unmask bootstrap-agent.service"}},
		{name: "not installed", make: without(agentFile), check: "agent-service", verdict: Attention, says: []string{"is not installed", "docs/packages.md"}},
		{name: "not enabled", make: both(without(enabledLink), file(kubeletDrop, "")), check: "agent-service", verdict: Attention, says: []string{"is not enabled", "systemctl enable --now"}},
		{name: "started by the kubelet's drop-in alone", make: without(enabledLink), check: "agent-service", verdict: OK, says: []string{"installed and enabled"}},
		{name: "not booted with systemd", make: without("/run/systemd/system"), check: "agent-service", verdict: Unknown, says: []string{"not booted with systemd"}},

		{name: "a folder that the unit does not let it write", make: func(n *sick) { n.cfg.Kubeconfig = n.path("/srv/kubelet.kubeconfig") }, check: "sandbox", verdict: Broken, says: []string{"/srv", "zzz-paths.conf", restartAgent}},
		{name: "a drop-in that takes the paths away", make: file(agentDropIn+"z.conf", "[Service]\nReadWritePaths=\nReadWritePaths=/var/lib/else\n"), check: "sandbox", verdict: Broken, says: []string{"does not let it write in", "'[Service]' ReadWritePaths=-", "zzz-paths.conf"}},
		{name: "ProtectSystem=full", make: both(file(agentDropIn+"z.conf", "[Service]\nProtectSystem=full\nReadWritePaths=\n")), check: "sandbox", verdict: OK, says: []string{"every path"}},
		{name: "a temporary folder", make: file(agentDropIn+"z.conf", "[Service]\nPrivateTmp=yes\n"), check: "sandbox", verdict: Broken, says: []string{"cannot be seen by the agent", "let it lie elsewhere"}},
		{name: "other flags than doctor's", make: file(agentDropIn+"z.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/bootstrap-agent run --cert-dir=/srv/pki \\\n  --serving=off\n"), check: "sandbox", verdict: Attention, says: []string{"certDir: /srv/pki", "serving: off", "bootstrap-agent doctor --cert-dir=/srv/pki --serving=off"}},
		{name: "other flags, in a variable", make: file(agentDropIn+"z.conf", "[Service]\nEnvironment=OPTS=--cert-dir=/srv/pki\nExecStart=\nExecStart=/usr/bin/bootstrap-agent run $OPTS\n"), check: "sandbox", verdict: Attention, says: []string{"certDir: /srv/pki", "bootstrap-agent doctor --cert-dir=/srv/pki"}},
		{name: "a flag that there is not", make: file(agentDropIn+"z.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/bootstrap-agent run --cert-dirs=/srv/pki\n"), check: "sandbox", verdict: Broken, says: []string{"--cert-dirs", "systemctl edit"}},
		{name: "a setting that is refused", make: file(agentDropIn+"z.conf", "[Service]\nExecStart=\nExecStart=/usr/bin/bootstrap-agent run --serving=perhaps\n"), check: "sandbox", verdict: Broken, says: []string{"exit code 2", "perhaps"}},
		{name: "a credential plugin", make: both(exec, file(agentDropIn+"z.conf", "[Service]\nNoExecPaths=/\n")), check: "sandbox", verdict: Broken, says: []string{"/usr/bin/plugin", "exec-plugin.conf"}},
		{name: "a credential plugin that may be run", make: both(exec, file(agentDropIn+"z.conf", "[Service]\nNoExecPaths=\n")), check: "sandbox", verdict: OK, says: []string{"every path"}},

		{name: "without the drop-in", make: without(kubeletDrop), check: "kubelet-service", verdict: Attention, says: []string{"lacks Wants=bootstrap-agent.service, Restart=always", "StartLimitIntervalSec=0", "90-bootstrap-agent.conf"}},
		{name: "no order at all", make: both(without(kubeletDrop), file(agentDropIn+"z.conf", "[Unit]\nBefore=\n")), check: "kubelet-service", verdict: Attention, says: []string{"After=bootstrap-agent.service"}},
		{name: "tied to the agent", make: file("/etc/systemd/system/kubelet.service.d/30.conf", "[Unit]\nBindsTo=bootstrap-agent.service\n"), check: "kubelet-service", verdict: Attention, says: []string{"BindsTo=", "is stopped with the agent"}},
		{name: "a kubelet that is masked", make: both(without(kubeletFile), func(n *sick) { n.link("/dev/null", kubeletFile) }), check: "kubelet-service", verdict: Attention, says: []string{"is masked", "systemctl unmask kubelet.service"}},
		{name: "another name", make: without(kubeletFile), check: "kubelet-service", verdict: Unknown, says: []string{"is not there", "Wants="}},
	}
}

func TestADropInForPathsHasTheCommandThatMakesIt(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.Kubeconfig = "/srv/kubelet.kubeconfig"
	if got := lets(unit.NeedsOf(cfg), "/srv"); !strings.Contains(got, "bootstrap-agent config check --systemd >"+unit.DropIn) {
		t.Errorf("for what the settings need: %s", got)
	}
	if got := lets(unit.NeedsOf(cfg), "/etc/kubernetes"); strings.Contains(got, "config check") || !strings.Contains(got, "ReadWritePaths=-/etc/kubernetes") {
		t.Errorf("for what was taken from the unit: %s", got)
	}
}

func TestAUnitIsReadAsSystemdReadsIt(t *testing.T) {
	t.Parallel()
	n := &sick{t: t, root: t.TempDir()}
	for path, content := range map[string]string{
		"/usr/lib/systemd/system/a.service":               "# a comment\n[Unit]\nAfter=b.service\\\n  ; a comment within\n  c.service\n[Service]\nExecStart=/bin/a \"one word\" 'two' three\\ words\nReadWritePaths=/a\n[Install]\nWantedBy=x\n",
		"/lib/systemd/system/a.service":                   "[Unit]\nAfter=never\n",
		"/usr/lib/systemd/system/a.service.d/10-a.conf":   "[Service]\nReadWritePaths=/b /c\nRestart=no\n",
		"/usr/lib/systemd/system/a.service.d/20-b.conf":   "[Service]\nReadWritePaths=/never\n",
		"/etc/systemd/system/a.service.d/20-b.conf":       "[Service]\nReadWritePaths=\nReadWritePaths=/d\nReadWritePaths\n",
		"/run/systemd/system/a.service.d/15-c.conf":       "[Service]\nRestart=always\n",
		"/etc/systemd/system/service.d/30-all.conf":       "[Service]\nEnvironment=A=1 'B=2 3'\n",
		"/etc/systemd/system/a.service.d/no-drop-in.text": "[Service]\nRestart=never\n",
	} {
		n.write(path, content, 0o644)
	}
	s := (&Patient{Root: n.root}).readService("a.service")
	for name, want := range map[string][]string{
		"Unit.After": {"b.service", "c.service"}, "Service.ExecStart": {"/bin/a", "one word", "two", "three words"}, "Service.ReadWritePaths": {"/d"},
		"Service.Environment": {"A=1", "B=2 3"}, "Service.Restart": {"no", "always"}, "Service.Nothing": nil,
	} {
		if got := s.words(name); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %q, expected %q", name, got, want)
		}
	}
	if s.last("Service.Restart") != "always" || s.masked || s.file != n.path("/usr/lib/systemd/system/a.service") {
		t.Errorf("%+v", s)
	}
	if s := (&Patient{Root: n.root}).readService("b.service"); s.file != "" || s.masked {
		t.Errorf("a unit that is not there: %+v", s)
	}
	must(t, os.WriteFile(n.path("/etc/systemd/system/a.service"), nil, 0o644))
	if s := (&Patient{Root: n.root}).readService("a.service"); !s.masked {
		t.Errorf("an empty unit is masked: %+v", s)
	}
}

func TestACommandHasItsVariables(t *testing.T) {
	t.Parallel()
	n := &sick{t: t, root: t.TempDir()}
	n.write("/etc/systemd/system/kubelet.service", "[Service]\nEnvironment=\"ARGS=--a=1 --b=2\" ONE=no\nEnvironmentFile=-/etc/default/kubelet\nEnvironmentFile=-/not/there\nExecStart=-/usr/bin/kubelet $ARGS --c=${ONE}/x $NONE --d $FILE\n", 0o644)
	n.write("/etc/default/kubelet", "# set by hand\nONE=\"yes it is\"\nFILE=--e\n", 0o644)
	p := &Patient{Root: n.root}
	want := []string{"/usr/bin/kubelet", "--a=1", "--b=2", "--c=yes it is/x", "--d", "--e"}
	if got := p.commandOf(p.readService("kubelet.service")); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, expected %q", got, want)
	}
	if got := p.commandOf(p.readService("none.service")); got != nil {
		t.Errorf("a unit that is not there starts %q", got)
	}
}
