package powercut

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Cut is one way in which the power can go: after so many operations, with these of the effects not yet synced on the disk.
type Cut struct {
	log *Log
	// After is the number of operations made before it.
	After int
	kept  map[int]bool
}

// exhaustive is up to how many pending effects every subset of them is tried.
const exhaustive = 12

// Cuts returns every way in which the power can go after the given number of operations; with more than 12 effects pending, so
// many of them, drawn with random, all and none among them.
func (l *Log) Cuts(after, samples int, random *rand.Rand) []Cut {
	pending := l.pending(after)
	if len(pending) <= exhaustive {
		cuts := make([]Cut, 0, 1<<len(pending))
		for set := range uint64(1) << len(pending) {
			cuts = append(cuts, l.cut(after, pending, func(i int) bool { return set>>i&1 == 1 }))
		}
		return cuts
	}
	cuts := []Cut{
		l.cut(after, pending, func(int) bool { return false }),
		l.cut(after, pending, func(int) bool { return true }),
	}
	for range samples {
		cuts = append(cuts, l.cut(after, pending, func(int) bool { return random.IntN(2) == 0 }))
	}
	return cuts
}

// Kill is the cut that loses nothing: the program is killed, and the machine goes on.
func (l *Log) Kill(after int) Cut {
	return l.cut(after, l.pending(after), func(int) bool { return true })
}

// Pending is how many effects are not yet synced after so many operations.
func (l *Log) Pending(after int) int { return len(l.pending(after)) }

func (l *Log) pending(after int) []int {
	var pending []int
	for i, e := range l.effects[:l.countAfter(after)] {
		if e.syncedAt == 0 || e.syncedAt > after {
			pending = append(pending, i)
		}
	}
	return pending
}

func (l *Log) countAfter(after int) int {
	if after == 0 {
		return 0
	}
	return l.upTo[after-1]
}

func (l *Log) cut(after int, pending []int, keeps func(int) bool) Cut {
	kept := map[int]bool{}
	for i, effect := range pending {
		if keeps(i) {
			kept[effect] = true
		}
	}
	return Cut{l, after, kept}
}

// Disk is what is there afterwards.
func (c Cut) Disk() *Disk {
	disk := c.log.initial.clone()
	for i, e := range c.log.effects[:c.log.countAfter(c.After)] {
		if e.syncedAt > 0 && e.syncedAt <= c.After || c.kept[i] {
			e.apply(disk)
		}
	}
	return disk
}

func (c Cut) String() string {
	last := "nothing"
	if c.After > 0 {
		last = c.log.ops[c.After-1]
	}
	var lost []string
	for _, i := range c.log.pending(c.After) {
		if !c.kept[i] {
			lost = append(lost, strings.ReplaceAll(c.log.effects[i].text, c.log.initial.top+"/", ""))
		}
	}
	return fmt.Sprintf("the power goes after operation %d (%s), lost: %q", c.After, last, lost)
}

// Times are those of the files: what they were given, or had before anything was recorded; zero: that of their last write.
func (d *Disk) Times() map[string]time.Time {
	times := map[string]time.Time{}
	for path, i := range d.names {
		n := d.inodes[i]
		if n.kind != 0 || !d.reachable(filepath.Dir(path)) {
			continue
		}
		times[path] = n.modified
		if n.modified.IsZero() && n.info != nil {
			times[path] = n.info.ModTime()
		}
	}
	return times
}

// Same is equal for disks that hold the same. Of times it knows nothing: see [Disk.Times].
func (d *Disk) Same() string {
	sum := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(d.names)) {
		if n := d.inodes[d.names[path]]; d.reachable(path[:strings.LastIndexByte(path, '/')]) {
			fmt.Fprintf(sum, "%s\x00%v\x00%v\x00%d\x00%s\x00", path, n.kind, n.mode, len(n.content), n.content)
		}
	}
	return string(sum.Sum(nil))
}

func (d *Disk) String() string {
	var text strings.Builder
	for _, path := range slices.Sorted(maps.Keys(d.names)) {
		n := d.inodes[d.names[path]]
		fmt.Fprintf(&text, "%v%v %d bytes %s\n", n.kind, n.mode, len(n.content), path)
	}
	return text.String()
}
