package certdir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

const random = ".ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp"

// litter is one file of a cert-dir, and what a sweep of both kinds, keeping one, does with it.
type litter struct {
	name    string
	content []byte
	target  string
	age     time.Duration
	goes    bool
}

func litterIn(t *testing.T) []litter {
	t.Helper()
	client := func(days int) []byte { return newPair(t, "client", noon.AddDate(0, 0, days)) }
	const hour = time.Hour
	return []litter{
		{name: "kubelet-client-2026-02-01-00-00-00.pem", content: client(1), age: hour}, // in use
		{name: "kubelet-client-current.pem", target: "kubelet-client-2026-02-01-00-00-00.pem"},
		{name: "kubelet-client-2026-01-03-00-00-00.pem", content: client(-1), age: hour}, // the previous one
		{name: "kubelet-client-2026-01-02-00-00-00.pem", content: client(-2), age: hour, goes: true},
		{name: "kubelet-client-2026-01-01-00-00-00.pem", content: client(-3), age: time.Minute}, // old enough only a moment later
		{name: "kubelet-client-2026-01-09-00-00-00.pem", content: []byte("damaged"), age: hour, goes: true},
		{name: "kubelet-client-2026-01-10-00-00-00.pem", content: client(-4), age: hour}, // a name of somebody's
		{name: "mine.pem", target: "kubelet-client-2026-01-10-00-00-00.pem"},
		{name: "kubelet-server-2026-01-01-00-00-00.pem", content: client(0), age: hour}, // no current one: it is the newest
		{name: "kubelet-server-2026-01-02-00-00-00.pem", content: client(-1), age: hour, goes: true},
		{name: ".kubelet.crt" + random, content: []byte("a crash left it"), age: hour, goes: true},
		{name: ".kubelet.key" + random, content: []byte("just being written"), age: time.Second},
		{name: ".kubelet-client-current.pem" + random, target: "kubelet-client-2026-01-02-00-00-00.pem", goes: true}, // keeps nothing
		{name: "kubelet-client.pending.pem", age: hour},
		{name: "kubelet-server.pending.pem", age: hour},
		{name: "kubelet-apiserver-ca.crt", age: hour},
		{name: "kubelet-client-ca.crt", age: hour},
		{name: ".bootstrap-agent.lock", age: hour},
		{name: ".rotate-client", age: hour},
		{name: "kubelet.crt.orig", age: hour},
		{name: "kubelet.key.orig", age: hour},
		{name: "kubelet.crt", age: hour},
		{name: "kubelet.key", age: hour},
		{name: "kubelet-client-2026-01-01.pem", age: hour}, // not quite a name of FileStore's
		{name: "kubelet-client-2026-01-01-00-00-00.pem.bak", age: hour},
		{name: "kubelet-2026-01-01-00-00-00.pem", age: hour},
	}
}

func litterOn(t *testing.T, d Dir, all []litter) {
	t.Helper()
	for _, l := range all {
		if l.target != "" {
			d.link(t, l.target, l.name)
			continue
		}
		d.write(t, l.name, l.content)
		at := noon.Add(-l.age)
		must(t, os.Chtimes(filepath.Join(d.Path, l.name), at, at))
	}
	must(t, os.Mkdir(filepath.Join(d.Path, ".a-folder"+random), 0o700))
	must(t, os.Mkdir(filepath.Join(d.Path, "kubelet-client-2026-01-04-00-00-00.pem"), 0o700))
}

func TestASweepTakesOnlyOldFilesOfOursThatNothingNeeds(t *testing.T) {
	all := litterIn(t)
	d := newDir(t)
	litterOn(t, d, all)
	before := d.names(t)
	removed, err := d.Sweep([]Kind{Client, Serving}, 1, noon)
	must(t, err)
	var expected []string
	for _, l := range all {
		if l.goes {
			expected = append(expected, filepath.Join(d.Path, l.name))
		}
	}
	slices.Sort(expected)
	slices.Sort(removed)
	if !slices.Equal(removed, expected) {
		t.Errorf("removed %q\nexpected %q", removed, expected)
	}
	for _, name := range before {
		_, err := os.Lstat(filepath.Join(d.Path, name))
		if gone := slices.Contains(expected, filepath.Join(d.Path, name)); (err != nil) != gone {
			t.Errorf("%s: gone %v, expected %v", name, err != nil, gone)
		}
	}
	if again, err := d.Sweep([]Kind{Client, Serving}, 1, noon); len(again) > 0 || err != nil {
		t.Errorf("a second sweep finds %q, %v", again, err)
	}
}

func TestASweepLeavesOtherKindsAloneAndKeepsWhatItIsTold(t *testing.T) {
	all := litterIn(t)
	for keep, gone := range map[int][]string{
		0: {"kubelet-client-2026-01-02-00-00-00.pem", "kubelet-client-2026-01-03-00-00-00.pem", "kubelet-client-2026-01-09-00-00-00.pem"},
		2: {"kubelet-client-2026-01-09-00-00-00.pem"},
	} {
		d := newDir(t)
		litterOn(t, d, all)
		removed, err := d.Sweep([]Kind{Client}, keep, noon)
		must(t, err)
		var names []string
		for _, path := range removed {
			if name := filepath.Base(path); !durable.IsTemp(name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		if !slices.Equal(names, gone) {
			t.Errorf("keeping %d removed %q, expected %q", keep, names, gone)
		}
	}
}

func TestAFileOfSomebodyElseIsNotSwept(t *testing.T) {
	d := newDir(t)
	name := ".kubelet.crt" + random
	d.write(t, name, nil)
	path := filepath.Join(d.Path, name)
	must(t, os.Chtimes(path, noon, noon))
	if !d.sweepable(path, noon.Add(time.Hour)) {
		t.Fatal("the file is not swept though it is ours")
	}
	if os.Geteuid() != 0 {
		return // only root can give a file away
	}
	must(t, os.Chown(path, 12345, -1))
	if d.sweepable(path, noon.Add(time.Hour)) {
		t.Error("a file of somebody else would be swept")
	}
}

func TestASweepGoesOnBehindAFileThatCannotBeRemoved(t *testing.T) {
	all := litterIn(t)
	d := newDir(t)
	litterOn(t, d, all)
	broken := errors.New("broken by a test")
	first := true
	d.Disk = durable.Disk{Before: func(op durable.Op) error {
		if op.Call == "unlink" && first {
			first = false
			return broken
		}
		return nil
	}}
	removed, err := d.Sweep([]Kind{Client, Serving}, 1, noon)
	if !errors.Is(err, broken) || len(removed) != 4 {
		t.Errorf("removed %q, %v: expected the other four and the error", removed, err)
	}
	if _, err := (Dir{Path: filepath.Join(d.Path, "none")}).Sweep([]Kind{Client}, 1, noon); err == nil {
		t.Error("a folder that is not there was swept")
	}
}
