package metrics

import (
	"net/netip"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// leastCost is that of the hash which exporter-toolkit compares the password of an unknown user with: about 60 ms of a CPU.
const leastCost = 10

// guessesFor returns how many checks of a password keep below a tenth of a CPU in [guessWindow], and at least two. One that costs one more
// takes twice as long.
func guessesFor(cost int) int { return max(2, 16>>(cost-leastCost)) }

// guesses bounds the checks of passwords that were never right. Half of what may be is for one address, so that somebody who guesses does
// not keep another from the first scrape.
type guesses struct {
	clock clock.PassiveClock
	most  int

	mu    sync.Mutex
	since time.Time
	tried int
	by    map[netip.Addr]int
}

// may counts a guess, if it is not one too many.
func (g *guesses) may(remote string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if since := g.clock.Since(g.since); since >= guessWindow || since < 0 {
		g.since, g.tried, g.by = g.clock.Now(), 0, map[netip.Addr]int{}
	}
	address := addressOf(remote)
	if g.tried >= g.most || g.by[address] >= g.most/2 {
		return false
	}
	g.tried++
	g.by[address]++
	return true
}

// passwords are hashes of those that were right, with their users, since the web configuration was read: one who knows a password is not
// kept waiting by one who guesses.
type passwords struct {
	mu    sync.Mutex
	right map[[32]byte]struct{}
}

func (p *passwords) has(key [32]byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, known := p.right[key]
	return known
}

func (p *passwords) add(key [32]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.right == nil {
		p.right = map[[32]byte]struct{}{}
	}
	p.right[key] = struct{}{}
}
