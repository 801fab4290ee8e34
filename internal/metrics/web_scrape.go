package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// scrapes answers with the series. They are not compressed: that costs the agent more CPU and memory than it saves in bytes.
//
// The format is Prometheus' text format, whatever the client likes best: in OpenMetrics le="1" is le="1.0" and a counter that does not end
// in _total, as two of the kubelet's, has no type. They would be other series than those that node_exporter shows of the text file.
//
// A page is made in memory (40 kB) before its first byte is sent, so that whoever reads slowly holds up nobody, one page at a time, and for
// all who have come before it was begun: a thousand scrapes at once cost what a few do.
type scrapes struct {
	from prometheus.Gatherer
	turn sync.Mutex

	mu   sync.Mutex
	next *scrapePage
}

// scrapePage is what those get who wait for the same.
type scrapePage struct {
	made chan struct{}
	text []byte
	err  error
}

func newScrapes(from prometheus.Gatherer) http.Handler {
	return &scrapes{from: from}
}

// ServeHTTP answers one.
func (s *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := s.page()
	if err != nil {
		http.Error(w, fmt.Sprintf("make the answer: %v", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", string(textFormat))
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.Write(text) //nolint:errcheck // there is nobody to tell
}

// page returns one that was begun after the call.
func (s *scrapes) page() ([]byte, error) {
	s.mu.Lock()
	p := s.next
	others := p != nil
	if !others {
		p = &scrapePage{made: make(chan struct{}), err: errors.New("it failed for another who asked")}
		s.next = p
	}
	s.mu.Unlock()
	if !others {
		s.make(p)
	}
	<-p.made
	return p.text, p.err
}

func (s *scrapes) make(p *scrapePage) {
	defer close(p.made)
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	s.next = nil // who comes now comes too late
	s.mu.Unlock()
	p.text, p.err = gather(s.from, func(string) bool { return true })
}

// textFormat is text/plain; version=0.0.4.
const textFormat = expfmt.FmtText

// gather returns the wanted series in the text format.
func gather(from prometheus.Gatherer, want func(name string) bool) ([]byte, error) {
	families, err := from.Gather()
	if err != nil && len(families) == 0 {
		return nil, err
	}
	var text bytes.Buffer
	encoder := expfmt.NewEncoder(&text, textFormat)
	for _, family := range families {
		if !want(family.GetName()) {
			continue
		}
		if err := encoder.Encode(family); err != nil {
			return nil, fmt.Errorf("%s: %w", family.GetName(), err)
		}
	}
	return text.Bytes(), nil
}
