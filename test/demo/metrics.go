package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
)

var servedAt = regexp.MustCompile(`address=(\S+)`)

// someSeries are a few of what there is.
var someSeries = regexp.MustCompile(`^bootstrap_agent_(ready |bootstrap_token_present |certificate_expiration_timestamp_seconds|rotations_total\{certificate="client")`)

// showMetrics asks the agent as Prometheus does.
func (s *story) showMetrics(ctx context.Context) error {
	for _, line := range s.agent.shown {
		if address := servedAt.FindStringSubmatch(line.attributes); line.message == "metrics are served" && address != nil {
			return s.scrape(ctx, "http://"+address[1]+"/metrics")
		}
	}
	return errors.New("the agent has not said where it serves metrics")
}

func (s *story) scrape(ctx context.Context, url string) error {
	s.screen.command("curl", "--silent", url)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	rest := 0
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if someSeries.MatchString(lines.Text()) {
			s.screen.say("%s", lines.Text())
		} else {
			rest++
		}
	}
	s.screen.say("… and %d lines more (docs/metrics.md)", rest)
	return lines.Err()
}
