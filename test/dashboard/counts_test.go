package dashboard

import (
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// count says how many of the certificates of the nodes that are heard from are so.
func count(nodes []*node, is func(kind string, c status.CertificateStanding) bool) float64 {
	found := 0.0
	for _, n := range nodes {
		for _, kind := range []string{"client", "serving"} {
			if n.name != silentNode && is(kind, *n.certificate(kind)) {
				found++
			}
		}
	}
	return found
}

func countNodes(nodes []*node, is func(status.Standing) bool) float64 {
	found := 0.0
	for _, n := range nodes {
		if n.name != silentNode && is(n.standing) {
			found++
		}
	}
	return found
}

// between is for certificates of a kind that were issued and have this much time left.
func between(certificate string, from, to time.Duration) func(string, status.CertificateStanding) bool {
	return func(kind string, c status.CertificateStanding) bool {
		left := c.NotAfter.Sub(now)
		return kind == certificate && !c.NotAfter.IsZero() && !c.SelfSigned && left >= from && left < to
	}
}

const ages = 100 * 365 * day

// shown is what panels of the fleet's dashboard must show, counted without Prometheus; the query is named by its legend.
func shown(nodes []*node) []struct {
	panel, legend string
	want          float64
} {
	type row = struct {
		panel, legend string
		want          float64
	}
	overdue := func(_ string, c status.CertificateStanding) bool {
		return !c.RotateAt.IsZero() && c.RotateAt.Before(now.Add(-10*time.Minute))
	}
	share := func(from, to float64) func(string, status.CertificateStanding) bool {
		return func(_ string, c status.CertificateStanding) bool {
			left := float64(c.NotAfter.Sub(now)) / float64(c.NotAfter.Sub(c.NotBefore))
			return !c.NotAfter.IsZero() && left >= from && left < to
		}
	}
	waits := func(_ string, c status.CertificateStanding) bool { return !c.PendingSince.IsZero() }
	return []row{
		{"Nodes", "Nodes", float64(len(nodes) - 1)},
		{"Ready", "Ready", countNodes(nodes, func(s status.Standing) bool { return s.NotReady == "" })},
		{"Not ready", "Not ready", countNodes(nodes, func(s status.Standing) bool { return s.NotReady != "" })},
		{"Not heard from", "Not heard from", 1},
		{"Expired certificates", "Expired certificates", count(nodes, share(-1e9, 0))},
		{"Requests waiting", "Requests waiting", count(nodes, waits)},
		{"On a placeholder", "On a placeholder", count(nodes, func(_ string, c status.CertificateStanding) bool { return c.SelfSigned })},
		{"Overdue rotations", "Overdue rotations", count(nodes, overdue)},
		{"Credentials on disk", "Credentials on disk", countNodes(nodes, func(s status.Standing) bool { return s.BootstrapToken })},
		{"Kubelets to restart", "Kubelets to restart", countNodes(nodes, func(s status.Standing) bool { return len(s.Restart) > 0 })},
		{"Identities with another name", "Identities with another name", countNodes(nodes, func(s status.Standing) bool { return s.NodeNameMismatch })},
		{"Client certificates by time left", "expired", count(nodes, between("client", -ages, 0))},
		{"Client certificates by time left", "< 1 day", count(nodes, between("client", 0, day))},
		{"Client certificates by time left", "1 – 7 days", count(nodes, between("client", day, 7*day))},
		{"Client certificates by time left", "7 – 30 days", count(nodes, between("client", 7*day, 30*day))},
		{"Client certificates by time left", "30 – 90 days", count(nodes, between("client", 30*day, 90*day))},
		{"Client certificates by time left", "≥ 90 days", count(nodes, between("client", 90*day, ages))},
		{"Serving certificates by time left", "1 – 7 days", count(nodes, between("serving", day, 7*day))},
		{"Serving certificates by time left", "≥ 90 days", count(nodes, between("serving", 90*day, ages))},
		{"Certificates by share of life left", "10 – 30 %", count(nodes, share(0.1, 0.3))},
		{"Certificates by share of life left", "30 – 60 %", count(nodes, share(0.3, 0.6))},
		{"Certificates by share of life left", "≥ 60 %", count(nodes, share(0.6, 2))},
		{"Planned rotations", "within 7 days", count(nodes, func(_ string, c status.CertificateStanding) bool {
			return !c.RotateAt.Before(now.Add(day)) && c.RotateAt.Before(now.Add(7*day))
		})},
	}
}

// countsAgree compares what the panels show with what was counted.
func countsAgree(t *testing.T, server *prometheus.Server, nodes []*node) {
	t.Helper()
	zeros := 0
	queries := load(t, fleetBoard).queries()
	for _, row := range shown(nodes) {
		found := 0
		for _, q := range queries {
			if q.panel.Title != row.panel || q.LegendFormat != row.legend {
				continue
			}
			found++
			for _, nodeLabel := range []string{"node", "instance"} {
				answer := ask(t, server, q, everything(nodeLabel))
				if len(answer) != 1 || answer[0].Value() != row.want {
					t.Errorf("%s, %s, nodes by %s: %v, expected %v", row.panel, row.legend, nodeLabel, answer, row.want)
				}
			}
		}
		if found != 1 {
			t.Errorf("%d queries are called %s, %s", found, row.panel, row.legend)
		}
		if row.want == 0 {
			zeros++
			t.Logf("%s, %s: 0", row.panel, row.legend)
		}
	}
	if zeros > 3 {
		t.Errorf("of %d counts %d are 0: the fleet shows too little", len(shown(nodes)), zeros)
	}
}

// troublesOf are the lines of the table of what is wrong, by node.
func troublesOf(tb testing.TB, server *prometheus.Server) map[string][]string {
	tb.Helper()
	found := map[string][]string{}
	for _, q := range load(tb, fleetBoard).queries() {
		if q.panel.Title == "What is wrong, by node" {
			for _, s := range ask(tb, server, q, everything("node")) {
				found[s.Labels["node"]] = append(found[s.Labels["node"]], s.Labels["what"])
			}
		}
	}
	return found
}
