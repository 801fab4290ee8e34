package dashboard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// troubles are what the fleet's dashboard says of the nodes with incidents, by the beginning of each line.
var troubles = map[string][]string{
	"batch-02":  {"serving: request waits", "serving: rotation overdue"},
	"batch-09":  {"its identity has another name"},
	"batch-14":  {"not heard from"},
	"burst-02":  {"client: expired", "client: rotation overdue", "not ready", "serving: expired", "serving: rotation overdue"},
	"edge-02":   {"its clock is off"},
	"fresh-02":  {"serving: request waits", "serving: self-signed"},
	"fresh-03":  {"client: denied", "not ready"},
	"worker-03": {"the kubelet needs a restart: old_kubelet", "the kubelet serves an older certificate"},
	"worker-07": {"a bootstrap credential"},
}

func troublesAreNamed(t *testing.T, server *prometheus.Server) {
	t.Helper()
	found := troublesOf(t, server)
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if troubles[name] == nil {
			t.Errorf("%s: nothing is wrong with it, and it is said: %q", name, found[name])
		}
	}
	for name, want := range troubles {
		slices.Sort(found[name])
		same := slices.EqualFunc(found[name], want, strings.HasPrefix)
		if !same {
			t.Errorf("%s: it is said: %q, expected lines that begin with %q", name, found[name], want)
		}
	}
}

// nodeIsAlone sees that the node's dashboard shows the chosen node and none beside it.
func nodeIsAlone(t *testing.T, server *prometheus.Server) {
	t.Helper()
	queries := load(t, nodeBoard).queries()
	for _, c := range []struct {
		node, panel, legend string
		want                float64
	}{
		{"fresh-02", "Ready", "Ready", 1},
		{"burst-02", "Ready", "Ready", 0},
		{"burst-02", "Life left", "life left", 0},
		{"fresh-02", "Placeholder", "Placeholder", 1},
		{"batch-05", "Placeholder", "Placeholder", 0},
		{"worker-03", "Kubelet has reloaded", "Kubelet has reloaded", 0},
		{"worker-03", "Kubelet to restart", "Kubelet to restart", 1},
		{"edge-02", "Clock off by", "Clock off by", 95},
		{"batch-11", "Clock off by", "Clock off by", -3},
		{"batch-09", "Name does not match", "Name does not match", 1},
	} {
		found := false
		for _, q := range queries {
			if q.panel.Title != c.panel || q.LegendFormat != c.legend {
				continue
			}
			found = true
			if answer := ask(t, server, q, one("node", c.node)); len(answer) != 1 || answer[0].Value() != c.want {
				t.Errorf("%s of %s: %v, expected %v", c.panel, c.node, answer, c.want)
			}
			break // of the two certificates the client's comes first
		}
		if !found {
			t.Errorf("no query is called %s, %s", c.panel, c.legend)
		}
	}
}

// clusterIsAlone sees that choosing a cluster, and nodes in it, narrows what is counted.
func clusterIsAlone(t *testing.T, server *prometheus.Server, nodes []*node) {
	t.Helper()
	west, edges := 0.0, 0.0
	for _, n := range nodes {
		switch n.pool() {
		case "edge":
			edges++
			west++
		case "burst":
			west++
		}
	}
	for _, q := range load(t, fleetBoard).queries() {
		if q.panel.Title != "Nodes" {
			continue
		}
		c := everything("node")
		c["cluster"] = "west"
		if answer := ask(t, server, q, c); len(answer) != 1 || answer[0].Value() != west {
			t.Errorf("of the cluster west %v nodes are shown, expected %v", answer, west)
		}
		c["node"] = "edge-0[0-9]"
		if answer := ask(t, server, q, c); len(answer) != 1 || answer[0].Value() != edges {
			t.Errorf("of the pool edge %v nodes are shown, expected %v", answer, edges)
		}
		return
	}
	t.Error("there is no panel Nodes")
}

// Whoever scrapes without the shipped configuration has neither a label node nor a label cluster.
func TestNodesWithoutALabelOfTheirOwnAreShownByInstance(t *testing.T) {
	var samples []byte
	for i, name := range []string{"fresh-02", "worker-03"} {
		n := newNode(name, 365*day, uint64(i))
		n.join(begin)
		incidents[name](n)
		samples = n.recorded(t, fmt.Sprintf("instance=%q,job=%q", fmt.Sprintf("10.20.1.%d:10261", i), "node"), begin, begin.Add(3*day)).openMetrics(samples)
	}
	server := prometheus.New(t, prometheus.Options{History: append(samples, "# EOF\n"...), Lookback: scrapeEvery})
	for _, q := range load(t, fleetBoard).queries() {
		switch q.panel.Title {
		case "Nodes":
			answer, err := server.QueryAt(t.Context(), everything("instance").in(q.expr), begin.Add(3*day))
			if err != nil || len(answer) != 1 || answer[0].Value() != 2 {
				t.Errorf("shown are %v nodes (%v), expected 2", answer, err)
			}
		case "What is wrong, by node":
			answer, err := server.QueryAt(t.Context(), everything("instance").in(q.expr), begin.Add(3*day))
			instances := map[string]bool{}
			for _, s := range answer {
				instances[s.Labels["instance"]] = true
			}
			if err != nil || !instances["10.20.1.0:10261"] || !instances["10.20.1.1:10261"] {
				t.Errorf("what is wrong is said of %v (%v)", instances, err)
			}
		}
	}
}
