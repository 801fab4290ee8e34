package doctor

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/unit"
)

// serviceChecks are about systemd: that the agent runs, may write where it must, and comes before the kubelet.
func serviceChecks() []Check {
	return []Check{
		{"agent-service", "Whether the agent runs, and is installed, enabled and not masked.", agentService},
		{"sandbox", "Whether the agent's unit, with its drop-ins, starts it with these settings and lets it use their paths.", sandbox},
		{"kubelet-service", "Whether the kubelet's unit starts it after the agent, lets it go on without it, and starts it again when it ends.", kubeletService},
	}
}

func agentService(_ context.Context, p *Patient) []Result {
	s := p.readService(unit.Name)
	found := p.running(s)
	switch {
	case !exists(p.path("/run/systemd/system")):
		return append(found, unknown("this machine was not booted with systemd: what starts the agent cannot be told").with("see that something starts bootstrap-agent run before the kubelet", ""))
	case s.masked:
		return append(found, broken("%s is masked (%s): systemd never starts it", unit.Name, s.file).with(asRoot, "systemctl unmask "+unit.Name+" && systemctl enable --now "+unit.Name))
	case s.file == "":
		return append(found, attention("%s is not installed: nothing starts the agent at boot", unit.Name).with("install the package (docs/packages.md)", ""))
	case !p.enabled(unit.Name) && !slices.Contains(p.readService(kubeletUnit).words("Unit.Wants"), unit.Name):
		return append(found, attention("%s is not enabled: nothing starts it at boot", unit.Name).with(asRoot, "systemctl enable --now "+unit.Name))
	}
	return append(found, ok("%s is installed and enabled", s.file))
}

const kubeletUnit = "kubelet.service"

// running is about the process that holds the cert-dir.
func (p *Patient) running(s service) []Result {
	pid, err := certdir.Dir{Path: p.Config.CertDir}.Holder()
	switch {
	case err != nil:
		return one(unknown("whether an agent runs cannot be told: %v", err).with("ask systemd", "systemctl status bootstrap-agent"))
	case pid > 0:
		return one(ok("it runs (pid %d%s)%s", pid, p.since(pid), p.ready()))
	}
	start := startAgent
	if s.file == "" || s.masked {
		start = "bootstrap-agent run"
	}
	if p.Observed.HasIdentity() {
		return one(attention("no agent runs for %s: nothing is rotated", p.Config.CertDir).with(asRoot, start))
	}
	return one(broken("no agent runs for %s: the node gets no identity", p.Config.CertDir).with(asRoot, start))
}

// since says when a process was started, as its folder in /proc tells.
func (p *Patient) since(pid int) string {
	since := node.ProcessOf(p.path(node.Proc), pid).Since
	if since.IsZero() {
		return ""
	}
	return " since " + date(since)
}

// readyMark is there when READY=1 was given in this boot: RuntimeDirectory= of the unit, and the agent's own name for it.
const readyMark = "/run/bootstrap-agent/ready"

func (p *Patient) ready() string {
	if _, err := os.Lstat(p.path(readyMark)); err != nil {
		return ""
	}
	return ", and the kubelet was let start in this boot"
}

// missingOf are the words that a unit lacks in one of its settings.
func missingOf(s service, name string, words ...string) string {
	has := s.words(name)
	var missing []string
	for _, word := range words {
		if !slices.Contains(has, word) {
			missing = append(missing, word)
		}
	}
	return strings.Join(missing, " ")
}
