package deploy

import (
	"strings"
	"testing"
)

const agentSocket = "bootstrap-agent.socket"

// In place and enabled it neither makes a cycle nor holds the agent back.
func TestTheSocketOfTheMetricsIsKnownToSystemdAndFitsIntoABoot(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	i.write(unitFolder+"/"+agentSocket, shipped(t, "systemd/"+agentSocket))
	i.enable(agentSocket, "sockets.target")
	if said := i.verify("multi-user.target", agentUnit, agentSocket); said != "" {
		t.Errorf("systemd-analyze verify:\n%s", said)
	}
	i.with(unitFolder+"/"+agentSocket, strings.Replace(shipped(t, "systemd/"+agentSocket), "ListenStream=", "ListenStreams=", 1), func() {
		if i.verify(agentSocket) == "" {
			t.Error("a wrong line in the socket is not found")
		}
	})
}

// Without it being asked for nobody's connection starts the agent: it is among what a person may put in place.
func TestTheSocketIsNotInstalledWhereSystemdFindsIt(t *testing.T) {
	t.Parallel()
	for line := range strings.Lines(shipped(t, "packages/nfpm.yaml")) {
		if strings.Contains(line, agentSocket) && strings.Contains(line, "dst: /usr/lib/systemd") {
			t.Errorf("%s", line)
		}
	}
}
