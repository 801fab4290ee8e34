package status

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// widest and narrowest are how many characters a bar has between its ends.
const widest, narrowest = 40, 10

// bar draws how much of a certificate's life is left, as a tank: it empties towards the left, and | is how much is left when the rotation
// is due. It is ASCII, for serial consoles.
func (c CertificateReport) bar(size int) string {
	size = min(max(size, narrowest), widest)
	left := c.share(*c.RemainingSeconds)
	bar := []byte(strings.Repeat("-", size))
	for i := range int(math.Ceil(left * float64(size))) {
		bar[i] = '#'
	}
	if c.RotateAt != nil {
		due := c.share(*between(*c.RotateAt, *c.NotAfter))
		bar[min(int(due*float64(size)), size-1)] = '|'
	}
	if *c.RemainingSeconds <= 0 {
		return fmt.Sprintf("[%s] nothing left", bar)
	}
	return fmt.Sprintf("[%s] %d %% left, %s", bar, int(left*100), long(time.Duration(*c.RemainingSeconds)*time.Second))
}

// share is a part of the certificate's life, from 0 to 1.
func (c CertificateReport) share(seconds int64) float64 {
	if *c.LifetimeSeconds <= 0 { // it was stored when it had expired
		return 0
	}
	return min(max(float64(seconds)/float64(*c.LifetimeSeconds), 0), 1)
}

// distance says how far away a moment is.
func distance(d time.Duration) string {
	if d < 0 {
		return long(-d) + " ago"
	}
	return "in " + long(d)
}

// long says how long something is, in the two units that matter.
func long(d time.Duration) string {
	days, hours, minutes, seconds := int(d/(24*time.Hour)), int(d/time.Hour), int(d/time.Minute), int(d/time.Second)
	switch {
	case days >= 10:
		return fmt.Sprintf("%d d", days)
	case days >= 2:
		return fmt.Sprintf("%d d %d h", days, hours%24)
	case hours >= 1:
		return fmt.Sprintf("%d h %d min", hours, minutes%60)
	case minutes >= 1:
		return fmt.Sprintf("%d min %d s", minutes, seconds%60)
	}
	return fmt.Sprintf("%d s", seconds)
}
