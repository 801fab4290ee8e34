package certdir

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// state is one combination of what can stand at the kubelet's own two names, and what the current serving pair is like.
type state struct{ crt, key, current string }

func (s state) String() string {
	return fmt.Sprintf("kubelet.crt %s, kubelet.key %s, current pair %s", s.crt, s.key, s.current)
}

// The kinds of things at one of the two names.
const (
	missing  = "missing"
	ours     = "our link"
	oursFull = "our link with a full path"
	dangles  = "dangling link"
	foreign  = "foreign link"
	real     = "real file"
)

var (
	namedThings  = []string{missing, ours, oursFull, dangles, foreign, real}
	currentPairs = []string{"good", "bad", missing}
)

// forEveryState calls test for each combination with a folder of its own.
func forEveryState(t *testing.T, test func(s state, d Dir, m material)) {
	t.Helper()
	m := newMaterial(t)
	for _, crt := range namedThings {
		for _, key := range namedThings {
			for _, current := range currentPairs {
				s := state{crt, key, current}
				d := newDir(t)
				m.furnish(t, d, s)
				test(s, d, m)
				if t.Failed() {
					t.Fatalf("state: %s; in the folder: %q", s, d.names(t))
				}
			}
		}
	}
}

// material are the pairs that the states are made from.
type material struct {
	good, next                                 []byte
	realCert, realKey, foreignCert, foreignKey []byte
}

func newMaterial(t *testing.T) material {
	t.Helper()
	m := material{good: newPair(t, "good", noon), next: newPair(t, "next", noon)}
	m.realCert, m.realKey = splitPair(newPair(t, "real", noon))
	m.foreignCert, m.foreignKey = splitPair(newPair(t, "foreign", noon))
	return m
}

func (m material) furnish(t *testing.T, d Dir, s state) {
	t.Helper()
	switch s.current {
	case "good":
		must(t, d.Commit(Serving, m.good, noon))
	case "bad":
		must(t, d.Commit(Serving, m.good[:100], noon))
	}
	m.put(t, d, s.crt, servingCert, "foreign.crt", m.realCert, m.foreignCert)
	m.put(t, d, s.key, servingKey, "foreign.key", m.realKey, m.foreignKey)
}

func (m material) put(t *testing.T, d Dir, what, name, elsewhere string, realText, foreignText []byte) {
	t.Helper()
	switch what {
	case ours:
		d.link(t, filepath.Base(d.Current(Serving)), name)
	case oursFull:
		d.link(t, d.Current(Serving), name)
	case dangles:
		d.link(t, "nothing.pem", name)
	case foreign:
		d.write(t, elsewhere, foreignText)
		d.link(t, elsewhere, name)
	case real:
		d.write(t, name, realText)
	}
}

// expectHarmless is what the kubelet needs: no dangling link, and of two links a pair.
func expectHarmless(t *testing.T, d Dir) {
	t.Helper()
	names := d.servingNames()
	if expectNoneDangles(t, d) == 2 {
		if _, err := tls.LoadX509KeyPair(names[0], names[1]); err != nil {
			t.Errorf("both names are links, and the kubelet cannot read the pair: %v", err)
		}
	}
}

// expectNoneDangles returns how many links there are: through a dangling one the kubelet writes a key that all can read, and does
// not start again.
func expectNoneDangles(t *testing.T, d Dir) (links int) {
	t.Helper()
	for _, path := range d.servingNames() {
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		links++
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s dangles: %v", path, err)
		}
	}
	return links
}

// kindOf says what stands at a name now.
func (d Dir) kindOf(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(d.Path, name)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return missing
	case info.Mode().IsRegular():
		return real
	case d.isOurLink(path):
		return ours
	}
	target, err := os.Readlink(path)
	must(t, err)
	if strings.HasPrefix(target, "foreign") {
		return foreign
	}
	return dangles
}

func isOurs(what string) bool { return what == ours || what == oursFull }

// whole says whether the kubelet could load what stands at the two names.
func (s state) whole() bool {
	return (s.crt == real && s.key == real) || (s.crt == foreign && s.key == foreign)
}
