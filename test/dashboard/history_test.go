package dashboard

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
)

// history is what a Prometheus would have stored of one agent, had it scraped it every [scrapeEvery].
type history struct {
	labels  string // that the scrape configuration adds
	from    time.Time
	shift   time.Duration // by which all of it is moved when it is written
	scrapes int
	series  map[string][]change
}

// change is a value that a series has from a scrape on.
type change struct {
	scrape int
	value  float64
}

// scrapeEvery is coarse, and Prometheus is told so (lookback): a month of a fleet is a third of a million samples then.
const scrapeEvery = 6 * time.Hour

// scrape stores what the registry shows now.
func (h *history) scrape(tb testing.TB, m *metrics.Metrics) {
	tb.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "bootstrap_agent_") {
			continue // process_*: those of the test itself
		}
		for _, metric := range family.GetMetric() {
			labels := h.labels
			for _, pair := range metric.GetLabel() {
				labels += "," + pair.GetName() + "=" + strconv.Quote(pair.GetValue())
			}
			put := func(suffix, more string, value float64) { h.put(family.GetName()+suffix+"{"+labels+more+"}", value) }
			switch histogram := metric.GetHistogram(); {
			case histogram != nil:
				for _, bucket := range histogram.GetBucket() {
					put("_bucket", `,le="`+strconv.FormatFloat(bucket.GetUpperBound(), 'g', -1, 64)+`"`, float64(bucket.GetCumulativeCount()))
				}
				put("_bucket", `,le="+Inf"`, float64(histogram.GetSampleCount()))
				put("_count", "", float64(histogram.GetSampleCount()))
				put("_sum", "", histogram.GetSampleSum())
			case metric.GetCounter() != nil:
				put("", "", metric.GetCounter().GetValue())
			default:
				put("", "", metric.GetGauge().GetValue())
			}
		}
	}
	h.scrapes++
}

func (h *history) put(name string, value float64) {
	changes := h.series[name]
	if len(changes) == 0 || changes[len(changes)-1].value != value {
		h.series[name] = append(changes, change{h.scrapes, value})
	}
}

// again stores the same as the scrape before: nothing has happened since.
func (h *history) again() { h.scrapes++ }

// openMetrics appends the samples, each series in the order of time. Counters that never moved are written only at the end: they are
// two thirds of all, and whether a counter has been 0 for a day or for a month shows in no graph.
func (h *history) openMetrics(out []byte) []byte {
	times := make([]string, h.scrapes)
	for i := range times {
		times[i] = " " + strconv.FormatInt(h.from.Add(h.shift+time.Duration(i)*scrapeEvery).Unix(), 10) + "\n"
	}
	for _, name := range slices.Sorted(maps.Keys(h.series)) {
		changes := h.series[name]
		first := 0
		if isCounter(name) && len(changes) == 1 && changes[0].value == 0 {
			first = max(0, h.scrapes-5)
		}
		at := 0
		line := h.line(name, changes[0].value)
		for i := first; i < h.scrapes; i++ {
			if at+1 < len(changes) && changes[at+1].scrape == i {
				at++
				line = h.line(name, changes[at].value)
			}
			out = append(append(out, line...), times[i]...)
		}
	}
	return out
}

// line is a sample without its time.
func (h *history) line(series string, value float64) string {
	if name, _, _ := strings.Cut(series, "{"); strings.HasSuffix(name, "_timestamp_seconds") && value != 0 {
		value += h.shift.Seconds()
	}
	return series + " " + strconv.FormatFloat(value, 'g', -1, 64)
}

func isCounter(series string) bool {
	name, _, _ := strings.Cut(series, "{")
	return slices.ContainsFunc([]string{"_total", "_bucket", "_count", "_sum"}, func(suffix string) bool { return strings.HasSuffix(name, suffix) })
}
