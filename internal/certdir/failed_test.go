package certdir

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// failingOnce fails the k-th operation and lets all others through, as a disk in trouble may. It notes what was let through.
func failingOnce(k int, done *[]string, failed *bool) durable.Disk {
	calls := 0
	return durable.Disk{Before: func(op durable.Op) error {
		if calls++; calls == k+1 {
			*failed = true
			return errCrash
		}
		*done = append(*done, op.Call+" "+filepath.Base(op.Path))
		return nil
	}}
}

// Attempts on a disk in trouble are many: each must leave what was there, and must not fill the disk.
func TestAFailedCommitLeavesThePairInUseAndNothingBesideIt(t *testing.T) {
	m := newMaterial(t)
	at := noon.Add(time.Hour)
	name := "kubelet-server-" + at.Local().Format(dataTime) + ".pem"
	for _, s := range []state{{missing, missing, missing}, {ours, ours, "good"}, {ours, ours, "bad"}} {
		for k := 0; ; k++ {
			d := newDir(t)
			m.furnish(t, d, s)
			before, done, failed := d.contents(t), []string{}, false
			d.Disk = failingOnce(k, &done, &failed)
			err := d.Commit(Serving, m.next, at)
			if !failed {
				must(t, err)
				break
			}
			if !errors.Is(err, errCrash) {
				t.Errorf("%s, operation %d failed, and that is said: %v", s, k, err)
			}
			after := d.contents(t)
			switch pair, err := d.Read(Serving); {
			case err == nil && string(pair.PEM) == string(m.next): // only the last sync is missing
			case !maps.Equal(before, after):
				t.Errorf("%s, operation %d failed: there is %v, before there was %v", s, k, slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)))
			case slices.Contains(done, "rename "+name) && !slices.Equal(done[len(done)-2:], []string{"unlink " + name, "fsync-dir " + filepath.Base(d.Path)}):
				t.Errorf("%s, operation %d failed: taken back with %q", s, k, done)
			}
			d.Disk = durable.Disk{}
			must(t, d.Commit(Serving, m.next, noon.Add(2*time.Hour)))
			d.expectCurrent(t, Serving, m.next)
		}
	}
}
