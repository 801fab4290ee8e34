package metrics

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// complainEvery is how often what net/http says of clients is passed on. Anybody who reaches the port can make it say something.
const complainEvery = 10 * time.Minute

// complaints is where net/http writes what it thinks of clients, and of panics in what answers them.
type complaints struct {
	log   *slog.Logger
	clock clock.PassiveClock

	mu              sync.Mutex
	clients, panics complaint
}

type complaint struct {
	last time.Time
	kept int
}

// Write passes on one line of a kind in a while, and the others to those who debug.
func (c *complaints) Write(text []byte) (int, error) {
	const most = 300
	line, _, _ := strings.Cut(string(text), "\n")
	line = line[:min(len(line), most)]
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case strings.HasPrefix(line, "http: panic"):
		if kept, ok := c.panics.due(c.clock.Now()); ok {
			c.log.Error("an answer about the metrics failed: please report it", "text", string(text), "kept_back", kept)
			return len(text), nil
		}
	case strings.HasSuffix(line, ": EOF"): // a probe of the port: not worth a line
	default:
		if kept, ok := c.clients.due(c.clock.Now()); ok {
			c.log.Warn("a client of the metrics was refused; the next such line is written in 10 minutes at the earliest", "text", line, "kept_back", kept)
			return len(text), nil
		}
	}
	c.log.Debug("from the listener of the metrics", "text", line)
	return len(text), nil
}

// due says whether it may be said now, and how many were not.
func (c *complaint) due(now time.Time) (int, bool) {
	if !c.last.IsZero() && now.Sub(c.last) < complainEvery {
		c.kept++
		return 0, false
	}
	kept := c.kept
	c.last, c.kept = now, 0
	return kept, true
}
