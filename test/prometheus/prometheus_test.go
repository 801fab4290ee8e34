package prometheus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// exposed is a target with this page.
func exposed(t *testing.T, page string) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprint(w, page)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// scraping is a configuration that scrapes an address twice a second as the job "ours".
func scraping(address string) string {
	return fmt.Sprintf(`
global: {scrape_interval: 500ms, scrape_timeout: 500ms}
scrape_configs:
- job_name: ours
  static_configs: [{targets: [%q]}]
`, address)
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("not within 30 s: %s", what)
}

const page = `# HELP things_total Things.
# TYPE things_total counter
things_total{kind="a"} 3
# HELP level The level.
# TYPE level gauge
level NaN
`

// A Prometheus begins to scrape 5 s after its start, so one has to do for all of this.
func TestAPrometheusScrapesAndAnswersQueries(t *testing.T) {
	t.Parallel()
	textfiles := t.TempDir()
	if err := os.WriteFile(filepath.Join(textfiles, "more.prom"), []byte("more 4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	down := httptest.NewServer(http.NotFoundHandler())
	defer down.Close()
	s := New(t, Options{Config: scraping(exposed(t, page)) +
		fmt.Sprintf("- job_name: node\n  static_configs: [{targets: [%q]}]\n", NewNodeExporter(t, textfiles)) +
		fmt.Sprintf("- job_name: down\n  static_configs: [{targets: [%q]}]\n", strings.TrimPrefix(down.URL, "http://"))})
	eventually(t, "a scrape", func() bool { _, err := s.Value(t.Context(), "things_total"); return err == nil })
	if value, err := s.Value(t.Context(), `things_total{kind="a"}`); value != 3 || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
	if value, err := s.Value(t.Context(), "level"); !math.IsNaN(value) || err != nil {
		t.Errorf("got %v, %v, expected NaN", value, err)
	}
	if _, err := s.Value(t.Context(), "nothing"); !errors.Is(err, errNone) {
		t.Errorf("a query for what is not there: %v", err)
	}
	if _, err := s.Value(t.Context(), `{job="ours"}`); err == nil {
		t.Error("many series passed for one value")
	}
	if _, err := s.Query(t.Context(), "things_total{"); err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("a query that is none: %v", err)
	}
	now := time.Now()
	series, err := s.QueryRange(t.Context(), "things_total", now.Add(-time.Second), now, 100*time.Millisecond)
	if err != nil || len(series) != 1 || len(series[0].Points) == 0 || series[0].Value() != 3 || series[0].Labels["__name__"] != "things_total" {
		t.Errorf("a range is %v, %v", series, err)
	}
	meanings, err := s.Meanings(t.Context(), "ours")
	if err != nil || len(meanings) != 2 {
		t.Errorf("the metrics mean %v, %v", meanings, err)
	}
	seesANodeExporter(t, s)
	seesATargetThatIsDown(t, s)
}

func seesANodeExporter(t *testing.T, s *Server) {
	t.Helper()
	eventually(t, "a scrape of node_exporter", func() bool { _, err := s.Value(t.Context(), "more"); return err == nil })
	if value, err := s.Value(t.Context(), "node_textfile_scrape_error"); value != 0 || err != nil {
		t.Errorf("the text file: %v, %v", value, err)
	}
	if _, err := s.Value(t.Context(), "node_boot_time_seconds"); err != nil {
		t.Errorf("its own collectors: %v", err)
	}
}

func seesATargetThatIsDown(t *testing.T, s *Server) {
	t.Helper()
	var found Target
	eventually(t, "a scrape of what is down", func() bool {
		targets, err := s.Targets(t.Context())
		for _, target := range targets {
			if target.Labels["job"] == "down" {
				found = target
			}
		}
		return err == nil && len(targets) == 3 && found.Health != "unknown"
	})
	if found.Health != "down" || !strings.Contains(found.LastError, "404") {
		t.Errorf("the target is %+v", found)
	}
}

func TestAPrometheusHasTheHistoryThatItWasGivenAndFiresItsRules(t *testing.T) {
	t.Parallel()
	when := time.Now().Add(-3 * time.Hour).Truncate(time.Second)
	s := New(t, Options{
		Config:  "global: {evaluation_interval: 200ms}\nrule_files: [rules/*.yml]\n",
		Files:   map[string][]byte{"rules/a.yml": []byte("groups: [{name: a, rules: [{alert: Always, expr: vector(1) > 0, labels: {severity: none}}]}]\n")},
		History: fmt.Appendf(nil, "# TYPE level gauge\nlevel 7 %d\nlevel 8 %d\n# EOF\n", when.Unix(), when.Add(time.Minute).Unix()),
	})
	found, err := s.QueryAt(t.Context(), "level", when.Add(90*time.Second))
	if err != nil || len(found) != 1 || found[0].Value() != 8 {
		t.Errorf("the past is %v, %v", found, err)
	}
	eventually(t, "the alert fires", func() bool {
		alerts, err := s.Alerts(t.Context())
		return err == nil && len(alerts) == 1 && alerts[0].State == "firing" && alerts[0].Labels["alertname"] == "Always"
	})
}

func TestAPrometheusThatCannotStartSaysWhyAndLeavesNothing(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	_, err := Start(t.Context(), Options{Config: "nonsense: true"})
	if err == nil || !strings.Contains(err.Error(), "field nonsense not found") {
		t.Errorf("got %v", err)
	}
	s, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	if _, err := s.Query(t.Context(), "up"); err == nil {
		t.Error("it still answers after it was stopped")
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestPromtoolSaysWhatItDoesNotLike(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	rules := func(expr string) string {
		return "groups: [{name: a, rules: [{alert: A, expr: " + expr + "}]}]\n"
	}
	expects := func(alerts string) string {
		return "rule_files: [good.yml]\ntests: [{interval: 1m, input_series: [{series: level, values: 1x9}], alert_rule_test: [{eval_time: 5m, alertname: A, exp_alerts: [" + alerts + "]}]}]\n"
	}
	good := file("good.yml", rules("level > 0"))
	ctx := t.Context()
	for name, c := range map[string]struct{ well, not error }{
		"check metrics":    {CheckMetrics(ctx, []byte(page)), CheckMetrics(ctx, []byte("things_total 3\n"))},
		"check rules":      {CheckRules(ctx, good), CheckRules(ctx, file("bad.yml", rules("level >")))},
		"test rules":       {TestRules(ctx, file("fires.yml", expects("{}"))), TestRules(ctx, file("silent.yml", expects("")))},
		"check config":     {CheckConfig(ctx, file("p.yml", scraping("a:1"))), CheckConfig(ctx, file("n.yml", "nonsense: true\n"))},
		"check web-config": {CheckWebConfig(ctx, file("web.yml", "basic_auth_users: {}\n")), CheckWebConfig(ctx, file("noweb.yml", "basic: {}\n"))},
	} {
		if c.well != nil {
			t.Errorf("%s does not like what is well: %v", name, c.well)
		}
		if c.not == nil {
			t.Errorf("%s likes what is not well", name)
		}
	}
}

func TestAProgramThatIsNotThereIsSaidWithTheRemedy(t *testing.T) {
	if _, err := Program("prometheus-2"); err == nil || !strings.Contains(err.Error(), "make bin/prometheus/promtool") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("started although nobody waits: %v", err)
	}
}
