package certdir

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// everyChange is every way in which this package changes the cert-dir.
var everyChange = []struct {
	name   string
	change func(d Dir, m material) error
}{
	{"Open", func(d Dir, _ material) error { return d.Open() }},
	{"WritePending", func(d Dir, m material) error { return d.WritePending(Serving, m.next) }},
	{"RemovePending", func(d Dir, _ material) error { return d.RemovePending(Client) }},
	{"WriteCA", func(d Dir, m material) error { return d.WriteCA(d.ServerCA(), m.realCert) }},
	{"Use", func(d Dir, _ material) error { return d.Use(Client, d.Older(Client)[0]) }},
	{"Commit", func(d Dir, m material) error { return d.Commit(Client, m.next, noon.Add(time.Hour)) }},
	{"CommitServing", func(d Dir, m material) error { return d.CommitServing(m.next, noon.Add(time.Hour)) }},
	{"FinishServing", func(d Dir, _ material) error { return d.FinishServing() }},
	{"LinkServing", func(d Dir, _ material) error { return d.LinkServing() }},
	{"ReleaseServing", func(d Dir, _ material) error { return d.ReleaseServing() }},
	{"RepairLinks", func(d Dir, _ material) error { _, err := d.RepairLinks(); return err }},
	{"Sweep", func(d Dir, _ material) error {
		_, err := d.Sweep([]Kind{Client, Serving}, 0, noon.Add(2*time.Hour))
		return err
	}},
}

// The operations are what is replayed after a power cut and what a crash is tried at. A change that nobody was told of would
// escape all of that.
func TestBetweenTwoAnnouncedOperationsOnlyWhatWasAnnouncedChanges(t *testing.T) {
	m, operations := newMaterial(t), 0
	for _, s := range beforeCrash {
		for _, c := range everyChange {
			d := furnishedForAll(t, m, s)
			before, last := d.contents(t), durable.Op{}
			look := func(next durable.Op) {
				now := d.contents(t)
				for name := range union(before, now) {
					moved := strings.HasPrefix(last.Call, "rename") && name == filepath.Base(last.From)
					if now[name] != before[name] && name != filepath.Base(last.Path) && !moved {
						t.Errorf("%s; before: %s: %s has changed behind %s %s", c.name, s, name, last.Call, last.Path)
					}
				}
				before, last = now, next
				operations++
			}
			d.Disk = durable.Disk{Before: func(next durable.Op) error { look(next); return nil }}
			_ = c.change(d, m)
			look(durable.Op{})
		}
	}
	t.Logf("%d states, %d changes, %d operations", len(beforeCrash), len(everyChange), operations)
}

// furnishedForAll is a folder in which every change has something to do.
func furnishedForAll(t *testing.T, m material, s state) Dir {
	t.Helper()
	d := newDir(t)
	m.furnish(t, d, s)
	must(t, d.Commit(Client, m.good, noon))
	must(t, d.WritePending(Client, m.next))
	d.write(t, "kubelet-client-2026-01-01-00-00-00.pem", m.good)
	d.write(t, "kubelet-server-2026-01-01-00-00-00.pem", m.good)
	d.write(t, ".kubelet.crt"+random, nil)
	for _, name := range d.names(t) {
		if path := filepath.Join(d.Path, name); !isLink(path) {
			must(t, os.Chtimes(path, noon, noon))
		}
	}
	return d
}

func isLink(path string) bool {
	_, err := os.Readlink(path)
	return err == nil
}

// contents is what stands at each name.
func (d Dir) contents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range d.names(t) {
		path := filepath.Join(d.Path, name)
		info, err := os.Lstat(path)
		must(t, err)
		if target, err := os.Readlink(path); err == nil {
			all[name] = "leads to " + target
			continue
		}
		all[name] = fmt.Sprintf("%s %s", info.Mode(), d.content(t, name))
	}
	return all
}

func union(a, b map[string]string) map[string]bool {
	all := map[string]bool{}
	for name := range a {
		all[name] = true
	}
	for name := range b {
		all[name] = true
	}
	return all
}

// Without the names of the folders above, which somebody else may have made a moment ago, nothing is found again.
func TestSyncMakesTheFolderAndTheWayToItDurable(t *testing.T) {
	for _, there := range []bool{false, true} {
		d := Dir{Path: filepath.Join(newDir(t).Path, "a", "pki")}
		if there {
			must(t, os.MkdirAll(d.Path, 0o700))
		}
		var synced []string
		d.Disk = durable.Disk{Before: func(op durable.Op) error {
			if op.Call == "fsync-dir" {
				synced = append(synced, op.Path)
			}
			return nil
		}}
		must(t, d.Open())
		must(t, d.Sync())
		for path := d.Path; path != "/"; path = filepath.Dir(path) {
			if !slices.Contains(synced, path) {
				t.Errorf("there before: %v: %s is not synced, only %q", there, path, synced)
			}
		}
	}
}
