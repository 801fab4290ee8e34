package certdir

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

var errCrash = errors.New("the machine is switched off")

// crashingAt lets the first k operations through and stops everything after them.
func crashingAt(k int) durable.Disk {
	calls := 0
	return durable.Disk{Before: func(durable.Op) error {
		if calls++; calls > k {
			return errCrash
		}
		return nil
	}}
}

// The states that a crash can begin in.
var beforeCrash = []state{
	{missing, missing, missing},
	{missing, missing, "good"},
	{ours, ours, "good"},
	{real, real, missing},
	{real, real, "good"},
	{foreign, foreign, "good"},
	{ours, real, "good"},
	{real, ours, "good"},
	{missing, ours, "good"},
	{ours, ours, "bad"},
	{ours, ours, missing},
	{dangles, dangles, missing},
}

var interrupted = []struct {
	name   string
	change func(d Dir, m material) error
	// names: it decides what stands at the kubelet's own names.
	names bool
}{
	{"Commit", func(d Dir, m material) error { return d.Commit(Serving, m.next, noon.Add(time.Hour)) }, false},
	{"CommitServing", func(d Dir, m material) error { return d.CommitServing(m.next, noon.Add(time.Hour)) }, true},
	{"FinishServing", func(d Dir, _ material) error { return d.FinishServing() }, true},
	{"LinkServing", func(d Dir, _ material) error { return d.LinkServing() }, true},
	{"ReleaseServing", func(d Dir, _ material) error { return d.ReleaseServing() }, true},
	{"RepairLinks", func(d Dir, _ material) error { _, err := d.RepairLinks(); return err }, true},
}

func TestACrashAtAnyOperationLeavesWhatTheKubeletCanUseAndARestartCanFinish(t *testing.T) {
	m := newMaterial(t)
	for _, s := range beforeCrash {
		start := newDir(t)
		m.furnish(t, start, s)
		for _, c := range interrupted {
			for k := 0; ; k++ {
				d := clone(t, start)
				d.Disk = crashingAt(k)
				err := c.change(d, m)
				if !errors.Is(err, errCrash) {
					break // nothing was cut off, so every operation has been tried
				}
				d.Disk = durable.Disk{}
				expectUsable(t, s, d, m, c.name == "ReleaseServing")
				_, err = d.RepairLinks()
				must(t, err)
				expectHarmless(t, d)
				expectFinished(t, d, start, m, c.change, c.names)
				sweepIsEnough(t, d)
				if t.Failed() {
					t.Fatalf("%s, crash at operation %d; before: %s; in the folder: %q", c.name, k, s, d.names(t))
				}
			}
		}
	}
}

// expectUsable looks at the very moment of the crash, before anything repairs it.
func expectUsable(t *testing.T, s state, d Dir, m material, releasing bool) {
	t.Helper()
	if s.current == "good" && !releasing {
		pair, err := d.Read(Serving)
		if err != nil || string(pair.PEM) != string(m.good) && string(pair.PEM) != string(m.next) {
			t.Errorf("the pair in use is neither the old nor the new one: %v", err)
		}
	}
	if s == (state{ours, ours, "good"}) { // the kubelet served it, so it must find it at every moment
		names := d.servingNames()
		if _, err := tls.LoadX509KeyPair(names[0], names[1]); err != nil {
			t.Errorf("the kubelet does not find its pair: %v", err)
		}
	}
	if s.current == "good" || !isOurs(s.crt) && s.crt != dangles {
		expectNoneDangles(t, d)
	}
}

// expectFinished shows that the same change, made again, ends where it would have ended without the crash. Every start repairs the
// links first.
func expectFinished(t *testing.T, d, start Dir, m material, change func(Dir, material) error, names bool) {
	t.Helper()
	whole := clone(t, start)
	_, err := whole.RepairLinks()
	must(t, err)
	wholeErr := change(whole, m)
	if err := change(d, m); (err == nil) != (wholeErr == nil) {
		t.Errorf("made again: %v; without the crash: %v", err, wholeErr)
		return
	}
	if !names {
		d.expectCurrent(t, Serving, m.next)
		return
	}
	// cut off after both copies, a release leaves the pair that they are copies of: the same key, in the same folder, as private
	released := whole.kindOf(t, servingKey) == real && d.kindOf(t, servingKey) == real
	if left, expected := d.dataFiles(Serving), whole.dataFiles(Serving); len(left) != len(expected) && !released {
		t.Errorf("data files %q are left, without the crash there are %d", left, len(expected))
	}
	for _, name := range []string{servingCert, servingKey} {
		if found, expected := d.kindOf(t, name), whole.kindOf(t, name); found != expected || d.content(t, name) != whole.content(t, name) {
			t.Errorf("%s is %s, without the crash it is %s; the contents differ: %v", name, found, expected, d.content(t, name) != whole.content(t, name))
		}
	}
}

// sweepIsEnough shows that a sweep leaves neither temporary files nor pairs that are not in use.
func sweepIsEnough(t *testing.T, d Dir) {
	t.Helper()
	later := noon.Add(time.Hour)
	for _, name := range d.names(t) { // age everything
		path := filepath.Join(d.Path, name)
		if info, err := os.Lstat(path); err == nil && info.Mode().IsRegular() {
			must(t, os.Chtimes(path, noon, noon))
		}
	}
	_, err := d.Sweep([]Kind{Serving}, 0, later)
	must(t, err)
	if slices.ContainsFunc(d.names(t), durable.IsTemp) {
		t.Errorf("temporary files are left: %q", d.names(t))
	}
	if _, err := os.Lstat(d.Current(Serving)); err == nil && len(d.dataFiles(Serving)) > 1 {
		t.Errorf("data files are left: %q", d.dataFiles(Serving))
	}
}
