package prometheus

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Series is what a query finds.
type Series struct {
	// Labels of the series; its name is __name__, if it has one.
	Labels map[string]string
	// Points are its values, oldest first: one for an instant query.
	Points []Point
}

// Point is a value at a time. An instant query's is the time of the query, not of the scrape.
type Point struct {
	At    time.Time
	Value float64
}

// Value is the series' last value.
func (s Series) Value() float64 { return s.Points[len(s.Points)-1].Value }

// Query asks an instant query, for a vector, of now.
func (s *Server) Query(ctx context.Context, query string) ([]Series, error) {
	return s.query(ctx, "/api/v1/query", url.Values{"query": {query}})
}

// QueryAt asks an instant query, for a vector, of a time.
func (s *Server) QueryAt(ctx context.Context, query string, at time.Time) ([]Series, error) {
	return s.query(ctx, "/api/v1/query", url.Values{"query": {query}, "time": {unix(at)}})
}

// QueryRange asks for the values of a query from start to end, one each step.
func (s *Server) QueryRange(ctx context.Context, query string, start, end time.Time, step time.Duration) ([]Series, error) {
	return s.query(ctx, "/api/v1/query_range", url.Values{"query": {query}, "start": {unix(start)}, "end": {unix(end)}, "step": {step.String()}})
}

// Value is the value of the only series that an instant query finds; none, or two, is an error.
func (s *Server) Value(ctx context.Context, query string) (float64, error) {
	found, err := s.Query(ctx, query)
	switch {
	case err != nil:
		return 0, err
	case len(found) == 0:
		return 0, fmt.Errorf("%s: %w", query, errNone)
	case len(found) > 1:
		return 0, fmt.Errorf("%s: %d series, expected one", query, len(found))
	}
	return found[0].Value(), nil
}

func unix(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }

func (s *Server) query(ctx context.Context, path string, values url.Values) ([]Series, error) {
	var data struct {
		ResultType string
		Result     []struct {
			Metric map[string]string
			Value  point
			Values []point
		}
	}
	if err := s.ask(ctx, path+"?"+values.Encode(), &data); err != nil {
		return nil, err
	}
	var found []Series
	for _, r := range data.Result {
		one := Series{Labels: r.Metric}
		if data.ResultType == "vector" {
			r.Values = []point{r.Value}
		}
		for _, p := range r.Values {
			one.Points = append(one.Points, Point(p))
		}
		found = append(found, one)
	}
	return found, nil
}

// point is [seconds, "value"], as the API writes it.
type point Point

func (p *point) UnmarshalJSON(text []byte) error {
	var seconds float64
	var value string
	if err := json.Unmarshal(text, &[]any{&seconds, &value}); err != nil {
		return err
	}
	number, err := strconv.ParseFloat(value, 64) // it reads NaN and +Inf too
	*p = point{time.UnixMilli(int64(seconds * 1000)), number}
	return err
}

// Target is something that is scraped.
type Target struct {
	Labels     map[string]string
	ScrapeURL  string
	Health     string // up, down, or unknown before the first scrape
	LastError  string
	LastScrape time.Time
}

// Targets are all that Prometheus scrapes.
func (s *Server) Targets(ctx context.Context) ([]Target, error) {
	var data struct{ ActiveTargets []Target }
	err := s.ask(ctx, "/api/v1/targets?state=active", &data)
	return data.ActiveTargets, err
}

// Meaning is what a target says of a metric in its HELP and TYPE lines.
type Meaning struct {
	Metric, Type, Help string
}

// Meanings are those of all metrics of a job.
func (s *Server) Meanings(ctx context.Context, job string) ([]Meaning, error) {
	var meanings []Meaning
	err := s.ask(ctx, "/api/v1/targets/metadata?"+url.Values{"match_target": {fmt.Sprintf("{job=%q}", job)}}.Encode(), &meanings)
	return meanings, err
}

// Alert is one that is pending or fires.
type Alert struct {
	Labels, Annotations map[string]string
	State               string
}

// Alerts are all that are pending or fire.
func (s *Server) Alerts(ctx context.Context) ([]Alert, error) {
	var data struct{ Alerts []Alert }
	err := s.ask(ctx, "/api/v1/alerts", &data)
	return data.Alerts, err
}

// ask decodes the data of an answer of the API.
func (s *Server) ask(ctx context.Context, path string, data any) error {
	body, err := s.get(ctx, path)
	if err != nil {
		return err
	}
	answer := struct{ Data any }{data}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("the answer to GET %s: %w", path, err)
	}
	return nil
}
