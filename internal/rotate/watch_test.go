package rotate

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// scene is the test to which a line of a table belongs.
type scene struct{ *testing.T }

// setting is where the path that is watched leads to. Both functions get the test's own folder; the path is always DIR/etc/file.
type setting struct {
	name string
	// before lays out what is there at first, bring makes the way to the file's folder complete and returns that folder and the
	// file's name in it.
	before func(t scene, dir string)
	bring  func(t scene, dir string) (folder, name string)
}

func nothing(scene, string) {}

func plain(_ scene, dir string) (folder, name string) { return filepath.Join(dir, "etc"), "file" }

var places = []setting{
	{"a folder", func(t scene, dir string) { mkdirs(t, dir+"/etc") }, plain},
	{"a folder made later", nothing, func(t scene, dir string) (string, string) {
		mkdirs(t, dir+"/etc")
		return plain(t, dir)
	}},
	{"a folder renamed in", func(t scene, dir string) { mkdirs(t, dir+"/new") }, func(t scene, dir string) (string, string) {
		must(t, os.Rename(dir+"/new", dir+"/etc"))
		return plain(t, dir)
	}},
	{"a folder removed and made again", func(t scene, dir string) { mkdirs(t, dir+"/etc") }, func(t scene, dir string) (string, string) {
		must(t, os.Remove(dir+"/etc"))
		mkdirs(t, dir+"/etc")
		return plain(t, dir)
	}},
	{"a folder renamed away and replaced", func(t scene, dir string) { mkdirs(t, dir+"/etc") }, func(t scene, dir string) (string, string) {
		must(t, os.Rename(dir+"/etc", dir+"/old"))
		mkdirs(t, dir+"/etc")
		return plain(t, dir)
	}},
	{"a link to a folder", func(t scene, dir string) {
		mkdirs(t, dir+"/far/away")
		must(t, os.Symlink("far/away", dir+"/etc"))
	}, func(_ scene, dir string) (string, string) { return dir + "/far/away", "file" }},
	{"a link to a folder made later", func(t scene, dir string) { must(t, os.Symlink(dir+"/far/away", dir+"/etc")) }, func(t scene, dir string) (string, string) {
		mkdirs(t, dir+"/far/away")
		return dir + "/far/away", "file"
	}},
	{"a link led to another folder", func(t scene, dir string) {
		mkdirs(t, dir+"/a", dir+"/b")
		must(t, os.Symlink("a", dir+"/etc"))
	}, func(t scene, dir string) (string, string) {
		replace(t, "b", dir+"/etc")
		return dir + "/b", "file"
	}},
	{"a file that is a link", func(t scene, dir string) {
		mkdirs(t, dir+"/etc", dir+"/run/secrets")
		must(t, os.Symlink("../run/./secrets//x", dir+"/etc/file"))
	}, func(_ scene, dir string) (string, string) { return dir + "/run/secrets", "x" }},
	{"a file that is a link into folders made later", func(t scene, dir string) {
		mkdirs(t, dir+"/etc")
		must(t, os.Symlink(dir+"/run/secrets/x", dir+"/etc/file"))
	}, func(t scene, dir string) (string, string) {
		mkdirs(t, dir+"/run/secrets")
		return dir + "/run/secrets", "x"
	}},
	{"a link through a link and back up from where that leads", func(t scene, dir string) {
		mkdirs(t, dir+"/etc", dir+"/far/away", dir+"/far/run")
		must(t, os.Symlink("../far/away", dir+"/etc/there"))
		must(t, os.Symlink("there/../run/x", dir+"/etc/file"))
	}, func(_ scene, dir string) (string, string) { return dir + "/far/run", "x" }},
	{"a volume as Kubernetes writes it, swapped", func(t scene, dir string) {
		mkdirs(t, dir+"/etc/..2026_01", dir+"/etc/..2026_02")
		must(t, os.Symlink("..2026_01", dir+"/etc/..data"))
		must(t, os.Symlink("..data/file", dir+"/etc/file"))
	}, func(t scene, dir string) (string, string) {
		replace(t, "..2026_02", dir+"/etc/..data")
		return dir + "/etc/..2026_02", "file"
	}},
}

// deep are the places with folders made later at one level more each.
func deep() []setting {
	var all []setting
	for levels, sub := 1, ""; levels <= 3; levels++ {
		sub += "/sub"
		real := sub
		all = append(all, setting{
			strings.Repeat("a folder in ", levels) + "a folder made later", func(t scene, dir string) {
				must(t, os.Symlink(dir+"/deep"+real+"/file", dir+"/etc-file"))
				mkdirs(t, dir+"/etc")
				must(t, os.Symlink("../etc-file", dir+"/etc/file"))
			}, func(t scene, dir string) (string, string) {
				mkdirs(t, dir+"/deep"+real)
				return dir + "/deep" + real, "file"
			},
		})
	}
	return all
}

// arrivals are the ways in which a file comes to its place; elsewhere is on the same file system.
var arrivals = []struct {
	name string
	come func(t scene, elsewhere, path string)
}{
	{"written in place", func(t scene, _, path string) { write(t, path, "new") }},
	{"renamed in", func(t scene, elsewhere, path string) {
		write(t, elsewhere+"/temp", "new")
		must(t, os.Rename(elsewhere+"/temp", path))
	}},
	{"renamed in its folder", func(t scene, _, path string) {
		write(t, path+".tmp", "new")
		must(t, os.Rename(path+".tmp", path))
	}},
	{"linked", func(t scene, elsewhere, path string) {
		write(t, elsewhere+"/temp", "new")
		must(t, os.Link(elsewhere+"/temp", path))
	}},
	{"a link to a file", func(t scene, elsewhere, path string) {
		write(t, elsewhere+"/target", "new")
		must(t, os.Symlink(elsewhere+"/target", path))
	}},
	{"a link to what is written then", func(t scene, elsewhere, path string) {
		must(t, os.Symlink(elsewhere+"/later/target", path))
		mkdirs(t, elsewhere+"/later")
		write(t, elsewhere+"/later/target", "new")
	}},
}

// departures are what happens to a file that is there.
var departures = []struct {
	name   string
	happen func(t scene, elsewhere, path string)
}{
	{"written over", func(t scene, _, path string) { write(t, path, "other") }},
	{"appended to", func(t scene, _, path string) {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		must(t, err)
		_, err = f.WriteString("more")
		must(t, err)
		must(t, f.Close())
	}},
	{"cut off", func(t scene, _, path string) { must(t, os.Truncate(path, 1)) }},
	{"of another mode", func(t scene, _, path string) { must(t, os.Chmod(path, 0o640)) }},
	{"replaced", func(t scene, elsewhere, path string) {
		write(t, elsewhere+"/temp2", "newer")
		must(t, os.Rename(elsewhere+"/temp2", path))
	}},
	{"removed", func(t scene, _, path string) { must(t, os.Remove(path)) }},
	{"renamed away", func(t scene, _, path string) { must(t, os.Rename(path, path+".used")) }},
	{"gone with its folder", func(t scene, elsewhere, path string) {
		must(t, os.Rename(filepath.Dir(path), elsewhere+"/gone"))
	}},
}

func TestAReaderKnowsOfAFileHoweverItComesAndWhateverHappensToIt(t *testing.T) {
	all := append(deep(), places...)
	random, of := sample.Random(t), howMany(1, len(departures))
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			w := watching(t, t.TempDir())
			for _, a := range arrivals {
				for _, i := range random.Perm(len(departures))[:of] {
					dir, d := t.TempDir(), departures[i]
					mkdirs(t, dir+"/elsewhere")
					p.before(scene{t}, dir)
					w.Set([]string{dir + "/etc/file"})
					r := read(w, dir+"/etc/file")
					folder, name := p.bring(scene{t}, dir)
					a.come(scene{t}, dir+"/elsewhere", filepath.Join(folder, name))
					r.expectTruth(t, "a file was "+a.name)
					if contentOf(dir+"/etc/file") == "none" {
						t.Fatalf("%s, %s: the test brings no file", p.name, a.name)
					}
					d.happen(scene{t}, dir+"/elsewhere", filepath.Join(folder, name))
					r.expectTruth(t, "a file was "+a.name+" and "+d.name)
					r.stop()
				}
			}
		})
	}
	t.Logf("%d places × %d ways to come × %d things that happen then (of %d): %d", len(all), len(arrivals), of, len(departures), len(all)*len(arrivals)*of)
}

func TestNothingIsSaidWhenNothingChanges(t *testing.T) {
	var quiet []func()
	for _, p := range append(deep(), places...) {
		dir := t.TempDir()
		p.before(scene{t}, dir)
		folder, name := p.bring(scene{t}, dir)
		path := filepath.Join(folder, name)
		write(t, path, "here")
		w := watching(t, dir+"/etc/file")
		for range 10 {
			contentOf(dir + "/etc/file")
			contentOf(dir + "/etc")
			w.Set([]string{dir + "/etc/file"})
		}
		write(t, folder+"/neighbour", "of no interest")
		mkdirs(t, dir+"/beside")
		must(t, w.Err())
		quiet = append(quiet, func() {
			select {
			case <-w.Changed():
				t.Errorf("%s: it was read, the same path was set, and what lies beside it was changed: taken for a change", p.name)
			default:
			}
			write(t, path, "there")
			expectSignal(t, w, "the first change after a long time: "+p.name)
		})
	}
	time.Sleep(300 * time.Millisecond) // there is no condition for "nothing will come"
	for _, check := range quiet {
		check()
	}
}
