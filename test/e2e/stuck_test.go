package e2e

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
)

// failOver is a load balancer that goes over to another server: its connections die and do not say so, and new ones are well.
type failOver struct {
	protocol string
	// how the connections die: something in between goes on acknowledging what it takes, or every packet is lost.
	how  string
	dies func(*faultproxy.Proxy) (int, error)
	// both certificates wait through it one after the other; only the client's when it is false and there is no time.
	both bool
}

var failOvers = []failOver{
	{"HTTP/2", "its other end is gone", func(p *faultproxy.Proxy) (int, error) { return p.HalfOpen(), nil }, true},
	{"HTTP/2", "its packets are all lost", (*faultproxy.Proxy).Drop, false},
	{"HTTP/1.1", "its packets are all lost", (*faultproxy.Proxy).Drop, false},
}

// environment has the agent speak the protocol, and unless SOAK is set look after its connections in seconds. That is within 45 s otherwise.
func (f failOver) environment() (variables []string, most time.Duration) {
	if f.protocol == "HTTP/1.1" {
		variables = append(variables, "DISABLE_HTTP2=1")
	}
	if os.Getenv("SOAK") != "" {
		return variables, 45 * time.Second
	}
	return append(variables, "HTTP2_READ_IDLE_TIMEOUT_SECONDS=1", "HTTP2_PING_TIMEOUT_SECONDS=1"), 12 * time.Second // 4 at most, on a machine that has time
}

func TestAWatchOverADeadConnectionIsBegunAgainAndNothingIsAskedForTwice(t *testing.T) {
	for _, f := range failOvers {
		t.Run(fmt.Sprintf("%s, %s", f.protocol, f.how), func(t *testing.T) {
			t.Parallel()
			n := newNode(t, shared(t))
			proxy := n.behind(t)
			recording := proxy.Pass()
			n.bootstrapVia(proxy.URL(), n.staticToken(controlplane.Unapproved))
			variables, _ := f.environment()
			n.through = append([]string{"env"}, variables...)
			d := n.start()
			f.strike(t, n, proxy, recording, csr.Client)
			n.approve(csr.Client)
			n.awaitJoined()
			if f.both || os.Getenv("SOAK") != "" {
				f.strike(t, n, proxy, recording, csr.Serving)
			}
			n.approve(csr.Serving)
			n.awaitServing()
			n.csr(csr.Client) // only one of each
			n.csr(csr.Serving)
			d.awaitStatus("until")
		})
	}
}

// strike has the connection die over which the agent waits for its request, and shows that it goes on over another one.
func (f failOver) strike(t *testing.T, n *node, proxy *faultproxy.Proxy, recording *faultproxy.Recording, kind csr.Kind) {
	t.Helper()
	_, most := f.environment()
	most += 5 * time.Second // the pause before the next watch, and the audit log
	n.expectVerbs(kind, "create", "watch")
	name, before := n.csr(kind).Name, recording.Connections()
	if died, err := f.dies(proxy); died == 0 || err != nil {
		t.Fatalf("%d connections died: %v", died, err)
	}
	dead := time.Now()
	for len(n.verbs(kind)) < 4 {
		if time.Since(dead) > most {
			t.Fatalf("nobody noticed within %s: %v", most, n.verbs(kind))
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("%s: begun again %s after the connection died", kind, time.Since(dead).Round(100*time.Millisecond))
	if verbs := n.verbs(kind); !slices.Equal(verbs, []string{"create", "watch", "get", "watch"}) {
		t.Errorf("it took %v", verbs)
	}
	if after := recording.Connections(); after == before {
		t.Error("no new connection was made")
	}
	n.same(kind, name)
}
