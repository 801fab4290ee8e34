package rotate

import (
	"fmt"
	"testing"
	"time"
)

// due is whether a certificate is to be rotated by now.
type due string

const (
	never  due = "on no node"
	always due = "on every node"
	some   due = "on about half of the nodes, as the draw falls"
)

// The eight lifetimes of client-go's TestSetRotationDeadline. client-go fixes the draw there and compares with 70 % of the life;
// here each lifetime is drawn for a thousand nodes. A kubelet draws again at each start, from 70 to 90 % however short the life.
func TestTheLifetimesOfTheKubeletsTestsAreRotatedInTheirTime(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name      string
		ago, left time.Duration
		// first and last are the range of the draw, in parts of the life.
		first, last float64
		due         due
	}{
		{"just issued", time.Hour, 99 * time.Hour, 0.7, 0.9, never},
		{"half way", day, day, 0.7, 0.9, never},
		{"at 69 %", 69 * time.Hour, 31 * time.Hour, 0.7, 0.9, never},
		{"at 91 %", 91 * time.Hour, 9 * time.Hour, 0.7, 0.9, always},
		{"at 99 %", 99 * time.Hour, time.Hour, 0.7, 0.9, always},
		{"expired for an hour", 10 * time.Hour, -time.Hour, 0.7, 0.9, always},
		{"half way through a year", 180 * day, 180 * day, 0.7, 0.9, never},
		{"half way through a minute: there the draw begins, for a kubelet may notice nothing for five", 30 * time.Second, 30 * time.Second, 0.5, 0.6, never},
		// and those that client-go's test lacks: within the range of the draw, and the shortest life that an API server grants
		{"at 80 %", 80 * time.Hour, 20 * time.Hour, 0.7, 0.9, some},
		{"at 55 % of the ten minutes that are the least an API server grants", 330 * time.Second, 270 * time.Second, 0.5, 0.6, some},
	} {
		now, life := begin.Add(c.ago), c.ago+c.left
		reached := 0
		for i, serial := range serials(1000) {
			at := Deadline(leafFor(life, serial), begin, fmt.Sprintf("node-%d", i))
			if !at.After(now) {
				reached++
			}
			part := float64(at.Sub(begin)) / float64(life)
			if part < c.first-1e-6 || part > c.last+1e-6 {
				t.Fatalf("%s: node %d rotates at %.4f of the life, expected %v to %v", c.name, i, part, c.first, c.last)
			}
			if left := begin.Add(life).Sub(at); life >= 100*time.Minute && left < kubeletReread {
				t.Fatalf("%s: node %d rotates %s before the end: a kubelet that looks every five minutes needs %s", c.name, i, left, kubeletReread)
			}
		}
		if !map[due]bool{never: reached == 0, always: reached == 1000, some: reached > 400 && reached < 600}[c.due] {
			t.Errorf("%s: due on %d of 1000 nodes, expected %s", c.name, reached, c.due)
		}
	}
}
