package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/bootstrap-agent/bootstrap-agent/internal/doctor"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// theScenarios is the name of the test of the table.
const theScenarios = "TestEveryScenarioEndsAsItsRowSays"

// measured has the daemons of a scenario's proof show their metrics, on a port that the kernel chooses.
var measured = []string{"--web.listen-address=127.0.0.1:0"}

// looks are what was seen of each scenario while the trouble stood: its metrics, nil where there are none.
var looks struct {
	sync.Mutex
	pages map[string]map[string]*dto.MetricFamily
	took  time.Duration
}

func looked(row scenarios.Scenario, page map[string]*dto.MetricFamily) {
	looks.Lock()
	defer looks.Unlock()
	if looks.pages == nil {
		looks.pages = map[string]map[string]*dto.MetricFamily{}
	}
	looks.pages[row.Name] = page
}

// lookedEnough says whether a scenario was looked at, whose proof makes its trouble again and again: once is enough, but with SOAK.
func lookedEnough(row scenarios.Scenario) bool {
	looks.Lock()
	defer looks.Unlock()
	_, seen := looks.pages[row.Name]
	return seen && os.Getenv("SOAK") == ""
}

// showsSigns fails the test unless metrics, status and doctor say what the row says, now that the trouble stands. The alerts follow, of
// all scenarios at once, from the metrics that are seen here.
func (d *daemon) showsSigns(row scenarios.Scenario) {
	d.t.Helper()
	if lookedEnough(row) {
		return
	}
	look := func() (page map[string]*dto.MetricFamily) {
		if row.Metric == "" {
			d.assertBlind()
			return nil
		}
		return d.awaitMetric(row.Metric)
	}
	look()
	i := slices.Index(d.cmd.Args, "run")
	d.node.says(row, d.cmd.Args[i+1:]...)
	looked(row, look()) // when all that goes with it has come about
}

// says fails the test unless status and doctor, given the daemon's settings, say what the row says.
func (n *node) says(row scenarios.Scenario, settings ...string) {
	n.t.Helper()
	n.expectStatus(row, n.ask(settings, "status", "-o", "json"))
	n.expectDoctor(row, n.ask(settings, "doctor", "-o", "json"))
}

// ask runs one of the agent's commands with the daemon's settings in place of the node's, which may have changed since.
func (n *node) ask(settings []string, command ...string) result {
	n.t.Helper()
	c := n.command(n.t.Context(), command)
	i := slices.Index(c.Args, n.program)
	c.Args = slices.Concat(c.Args[:i+1], command, settings)
	if n.program == agentProgram && i == 0 { // a quarter of the time
		c.Path = plainProgram(n.t)
	}
	r := n.finish(c)
	looks.Lock()
	defer looks.Unlock()
	looks.took += r.elapsed
	return r
}

func (n *node) expectStatus(row scenarios.Scenario, r result) {
	n.t.Helper()
	said := r.stderr
	if row.StatusExit != 2 {
		var report seen
		must(n.t, json.Unmarshal([]byte(r.stdout), &report))
		for _, f := range report.Findings {
			said += fmt.Sprintln(f.Text, f.Remedy, f.Command)
		}
	}
	if r.code != row.StatusExit || !strings.Contains(said, row.Status) {
		n.t.Errorf("status ends with %d, expected %d, and says, expected %q:\n%s", r.code, row.StatusExit, row.Status, said)
	}
}

func (n *node) expectDoctor(row scenarios.Scenario, r result) {
	n.t.Helper()
	if row.StatusExit == 2 { // it reads the same settings
		n.expect(r, 2, row.Status)
		return
	}
	var report doctor.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		n.t.Errorf("doctor: %v:\n%s%s", err, r.stdout, r.stderr)
		return
	}
	said := ""
	for _, result := range report.Results {
		if result.Check+" "+string(result.Verdict) == row.Doctor {
			return
		}
		if result.Verdict != doctor.OK {
			said += fmt.Sprintln(" ", result.Check, result.Verdict, result.Text)
		}
	}
	n.t.Errorf("doctor does not say %q, but:\n%s", row.Doctor, said)
}

var servedAt = regexp.MustCompile(`metrics are served" address=(\S+)`)

// awaitMetric waits until a series is as the condition says, and returns all of them.
func (d *daemon) awaitMetric(condition string) map[string]*dto.MetricFamily {
	d.t.Helper()
	var page map[string]*dto.MetricFamily
	last := "the metrics are not served"
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		at := servedAt.FindStringSubmatch(d.log())
		if at == nil {
			continue
		}
		var err error
		if page, err = pageOf(at[1]); err != nil {
			last = err.Error()
			continue
		}
		holds, is := evaluate(d.t, page, condition)
		if holds {
			return page
		}
		last = is
	}
	d.t.Fatalf("not within 30 s: %s; last: %s", condition, last)
	return nil
}

// assertBlind shows that no metrics can be had of the agent.
func (d *daemon) assertBlind() {
	d.t.Helper()
	at := servedAt.FindStringSubmatch(d.log())
	if at == nil {
		return
	}
	if _, err := pageOf(at[1]); err == nil {
		d.t.Error("the metrics can be had, and the row says that they cannot")
	}
}

func pageOf(address string) (map[string]*dto.MetricFamily, error) {
	client := http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET http://%s/metrics: %s", address, response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	_, _ = io.Copy(io.Discard, response.Body)
	return families, err
}

var condition = regexp.MustCompile(`^(\w+)(?:\{(.*)\})? (==|>) ([0-9]+)$`)

// evaluate says whether a condition such as errors_total{phase="disk",reason="full"} > 0 holds, and what is there.
func evaluate(t *testing.T, page map[string]*dto.MetricFamily, text string) (holds bool, is string) {
	t.Helper()
	parts := condition.FindStringSubmatch(text)
	if parts == nil {
		t.Fatalf("%q is no condition", text)
	}
	family := page["bootstrap_agent_"+parts[1]]
	if family == nil {
		return false, "there is no bootstrap_agent_" + parts[1]
	}
	bound, err := strconv.ParseFloat(parts[4], 64)
	must(t, err)
	for _, m := range family.Metric {
		if labelsOf(m) != sorted(parts[2]) {
			continue
		}
		value := valueOf(m)
		return parts[3] == ">" && value > bound || parts[3] == "==" && value == bound, fmt.Sprint(value)
	}
	return false, "no series of it has the labels " + parts[2]
}

// sorted are labels as the agent writes them.
func sorted(labels string) string {
	each := strings.Split(labels, ",")
	slices.Sort(each)
	return strings.Join(each, ",")
}

func labelsOf(m *dto.Metric) string {
	var labels []string
	for _, label := range m.Label {
		labels = append(labels, fmt.Sprintf("%s=%q", label.GetName(), label.GetValue()))
	}
	return strings.Join(labels, ",")
}

func valueOf(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.GetGauge().GetValue()
}
