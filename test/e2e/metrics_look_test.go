package e2e

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// eyes are a real Prometheus that looks at the agents of a test, each a job.
type eyes struct {
	t *testing.T
	*prometheus.Server
}

// job is one of the things that eyes look at.
type job struct {
	name, address string
	// with are further lines of the job: scheme, passwords, certificates.
	with string
}

// eyesOn starts a Prometheus that scrapes twice a second, and finds files beside its configuration. It begins 5 s after its start.
func eyesOn(t *testing.T, files map[string][]byte, jobs ...job) eyes {
	t.Helper()
	config := "global: {scrape_interval: 500ms, scrape_timeout: 500ms}\nscrape_configs:\n"
	for _, j := range jobs {
		config += fmt.Sprintf("- job_name: %s\n  static_configs: [{targets: [%q]}]\n", j.name, j.address)
		for line := range strings.Lines(j.with) {
			config += "  " + line
		}
	}
	return eyes{t, prometheus.New(t, prometheus.Options{Config: config, Files: files})}
}

// value is that of the agent's series with this end of its name and these labels, "ready" or `rotations_total{result="failure"}`.
func (e eyes) value(rest string) (float64, error) {
	return e.Value(e.t.Context(), "bootstrap_agent_"+rest)
}

// see waits until a series has this value.
func (e eyes) see(rest string, want float64) {
	e.t.Helper()
	e.seeThat(fmt.Sprintf("%s is %v", rest, want), rest, func(value float64) bool { return value == want })
}

// seeTime waits until a series is a time, within a second that is cut off.
func (e eyes) seeTime(rest string, want time.Time) {
	e.t.Helper()
	if want.Unix() <= 0 {
		e.t.Fatalf("%s: expected %s, which is no time", rest, want)
	}
	e.see(rest, float64(want.Unix()))
}

// seeThat waits until a series' value is as it should be.
func (e eyes) seeThat(what, rest string, good func(float64) bool) {
	e.t.Helper()
	var value float64
	var err error
	defer func() {
		if e.t.Failed() {
			e.t.Logf("%s: it was %v (%v) last", rest, value, err)
		}
	}()
	eventually(e.t, "Prometheus sees that "+what, func() bool {
		value, err = e.value(rest)
		return err == nil && good(value)
	})
}

// seeOne waits until a query finds one series.
func (e eyes) seeOne(what, query string) {
	e.t.Helper()
	eventually(e.t, what, func() bool {
		found, err := e.Query(e.t.Context(), query)
		must(e.t, err)
		return len(found) == 1
	})
}

// target waits until a job was scraped, and says how that went.
func (e eyes) target(name string) prometheus.Target {
	e.t.Helper()
	var found prometheus.Target
	eventually(e.t, "Prometheus scrapes "+name, func() bool {
		targets, err := e.Targets(e.t.Context())
		must(e.t, err)
		at := slices.IndexFunc(targets, func(t prometheus.Target) bool { return t.Labels["job"] == name && t.Health != "unknown" })
		if at >= 0 {
			found = targets[at]
		}
		return at >= 0
	})
	return found
}

// assertAll shows that Prometheus has every series of the golden file with this prefix, and no other; and what each means.
func (e eyes) assertAll(job, prefix string) {
	e.t.Helper()
	series, meanings := goldenSeries(e.t, prefix)
	// of the last minute, since on a busy machine a scrape may take too long
	found, err := e.Query(e.t.Context(), fmt.Sprintf("last_over_time({job=%q,__name__=~%q}[1m])", job, prefix+".*"))
	must(e.t, err)
	var seen []string
	for _, s := range found {
		seen = append(seen, seriesName(s.Labels))
	}
	e.same("series of "+job, seen, series)
	said, err := e.Meanings(e.t.Context(), job)
	must(e.t, err)
	var heard []string
	for _, m := range said {
		if strings.HasPrefix(m.Metric, prefix) {
			heard = append(heard, m.Metric+" "+m.Type+" "+m.Help)
		}
	}
	e.same("meanings of "+job, heard, meanings)
}

func (e eyes) same(what string, got, want []string) {
	e.t.Helper()
	slices.Sort(got)
	slices.Sort(want)
	if len(want) == 0 {
		e.t.Fatalf("no %s are expected", what)
	}
	if !slices.Equal(got, want) {
		in := func(list []string) func(string) bool { return func(s string) bool { return slices.Contains(list, s) } }
		e.t.Errorf("%s: Prometheus has not got\n%v\nand has\n%v", what, slices.DeleteFunc(slices.Clone(want), in(got)), slices.DeleteFunc(slices.Clone(got), in(want)))
	}
}

// goldenSeries are the series of the golden file whose names have a prefix, and what their metrics are said to mean.
func goldenSeries(t *testing.T, prefix string) (series, meanings []string) {
	t.Helper()
	content, err := os.ReadFile("../../internal/metrics/testdata/metrics.golden")
	must(t, err)
	types, helps := map[string]string{}, map[string]string{}
	for line := range strings.Lines(string(content)) {
		line = strings.TrimSuffix(line, "\n")
		words := strings.SplitN(line, " ", 4)
		switch {
		case strings.HasPrefix(line, "# TYPE "+prefix):
			types[words[2]] = words[3]
		case strings.HasPrefix(line, "# HELP "+prefix):
			helps[words[2]] = words[3]
		case strings.HasPrefix(line, prefix):
			name, rest, _ := strings.Cut(line[:strings.LastIndex(line, " ")], "{")
			labels := map[string]string{"__name__": name}
			for _, pair := range labelPair.FindAllStringSubmatch(rest, -1) {
				labels[pair[1]] = pair[2]
			}
			series = append(series, seriesName(labels))
		}
	}
	for name, help := range helps {
		meanings = append(meanings, name+" "+types[name]+" "+help)
	}
	return series, meanings
}

var labelPair = regexp.MustCompile(`(\w+)="([^"]*)"`)

// seriesName is name and labels as one text, without those that the scraper gives; the versions of build_info are anything.
func seriesName(labels map[string]string) string {
	name := labels["__name__"]
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		value := labels[label]
		switch label {
		case "__name__", "job", "instance", "node":
			continue
		case "version", "goversion":
			if value != "" {
				value = "…"
			}
		}
		name += fmt.Sprintf(" %s=%s", label, value)
	}
	return name
}

// fetch is GET of a page of the agent's listener, once that answers.
func (n *node) fetch(url string) (status int, body []byte) {
	n.t.Helper()
	eventually(n.t, "an answer of "+url, func() bool {
		response, err := http.Get(url)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		status = response.StatusCode
		body, err = io.ReadAll(response.Body)
		return err == nil
	})
	return status, body
}
