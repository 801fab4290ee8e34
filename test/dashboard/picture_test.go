package dashboard

import (
	"os"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

const (
	width, gap = 860.0, 8.0
	inner      = width - 2*gap
)

// begun is a picture of a dashboard with its head; it is finished with </svg>.
func begun(tb testing.TB, server *prometheus.Server, b board, c chosen, height float64, about string) *picture {
	tb.Helper()
	p := &picture{TB: tb, server: server, board: b, chosen: c}
	p.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="%s" height="%s" role="img" aria-label="%s">`, num(width), num(height), num(width), num(height), b.Title)
	p.add("%s", style)
	p.box(0, 0, width, height, "paper")
	p.text(gap+4, 25, "start", "head", b.Title)
	p.text(width-gap-4, 25, "end", "small", about)
	return p
}

// finished is the picture, in which no text lies over another one or beyond the edge.
func (p *picture) finished() string {
	for i, a := range p.texts {
		if a.x < 0 || a.x+a.w > width {
			p.Errorf("a text at %v goes beyond the edge", a)
		}
		for _, b := range p.texts[:i] {
			if a.x < b.x+b.w && b.x < a.x+a.w && a.y < b.y+b.h && b.y < a.y+a.h {
				p.Errorf("the texts at %v and %v overlap", a, b)
			}
		}
	}
	p.add(`</svg>`)
	return p.String()
}

// across draws panels side by side over the whole width.
func (p *picture) across(y, height float64, draw func(area, string), titles ...string) {
	w := (inner - gap*float64(len(titles)-1)) / float64(len(titles))
	for i, title := range titles {
		draw(area{gap + float64(i)*(w+gap), y, w, height}, title)
	}
}

func (p *picture) graphs(legend float64) func(area, string) {
	return func(a area, title string) { p.graph(a, title, legend) }
}

// fleetPicture is the fleet's dashboard in short.
func fleetPicture(tb testing.TB, server *prometheus.Server) string {
	tb.Helper()
	p := begun(tb, server, load(tb, fleetBoard), everything("node"), 950, "30 days of 60 made-up nodes, drawn from Prometheus' answers to the dashboard's queries")
	p.across(38, 60, p.tile, "Nodes", "Ready", "Not ready", "Not heard from", "Expired certificates")
	p.across(106, 60, p.tile, "Requests waiting", "Longest wait", "Overdue rotations", "Credentials on disk", "Kubelets to restart")
	p.across(174, 170, p.gauges, "Client certificates by time left", "Serving certificates by time left", "Certificates by share of life left")
	p.across(352, 170, p.graphs(110), "Rotations", "Requests waiting over time")
	p.across(530, 190, p.graphs(230), "Failures by phase and reason")
	p.across(728, 214, p.table, "What is wrong, by node")
	return p.finished()
}

// nodePicture is the dashboard of a node in short.
func nodePicture(tb testing.TB, server *prometheus.Server, name string) string {
	tb.Helper()
	p := begun(tb, server, load(tb, nodeBoard), one("node", name), 720, "30 days of "+name+", drawn from Prometheus' answers to the dashboard's queries")
	p.across(38, 60, p.tile, "Ready", "Credential on disk", "Kubelet has reloaded", "Name does not match", "Clock off by")
	y := 106.0
	for _, row := range []string{"Client certificate: the node's identity", "Serving certificate: what the kubelet serves"} {
		p.row = row
		p.text(gap+4, y+18, "start", "title", row)
		w := (inner - 4*gap) / 5
		p.gauge(area{gap, y + 28, w, 60}, "Life left")
		for i, title := range []string{"Expires", "Planned rotation", "Last rotation", "Request has waited"} {
			p.tile(area{gap + float64(i+1)*(w+gap), y + 28, w, 60}, title)
		}
		y += 100
	}
	p.row = ""
	p.across(y+2, 256, p.timeline, "What has been wrong")
	p.across(y+266, 134, p.graphs(150), "Time left")
	return p.finished()
}

// picturesAreDrawn holds the pictures against what Prometheus answers; UPDATE_DOCS=1 writes them.
func picturesAreDrawn(t *testing.T, server *prometheus.Server) {
	t.Helper()
	for file, want := range map[string]string{
		"../../docs/dashboard.svg":      fleetPicture(t, server),
		"../../docs/dashboard-node.svg": nodePicture(t, server, "edge-02"),
	} {
		if len(want) > 60_000 {
			t.Errorf("%s has %d bytes", file, len(want))
		}
		got, err := os.ReadFile(file)
		switch {
		case err == nil && string(got) == want:
		case os.Getenv("UPDATE_DOCS") == "":
			t.Errorf("%s is not what Prometheus answers (%v); write it with: UPDATE_DOCS=1 go test ./test/dashboard", file, err)
		default:
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}
