package e2e

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
)

// log is the diary of the chaos, printed as it goes.
func (c *chaos) log(who, format string, args ...any) {
	c.t.Logf("%6.1f s  %-7s %s", time.Since(c.begin).Seconds(), who, fmt.Sprintf(format, args...))
}

// violated notes that a promise was broken, and ends the chaos: what comes after that tells nothing.
func (c *chaos) violated(format string, args ...any) {
	text := fmt.Sprintf("%.1f s: ", time.Since(c.begin).Seconds()) + fmt.Sprintf(format, args...)
	c.log("BROKEN", "%s", text)
	c.mu.Lock()
	c.violations = append(c.violations, text)
	c.mu.Unlock()
	c.stop()
}

func (c *chaos) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what]++
}

func (c *chaos) getCount(what string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[what]
}

func (c *chaos) setCount(what string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[what] = n
}

// setHurt says what is damaged now, and may be of no use until it is healed; "": nothing.
func (c *chaos) setHurt(concern string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hurt = concern
}

func (c *chaos) getHurt() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hurt
}

// setCalm says that an outage begins or has ended.
func (c *chaos) setCalm(calm bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calm = time.Time{}
	if calm {
		c.calm = time.Now()
	}
}

// calmSince is when the last outage ended; zero: there is one.
func (c *chaos) calmSince() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calm
}

// setAgent says which agent runs, for those who look on; nil: none does.
func (c *chaos) setAgent(d *daemon) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seenAgent = d
	if d != nil {
		c.agent = d
	}
}

func (c *chaos) getAgent() *daemon {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seenAgent
}

func (c *chaos) readPeak(d *daemon) {
	if u, ok := d.usage(); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.peak = max(c.peak, u.peak)
	}
}

func (c *chaos) noteGap(concern string, lasted time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gaps[concern] = max(c.gaps[concern], lasted)
}

// noteLeaf notes a certificate that was found in use.
func (c *chaos) noteLeaf(kind certdir.Kind, leaf *x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.found[kind], func(s sighting) bool { return s.leaf.Equal(leaf) }) {
		c.found[kind] = append(c.found[kind], sighting{time.Now(), leaf})
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
