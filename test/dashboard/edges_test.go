package dashboard

import (
	"fmt"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// edges are where one bar ends and the next one begins, in the order of the bars of a panel.
var edges = map[string][]time.Duration{
	"Client certificates by time left":   {0, day, 7 * day, 30 * day, 90 * day},
	"Serving certificates by time left":  {0, day, 7 * day, 30 * day, 90 * day},
	"Certificates by share of life left": {0, 100 * time.Second, 300 * time.Second, 600 * time.Second}, // of 1000 seconds
	"Planned rotations":                  {0, time.Hour, day, 7 * day, 30 * day},
	"Overdue rotations":                  {-10 * time.Minute},
	"Expired certificates":               {0},
}

// standingWith is a node whose certificate has this much time left, or left until its rotation, as far as a panel is concerned.
func standingWith(panel string, left time.Duration) status.Standing {
	c := status.CertificateStanding{NotBefore: now.Add(left - 1000*time.Second), NotAfter: now.Add(left)}
	switch panel {
	case "Planned rotations", "Overdue rotations":
		c = status.CertificateStanding{NotBefore: now.Add(-ages), NotAfter: now.Add(ages), RotateAt: now.Add(left)}
	case "Serving certificates by time left":
		return status.Standing{Serving: c}
	}
	return status.Standing{Client: c}
}

// Each edge has a node a second before it, and one on it; and there is a node with no certificate at all, and one with a placeholder.
func TestEveryBarCountsExactlyWhatItsNameSays(t *testing.T) {
	var samples []byte
	add := func(cluster, name string, standing status.Standing) {
		m := metrics.New(testingclock.NewFakePassiveClock(now), metrics.Build{}, false)
		m.Stands(standing)
		h := &history{labels: fmt.Sprintf("cluster=%q,instance=%q,job=%q,node=%q", cluster, name, "j", name), from: now, series: map[string][]change{}}
		h.scrape(t, m)
		samples = h.openMetrics(samples)
	}
	for panel, at := range edges {
		add(panel, panel+" none", status.Standing{})
		for _, edge := range at {
			add(panel, fmt.Sprint(panel, edge, " before"), standingWith(panel, edge-time.Second))
			add(panel, fmt.Sprint(panel, edge), standingWith(panel, edge))
		}
	}
	add("Serving certificates by time left", "placeholder", status.Standing{
		Serving: status.CertificateStanding{NotBefore: now, NotAfter: now.Add(30 * day), SelfSigned: true},
	})
	server := prometheus.New(t, prometheus.Options{History: append(samples, "# EOF\n"...)})
	asked := 0
	for _, q := range load(t, fleetBoard).queries() {
		at, ok := edges[q.panel.Title]
		if !ok {
			continue
		}
		asked++
		c := everything("node")
		c["cluster"] = q.panel.Title
		bar, last := int(q.RefID[0]-'A'), len(at)
		want := 2.0 // the one on the lower edge, and the one before the upper
		if bar == 0 || bar == last {
			want = 1
		}
		if answer := ask(t, server, q, c); len(answer) != 1 || answer[0].Value() != want {
			t.Errorf("%s, %s: %v, expected %v", q.panel.Title, q.LegendFormat, answer, want)
		}
	}
	if asked != 6+6+5+6+1+1 {
		t.Errorf("%d queries were asked", asked)
	}
}
