package deploy

import (
	"slices"
	"strings"
	"testing"
)

// The lines that other parts, and users, go by. What they do is shown on booted machines, where waits of a minute are shortened.
func TestTheUnitSaysHowTheAgentIsWatchedAndStartedAgain(t *testing.T) {
	t.Parallel()
	lines := strings.Split(shipped(t, "systemd/"+agentUnit), "\n")
	for _, want := range []string{
		"Type=notify", "NotifyAccess=main", "TimeoutStartSec=60s", "WatchdogSec=60s", "Restart=always", "RestartSec=5s", "StartLimitIntervalSec=0",
		"RuntimeDirectory=bootstrap-agent", "RuntimeDirectoryPreserve=yes", "WantedBy=multi-user.target",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %s", want)
		}
	}
}

// A kubelet that requires the agent is stopped and restarted with it.
func TestTheKubeletWantsTheAgentAndIsNotBoundToIt(t *testing.T) {
	t.Parallel()
	lines := strings.Split(shipped(t, "systemd/kubelet.service.d/20-bootstrap-agent.conf"), "\n")
	for _, want := range []string{"Wants=" + agentUnit, "After=" + agentUnit, "Restart=always", "RestartSec=5s", "StartLimitIntervalSec=0"} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %s", want)
		}
	}
	for _, line := range lines {
		for _, bound := range []string{"Requires=", "Requisite=", "BindsTo=", "PartOf="} {
			if strings.HasPrefix(line, bound) {
				t.Errorf("the kubelet ends with the agent: %s", line)
			}
		}
	}
}
