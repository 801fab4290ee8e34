package alerts

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

const day = 24 * time.Hour

// lifetimes are those that signers and people choose, with how often such a certificate is looked at here.
var lifetimes = []struct{ life, step time.Duration }{
	{10 * time.Minute, 15 * time.Second}, {time.Hour, time.Minute}, {day, 10 * time.Minute}, {30 * day, 6 * time.Hour}, {365 * day, 3 * day},
}

// drawn are all lifetimes, or one where there is no time for all.
func drawn(t *testing.T, random *rand.Rand) []struct{ life, step time.Duration } {
	t.Helper()
	if os.Getenv("SOAK") != "" {
		return lifetimes
	}
	i := random.IntN(len(lifetimes))
	return lifetimes[i : i+1]
}

// TestNothingFiresInTheLifeOfAHealthyNode takes a node through three certificates of each kind, with the series that the agent's registry
// shows: it begins with nothing, joins at once and rotates when that is planned; the serving certificate is rotated by the kubelet, as late
// as a kubelet does.
func TestNothingFiresInTheLifeOfAHealthyNode(t *testing.T) {
	t.Parallel()
	random := sample.Random(t)
	for _, l := range drawn(t, random) {
		clock := testingclock.NewFakePassiveClock(time.Unix(0, 0))
		m := metrics.New(clock, metrics.Build{Version: "1.0.0", GoVersion: "go1.26"}, false)
		client, serving := life{random: random, length: l.life}, life{random: random, length: l.life, kubelets: true}
		var page recorded
		for i := 0; client.number < 4; i++ {
			clock.SetTime(time.Unix(0, 0).Add(time.Duration(i) * l.step))
			if i > 0 {
				m.Stands(status.Standing{Client: client.at(clock.Now()), Serving: serving.at(clock.Now())})
			}
			page.add(t, m, i)
		}
		file := page.test(fmt.Sprintf("certificates of %s", l.life), l.step)
		short := `alertname!="BootstrapAgentShortLivedCertificate",` // which is the one that does fire
		if l.life > rotate.ShortLife {
			short = ""
		}
		whole := time.Duration(page.length) * l.step
		file.Tests[0].Queries = []queryCase{{
			EvalTime: whole.String(), Expr: fmt.Sprintf(`count_over_time(ALERTS{%salertstate="firing"}[%ds])`, short, int(whole.Seconds())), Expected: []expectation{},
		}}
		if err := run(t, file); err != nil {
			t.Errorf("%s: %v", l.life, err)
		}
	}
}

// life is one certificate after the other, each for a lifetime, rotated when it is planned.
type life struct {
	random *rand.Rand
	length time.Duration
	// kubelets: the agent plans nothing.
	kubelets bool
	number   int
	rotateAt time.Time
	current  status.CertificateStanding
}

// at returns the certificate at a moment: a new one if there is none, or if the old one was due 10 seconds ago.
func (l *life) at(now time.Time) status.CertificateStanding {
	if l.number == 0 || now.Sub(l.rotateAt) >= 10*time.Second {
		l.number++
		l.current = status.CertificateStanding{NotBefore: now.Add(-5 * time.Minute), NotAfter: now.Add(l.length), Received: now, ShortLived: l.length < rotate.ShortLife}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(l.random.Int64()), NotBefore: l.current.NotBefore, NotAfter: l.current.NotAfter}
		l.rotateAt = rotate.Deadline(leaf, now, "worker-1")
		l.current.RotateAt = l.rotateAt
		if l.kubelets { // client-go certificate_manager.go jitteryDuration: 70 to 90 % of the whole life
			l.rotateAt = l.current.NotAfter.Add(-l.current.NotAfter.Sub(l.current.NotBefore) / 10)
			l.current.RotateAt = time.Time{}
		}
	}
	return l.current
}

// recorded are series as promtool wants them, step for step.
type recorded struct {
	order  []string
	values map[string]*strings.Builder
	length int
}

// add reads all of the agent's series.
func (r *recorded) add(t *testing.T, m *metrics.Metrics, step int) {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetType() == dto.MetricType_HISTOGRAM || !strings.HasPrefix(family.GetName(), "bootstrap_agent_") {
			continue // no rule asks for them
		}
		for _, metric := range family.GetMetric() {
			name := family.GetName() + `{instance="worker-1:10261"`
			for _, pair := range metric.GetLabel() {
				name += fmt.Sprintf(",%s=%q", pair.GetName(), pair.GetValue())
			}
			r.put(name+"}", metric.GetGauge().GetValue()+metric.GetCounter().GetValue(), step)
		}
	}
	r.length = step
}

func (r *recorded) put(name string, value float64, step int) {
	if r.values == nil {
		r.values = map[string]*strings.Builder{}
	}
	if r.values[name] == nil {
		r.values[name] = &strings.Builder{}
		r.order = append(r.order, name)
	}
	if step > 0 {
		r.values[name].WriteByte(' ')
	}
	fmt.Fprintf(r.values[name], "%.15g", value)
}

// test is a file of tests with nothing but the series.
func (r *recorded) test(name string, step time.Duration) testFile {
	group := testGroup{Name: name, Interval: step.String()}
	for _, s := range r.order {
		group.Series = append(group.Series, series{s, r.values[s].String()})
	}
	return testFile{EvaluationInterval: step.String(), Tests: []testGroup{group}}
}

// run has promtool run a file of tests against the rules.
func run(t *testing.T, file testFile) error {
	t.Helper()
	rules, err := filepath.Abs(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	file.RuleFiles = []string{rules}
	path := filepath.Join(t.TempDir(), "life_test.yaml")
	write(t, path, file)
	return prometheus.TestRules(t.Context(), path)
}
