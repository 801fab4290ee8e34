package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// docsFolder is where the page and its pictures are.
const docsFolder = "../../docs"

// TestThePageAboutTheFleetIsWhatTheSimulationSays writes or checks docs/fleet.md. A run without all of the fleet has other numbers than
// the page: it shows that the code is still the one that the page is about, by the fingerprint of the part that every run simulates.
func TestThePageAboutTheFleetIsWhatTheSimulationSays(t *testing.T) {
	t.Parallel()
	parts := map[string]string{"fingerprint": fingerprint(thePart())}
	pictures := map[string]string{"fleet-rotation.svg": "", "fleet-outage.svg": "", "fleet-denied.svg": ""}
	if wholeFleetToo() {
		f := theWhole()
		parts["rotation"], parts["outage"], parts["days"], parts["lives"] = f.rotationTable(), f.outageTable(), f.dayTable(), f.livesTable()
		pictures["fleet-rotation.svg"], pictures["fleet-outage.svg"], pictures["fleet-denied.svg"] = f.rotationPicture(), f.outagePicture(), f.deniedPicture()
	}
	page := readDocs(t, "fleet.md")
	for name, want := range parts {
		page = replacePart(t, page, name, want)
	}
	expectDocs(t, "fleet.md", page)
	for name, want := range pictures {
		if !strings.Contains(page, "]("+name+")") {
			t.Errorf("the page does not show %s", name)
		}
		if want != "" {
			expectDocs(t, name, want)
		}
		expectXML(t, name)
	}
}

func readDocs(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(docsFolder, name))
	if err != nil && os.Getenv("UPDATE_DOCS") == "" {
		t.Fatal(err)
	}
	return string(content)
}

func expectDocs(t *testing.T, name, want string) {
	t.Helper()
	if readDocs(t, name) == want {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		t.Errorf("docs/%s is not what the simulation says; write it with: UPDATE_DOCS=1 go test -run Fleet ./internal/agent", name)
		return
	}
	must(t, os.WriteFile(filepath.Join(docsFolder, name), []byte(want), 0o644))
}

func expectXML(t *testing.T, name string) {
	t.Helper()
	for decoder := xml.NewDecoder(strings.NewReader(readDocs(t, name))); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("docs/%s: %v", name, err)
		}
	}
}

// replacePart puts want between the markers of a part of the page.
func replacePart(t *testing.T, page, name, want string) string {
	t.Helper()
	before, rest, found := strings.Cut(page, "<!-- fleet "+name+": ")
	marker, rest, found2 := strings.Cut(rest, "-->\n")
	_, after, found3 := strings.Cut(rest, "<!-- end of fleet "+name+" -->")
	if !found || !found2 || !found3 {
		t.Fatalf("docs/fleet.md has no markers for %s", name)
	}
	return before + "<!-- fleet " + name + ": " + marker + "-->\n" + want + "<!-- end of fleet " + name + " -->" + after
}

// fingerprint differs when any number of the simulation does.
func fingerprint(f fleetNumbers) string {
	sum := sha256.New()
	for _, s := range f.spreads {
		fmt.Fprintln(sum, s, s.bins.count)
	}
	for _, c := range f.comebacks {
		fmt.Fprintln(sum, c, c.bins.count)
	}
	for _, d := range f.days {
		fmt.Fprintln(sum, d)
	}
	for _, l := range f.lives {
		fmt.Fprintln(sum, l)
	}
	return fmt.Sprintf("Fingerprint: `%s`\n", hex.EncodeToString(sum.Sum(nil)[:8]))
}

func (f fleetNumbers) rotationTable() string {
	table := "| lifetime | nodes | bins of | least | mean | fullest | fullest / mean | limit | kubelet, fullest / mean |\n|---|---|---|---|---|---|---|---|---|\n"
	for _, s := range f.spreads {
		t := s.bins.tally()
		table += fmt.Sprintf("| %s | %s | %s | %d | %.0f | %d | **%.2f** | %.1f | %.2f |\n", lifeText(s.life), grouped(t.sum), s.bins.width.Round(time.Second), t.least, t.mean(), t.most,
			s.bins.fullest(), s.most, s.kubelet.fullest())
	}
	return table
}

func (f fleetNumbers) outageTable() string {
	table := "| how the outage came | back within 5 minutes | least | mean | fullest | fullest / mean | limit | the last after | kubelet, fullest / mean |\n|---|---|---|---|---|---|---|---|---|\n"
	for _, c := range f.comebacks {
		t, kubelet := c.bins.tally(), "–"
		if c.kubelet != nil {
			kubelet = fmt.Sprintf("%.1f", c.kubelet.fullest())
		}
		table += fmt.Sprintf("| %s | %s of %s | %d | %.0f | %d | **%.2f** | 5 | %s | %s |\n", c.name, grouped(t.sum), grouped(c.nodes), t.least, t.mean(), t.most, c.bins.fullest(),
			(c.last - away).Round(time.Second), kubelet)
	}
	return table
}

func (f fleetNumbers) dayTable() string {
	table := "| for a day | requests | in a crash loop | API calls | in a crash loop | kubelet: requests | in a crash loop |\n|---|---|---|---|---|---|---|\n"
	for _, d := range f.days {
		kubelet, crashing := "–", "–"
		if d.kubelet {
			kubelet, crashing = d.kubelets.String(), d.crashKubelets.String()
		}
		table += fmt.Sprintf("| %s | **%s** | **%s** | %s | %s | %s | %s |\n", d.name, d.requests, d.crashRequests, d.calls, d.crashAPI, kubelet, crashing)
	}
	return table
}

func (f fleetNumbers) livesTable() string {
	table := "| lifetime | requests | API calls | least time between two | all 100 000 nodes: requests a second | kubelet: requests |\n|---|---|---|---|---|---|\n"
	for _, l := range f.lives {
		table += fmt.Sprintf("| %s | %s | %s | %s | %.3g | %s |\n", lifeText(l.life), l.aDayOf(l.requests), l.aDayOf(l.calls), l.leastGap.Round(time.Second),
			float64(l.requests)/l.days*100_000/aDay.Seconds(), l.aDayOf(l.kubelet))
	}
	return table
}

func (f fleetNumbers) rotationPicture() string {
	var charts []chart
	for _, s := range f.spreads {
		unit, name, every := float64(aDay), "days", 10.0
		if s.life < aDay {
			unit, name, every = float64(time.Minute), "minutes", 1
		}
		first := float64(s.bins.from) / unit
		last := first + float64(s.bins.width)*float64(len(s.bins.count))/unit
		mean := s.bins.tally().mean()
		charts = append(charts, chart{
			title:  fmt.Sprintf("First rotations of %s nodes booted within one minute, certificates of %s", grouped(f.size.spread), lifeText(s.life)),
			x:      "time since the boot of the first node, " + name,
			y:      "rotations per bin",
			xTicks: ticksBetween(first, last, every), yTicks: ticksEvery(mean * s.most * 1.05),
			series: []series{
				{name: "bootstrap-agent", class: "agent", filled: true, points: s.bins.steps(0, unit)},
				{name: "mean", class: "mean", level: mean},
				{name: fmt.Sprintf("limit, %.1f of the mean", s.most), class: "limit", level: mean * s.most},
			},
		})
	}
	return drawCharts(charts...)
}

func (f fleetNumbers) outagePicture() string {
	refused, lost := f.comebacks[0], f.comebacks[1]
	mean := refused.bins.tally().mean()
	return drawCharts(chart{
		title:  fmt.Sprintf("%s nodes come back to an API server that was away for two hours", grouped(refused.nodes)),
		x:      "time since the API server is back, seconds",
		y:      "nodes in 3 s",
		xTicks: ticksBetween(0, comebackWindow.Seconds(), 30), yTicks: ticksEvery(float64(refused.kubelet.tally().most)),
		series: []series{
			{name: "bootstrap-agent, connections refused", class: "agent", filled: true, points: refused.bins.steps(float64(away), float64(time.Second))},
			{name: "time-outs", class: "other", points: lost.bins.steps(float64(away), float64(time.Second))},
			{name: "kubelet", class: "kubelet", points: refused.kubelet.steps(float64(away), float64(time.Second))},
			{name: "mean", class: "mean", level: mean},
			{name: "limit, 5 times the mean", class: "limit", level: 5 * mean},
		},
	})
}

func (f fleetNumbers) deniedPicture() string {
	denied, failed := f.days[0], f.days[2]
	var kubelet []time.Duration
	k := simKubelet{dice: newDice(5), verdict: denyAll, created: func(at time.Duration) { kubelet = append(kubelet, at) }, called: func(time.Duration) {}}
	k.live(0, aDay)
	return drawCharts(chart{
		title:  "Requests that one node makes in a day in which each of them is denied, or failed by the signer",
		x:      "hours",
		y:      "requests so far",
		xTicks: ticksBetween(0, 24, 3), yTicks: []tick{{1, "1"}, {10, "10"}, {100, "100"}, {1000, grouped(1000)}, {10_000, grouped(10_000)}}, log: true,
		series: []series{
			{name: "bootstrap-agent, denied", class: "agent", points: soFar(denied.times)},
			{name: "bootstrap-agent, failed", class: "other", points: soFar(failed.times)},
			{name: "kubelet, either", class: "kubelet", points: soFar(kubelet)},
			{name: "limit, 10", class: "limit", level: 10},
		},
	})
}

// soFar are the steps of a count that grows by one at each of the times, within a day.
func soFar(times []time.Duration) []point {
	var points []point
	every := max(1, len(times)/300) // no more than can be seen
	for i := 0; i < len(times); i += every {
		points = append(points, point{times[i].Hours(), float64(i + 1)})
	}
	return append(points, point{24, float64(len(times))})
}

// ticksBetween makes ticks at the multiples of a step that lie between two numbers, with a begin and an end that have none.
func ticksBetween(first, last, every float64) []tick {
	ticks := []tick{{first, ""}}
	for at := every; at < last+every/1e6; at += every {
		if at >= first {
			ticks = append(ticks, tick{at, fmt.Sprintf("%.0f", at)})
		}
	}
	if ticks[len(ticks)-1].at < last {
		ticks = append(ticks, tick{last, ""})
	}
	if first == 0 {
		ticks[0].text = "0"
	}
	return ticks
}
