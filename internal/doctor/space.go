package doctor

import (
	"context"
	"strconv"

	"golang.org/x/sys/unix"
)

// What is free. A rotation writes two files of a few kilobytes, each beside the one that it replaces.
const (
	noSpace, littleSpace   = 256 << 10, 32 << 20
	noInodes, littleInodes = 8, 256
)

func space(_ context.Context, p *Patient) []Result {
	var found []Result
	for _, place := range p.places() {
		there, err := nearest(place)
		if err != nil {
			found = append(found, unknown("%v", err).with(asRoot, "bootstrap-agent doctor"))
			continue
		}
		var stat unix.Statfs_t
		if err := unix.Statfs(there, &stat); err != nil {
			found = append(found, unknown("what is free at %s cannot be told: %v", there, err).with("see what the kernel says of it", "df "+quoted(there)))
			continue
		}
		found = append(found, judgeSpace(place, there, stat))
	}
	return found
}

// judgeSpace goes by what is left for everybody: what is reserved for root need not be for the agent, which has no capabilities.
func judgeSpace(place, there string, stat unix.Statfs_t) Result {
	free, counted := stat.Bavail*uint64(stat.Bsize), stat.Files > 0 // btrfs, for one, counts no inodes
	verdict, means := OK, "enough"
	switch {
	case free < noSpace || counted && stat.Ffree < noInodes:
		verdict, means = Broken, "not enough for a certificate"
	case free < littleSpace || counted && stat.Ffree < littleInodes:
		verdict, means = Attention, "little"
	}
	r := say(verdict, "%d MiB and %s inodes are free at %s: %s", free>>20, inodes(stat), place, means)
	if verdict == OK {
		return r
	}
	return r.with("make room; what takes it, "+asRoot, "du -xh --max-depth=2 "+quoted(there)+" | sort -h | tail")
}

func inodes(stat unix.Statfs_t) string {
	if stat.Files == 0 {
		return "any number of"
	}
	return strconv.FormatUint(stat.Ffree, 10)
}
