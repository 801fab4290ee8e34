package certdir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOfTheKubeletsNamesLinksOfOursAndThoseThatLeadNowhereAreOursAndNoOthers(t *testing.T) {
	forEveryState(t, func(s state, d Dir, _ material) {
		n := d.Names()
		var expectedOurs, expectedForeign []string
		for _, one := range []struct{ name, what string }{{servingKey, s.key}, {servingCert, s.crt}} {
			path := filepath.Join(d.Path, one.name)
			switch one.what {
			case ours, oursFull, dangles:
				expectedOurs = append(expectedOurs, path)
			case foreign, real:
				expectedForeign = append(expectedForeign, path)
			}
		}
		if !slices.Equal(n.Ours, expectedOurs) || !slices.Equal(n.Foreign, expectedForeign) || len(n.Strays)+len(n.Unread)+len(n.Kept) > 0 || n.Original {
			t.Errorf("%+v, expected ours %q, foreign %q", n, expectedOurs, expectedForeign)
		}
		_, err := d.RepairLinks()
		must(t, err)
		must(t, d.CopyServing())
		expectHarmless(t, d)
		if d.Releasing(d.Names()) {
			t.Error("there are still links")
		}
		if s.current == "good" {
			d.expectCurrent(t, Serving, mustRead(t, d))
		}
	})
}

// mustRead is the text of the current serving pair.
func mustRead(t *testing.T, d Dir) []byte {
	t.Helper()
	pair, err := d.Read(Serving)
	must(t, err)
	return pair.PEM
}

func TestACopyOfOurPairIsOursAsLongAsThePairIsThere(t *testing.T) {
	d := newDir(t)
	must(t, d.CommitServing(newPair(t, "good", noon), noon))
	must(t, d.CopyServing())
	must(t, d.CopyServing())
	if n := d.Names(); len(n.Ours) != 2 || len(n.Foreign) > 0 {
		t.Errorf("%+v", n)
	}
	must(t, d.RemovePairs(Serving))
	if left := d.names(t); strings.Join(left, " ") != "kubelet.crt kubelet.key" {
		t.Errorf("%q are left", left)
	}
	if n := d.Names(); len(n.Ours) > 0 || len(n.Foreign) != 2 {
		t.Errorf("%+v", n)
	}
}

// What stands there already, or what somebody else put there meanwhile, decides whether the pair from before can go back.
func TestThePairFromBeforeGoesBackWhereNobodyElsesStands(t *testing.T) {
	m := newMaterial(t)
	for _, c := range []struct {
		name              string
		put               func(Dir)
		original, changes bool
	}{
		{"links of ours", func(Dir) {}, true, true},
		{"nothing", func(d Dir) { must(t, os.Remove(d.servingNames()[0])); must(t, os.Remove(d.servingNames()[1])) }, true, true},
		{"the certificate only is back", func(d Dir) { must(t, os.Remove(d.servingNames()[0])); d.write(t, servingCert, m.realCert) }, true, true},
		{"copies of ours", func(d Dir) { must(t, d.CopyServing()) }, true, true},
		{"it is back", func(d Dir) { must(t, d.RestoreOriginal(noon)) }, false, false},
		{"somebody else's key", func(d Dir) { must(t, os.Remove(d.servingNames()[1])); d.write(t, servingKey, m.foreignKey) }, false, false},
	} {
		d := newDir(t)
		d.write(t, servingCert, m.realCert)
		d.write(t, servingKey, m.realKey)
		must(t, d.CommitServing(m.good, noon))
		c.put(d)
		n := d.Names()
		if n.Original != c.original || len(n.Kept) != 2 {
			t.Errorf("%s: %+v, expected to go back: %t", c.name, n, c.original)
		}
		if !c.changes {
			continue
		}
		must(t, d.RestoreOriginal(noon.Add(time.Hour)))
		if d.kindOf(t, servingCert) != real || d.content(t, servingCert) != string(m.realCert) || d.content(t, servingKey) != string(m.realKey) {
			t.Errorf("%s: another pair stands there", c.name)
		}
		if n := d.Names(); len(n.Needless) != 2 || n.Original || len(n.Ours)+len(n.Foreign) > 0 {
			t.Errorf("%s: afterwards %+v", c.name, n)
		}
	}
}

func TestAFileToWhichANameOfOursLeadsIsAStrayUnlessItIsOurs(t *testing.T) {
	d, elsewhere := newDir(t), newDir(t)
	must(t, d.Commit(Client, newPair(t, "good", noon), noon))
	if strays := d.Strays(); len(strays) > 0 {
		t.Errorf("%q", strays)
	}
	elsewhere.write(t, "pair.pem", newPair(t, "good", noon))
	d.write(t, "pair.pem", newPair(t, "good", noon))
	must(t, os.Remove(d.Current(Client)))
	d.link(t, filepath.Join(elsewhere.Path, "pair.pem"), "kubelet-client-current.pem")
	d.link(t, "pair.pem", "kubelet-server-current.pem")
	if strays := d.Strays(); !slices.Equal(strays, []string{filepath.Join(elsewhere.Path, "pair.pem"), filepath.Join(d.Path, "pair.pem")}) {
		t.Errorf("%q", strays)
	}
}

func TestOursAreFilesAndLinksOfOurNamesAndNothingElse(t *testing.T) {
	d := newDir(t)
	for _, name := range []string{
		"kubelet-client-2026-01-02-03-04-05.pem", "kubelet-client-mine.pem", "kubelet-server-2026-01-02-03-04-05.pem", "kubelet.pem", ".rotate-client",
		"kubelet-client.pending.pem", "kubelet-apiserver-ca.crt", "ca.crt", ".kubelet-client.pending.pem.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp", "x.tmp",
	} {
		d.write(t, name, nil)
	}
	must(t, os.Mkdir(d.PendingFile(Serving), 0o700))
	d.link(t, "nothing", "kubelet-server-current.pem")
	var found []string
	for _, path := range slices.Concat(d.Requests(), d.Pairs(Client), d.Pairs(Serving), d.CAs()) {
		found = append(found, filepath.Base(path))
	}
	expected := []string{
		".rotate-client", "kubelet-client.pending.pem", ".kubelet-client.pending.pem.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp", "kubelet-client-2026-01-02-03-04-05.pem",
		"kubelet-server-current.pem", "kubelet-server-2026-01-02-03-04-05.pem", "kubelet-apiserver-ca.crt",
	}
	if !slices.Equal(found, expected) {
		t.Errorf("%q, expected %q", found, expected)
	}
	if obstacles := d.Obstacles(); !slices.Equal(obstacles, []string{d.PendingFile(Serving)}) {
		t.Errorf("%q stand in the way", obstacles)
	}
}
