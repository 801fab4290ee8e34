package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestABudgetIsBrokenOnlyByMoreThanTheNoise(t *testing.T) {
	most := budget{most: 120}
	ratio := budget{most: 120, ratio: 0.3}
	exactly := budget{exactly: 3}
	quietKubelet := sample{300, 300, 300}
	for _, c := range []struct {
		name           string
		budget         budget
		agent, kubelet sample
		want           verdict
	}{
		{"no budget is no verdict", budget{}, sample{1}, nil, unlimited},
		{"below the limit", most, sample{100, 110, 115}, nil, kept},
		{"on the limit", most, sample{120, 120, 120}, nil, kept},
		{"one slow round in a quick run", most, sample{50, 51, 52, 53, 5000}, nil, kept},
		{"the median over the limit by less than the rounds differ", most, sample{90, 100, 125, 130, 140}, nil, doubtful},
		{"every round a little over the limit, and none like another by much", most, sample{125, 126, 127, 126, 125}, nil, broken},
		{"twice the limit in a noisy run", most, sample{200, 240, 300, 230, 250}, nil, broken},
		{"within the share of the kubelet's time", ratio, sample{80, 80, 80}, quietKubelet, kept},
		{"more than the share of the kubelet's time", ratio, sample{100, 100, 100}, quietKubelet, broken},
		{"more than the share by less than the agent's noise", ratio, sample{80, 95, 110}, quietKubelet, doubtful},
		{"more than the share by less than the kubelet's noise", ratio, sample{100, 100, 100}, sample{200, 300, 400}, doubtful},
		{"as many requests as allowed in each round", exactly, sample{3, 3, 3}, nil, kept},
		{"a request more in one round of many", exactly, sample{3, 3, 4, 3, 3}, nil, broken},
		{"a request less, so that not all was counted", exactly, sample{3, 2}, nil, broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.budget.judge(c.agent, c.kubelet); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAQuantileLiesBetweenTwoValuesInProportion(t *testing.T) {
	s := sample{40, 10, 30, 20, 50}
	for q, want := range map[float64]float64{0: 10, 0.25: 20, 0.5: 30, 0.625: 35, 1: 50} {
		if got := s.quantile(q); got != want {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
	if got := (sample{7}).noise(); got != 0 {
		t.Errorf("a single value has no noise, got %v", got)
	}
}

// joins are n equal ones.
func joins(n int, j join) []join {
	var all []join
	for range n {
		all = append(all, j)
	}
	return all
}

func withinBudgets() *results {
	ms := time.Millisecond
	return &results{
		agentClient:   joins(3, join{identity: 50 * ms, requests: 4}),
		agentBoth:     joins(3, join{identity: 60 * ms, both: 80 * ms, requests: 6, resident: 17e6}),
		kubeletClient: joins(3, join{identity: 100 * ms, requests: 4}),
		kubeletBoth:   joins(3, join{identity: 300 * ms, requests: 4, resident: 70e6}),
		agentSize:     15e6, kubeletSize: 85e6,
		scraped: idle{cpu: float64(200 * ms), resident: 20e6}, alone: idle{cpu: float64(40 * ms), resident: 19e6}, idleFor: 10 * time.Minute,
	}
}

func TestEveryBudgetOfTheDesignIsHeld(t *testing.T) {
	if got := brokenOf(withinBudgets().rows()); len(got) > 0 {
		t.Fatalf("broken: %v", got)
	}
	ms := time.Millisecond
	for want, change := range map[string]func(*results){
		"identity":                               func(r *results) { r.agentClient = joins(3, join{identity: 121 * ms, requests: 4}) },
		"identity, serving pair too":             func(r *results) { r.kubeletBoth = joins(3, join{identity: 199 * ms}) },
		"API requests, client certificate":       func(r *results) { r.agentClient[1].requests = 5 },
		"API requests, both certificates":        func(r *results) { r.agentBoth[2].requests = 7 },
		"program":                                func(r *results) { r.agentSize = 24.1e6 },
		"resident":                               func(r *results) { r.agentBoth = joins(3, join{identity: 60 * ms, requests: 6, resident: 22.1e6}) },
		"idle, scraped: processor time in 10m0s": func(r *results) { r.scraped.cpu = float64(301 * ms) },
		"idle, scraped: resident":                func(r *results) { r.scraped.resident = 22.1e6 },
		"idle, no port: processor time in 10m0s": func(r *results) { r.alone.cpu = float64(51 * ms) },
		"idle, no port: processor time in 5m0s":  func(r *results) { r.alone.cpu, r.scraped.cpu, r.idleFor = float64(26*ms), 0, 5*time.Minute },
		"idle, no port: resident":                func(r *results) { r.alone.resident = 22.1e6 },
	} {
		r := withinBudgets()
		change(r)
		if got := brokenOf(r.rows()); len(got) != 1 || got[0] != want {
			t.Errorf("broken: %v, want %s alone", got, want)
		}
	}
}

func TestTheTableShowsBothRatioBudgetAndVerdict(t *testing.T) {
	r := withinBudgets()
	r.agentBoth[0].identity = 65 * time.Millisecond
	var table strings.Builder
	if err := write(&table, r.rows()); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{
		{"identity", "50 ms", "100 ms", "0.50", "≤ 120 ms", "ok"},
		{"identity, serving pair too", "60 ms (60–65)", "300 ms", "0.20", "≤ 120 ms, ≤ 0.3 × kubelet", "ok"},
		{"both certificates", "80 ms", "–", "–", "–"},
		{"API requests, client certificate", "4", "4", "1.00", "= 4", "ok"},
		{"program", "15.0 MB", "85.0 MB", "0.18", "≤ 24 MB", "ok"},
		{"idle, scraped: processor time in 10m0s", "200 ms", "–", "–", "≤ 300 ms", "ok"},
		{"idle, no port: resident", "19.0 MB", "–", "–", "≤ 22 MB", "ok"},
	} {
		line := ""
		for text := range strings.Lines(table.String()) {
			if strings.HasPrefix(text, want[0]+"  ") {
				line = text
			}
		}
		if got := strings.Join(strings.Fields(line), " "); got != strings.Join(want, " ") {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestChangesOfFilesAreSeenInTheirOrder(t *testing.T) {
	dir := t.TempDir()
	c, err := watchChanges(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	written, moved := filepath.Join(dir, "written"), filepath.Join(dir, "moved")
	for _, do := range []func() error{
		func() error { return os.WriteFile(written, []byte("x"), 0o600) },
		func() error { return os.Rename(written, moved) },
		func() error { return os.Remove(moved) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []change{{path: written, mask: unix.IN_CLOSE_WRITE}, {path: moved, mask: unix.IN_MOVED_TO}, {path: moved, mask: unix.IN_DELETE}} {
		select {
		case got := <-c.seen:
			if got.path != want.path || got.mask != want.mask {
				t.Errorf("got %+v, want %+v", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%+v is not seen", want)
		}
	}
}

func TestAProgramWithTheRaceDetectorIsNotMeasured(t *testing.T) {
	own, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	built, _ := debug.ReadBuildInfo()
	race := slices.ContainsFunc(built.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" })
	if err := plainBuild(own); race != (err != nil) {
		t.Errorf("built with -race: %t, refused with: %v", race, err)
	}
}
