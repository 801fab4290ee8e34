package certdir

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRepairLinksLeavesNothingThatHarmsTheKubeletWhateverItFinds(t *testing.T) {
	forEveryState(t, func(s state, d Dir, m material) {
		done, err := d.RepairLinks()
		must(t, err)
		expectHarmless(t, d)
		for name, before := range map[string]string{servingCert: s.crt, servingKey: s.key} {
			if after, expected := d.kindOf(t, name), repaired(s, before); after != expected {
				t.Errorf("%s was %s and is %s, expected %s", name, before, after, expected)
			}
		}
		if s.current == "good" {
			d.expectCurrent(t, Serving, m.good)
		}
		changed := repaired(s, s.crt) != plain(s.crt) || repaired(s, s.key) != plain(s.key)
		if changed != (len(done) > 0) {
			t.Errorf("changed something: %v, and says: %q", changed, done)
		}
		if again, err := d.RepairLinks(); len(again) > 0 || err != nil {
			t.Errorf("a second repair finds something: %q, %v", again, err)
		}
	})
}

// repaired is what a repair makes of one name: dangling links go, our links go when they lead to nothing that can be used, and
// where one of the two is ours and good, the other becomes ours.
func repaired(s state, what string) string {
	completes := s.current == "good" && (isOurs(s.crt) || isOurs(s.key))
	switch {
	case completes:
		return ours
	case what == dangles, isOurs(what):
		return missing
	}
	return what
}

func plain(what string) string {
	if what == oursFull {
		return ours
	}
	return what
}

func TestLinkServingMakesBothNamesLeadToTheCurrentPairAndKeepsWhatWasThere(t *testing.T) {
	forEveryState(t, func(s state, d Dir, m material) {
		before := d.names(t)
		err := d.LinkServing()
		if s.current != "good" {
			if err == nil || strings.Join(d.names(t), " ") != strings.Join(before, " ") {
				t.Errorf("%v, in the folder %q, expected an error and no change", err, d.names(t))
			}
			return
		}
		must(t, err)
		expectHarmless(t, d)
		if !d.Linked() {
			t.Error("the names are not linked")
		}
		for name, expected := range map[string]string{
			servingCert: kept(s.crt, m.realCert, m.foreignCert), servingKey: kept(s.key, m.realKey, m.foreignKey),
		} {
			if original := d.content(t, name+originSuffix); original != expected {
				t.Errorf("of %s %q is kept, expected %q", name, original, expected)
			}
			if info, err := os.Stat(filepath.Join(d.Path, name+originSuffix)); err == nil && info.Mode() != 0o600 {
				t.Errorf("%s has mode %v", info.Name(), info.Mode())
			}
		}
	})
}

// kept is what must be left of a name that was somebody else's.
func kept(what string, realText, foreignText []byte) string {
	return map[string]string{real: string(realText), foreign: string(foreignText)}[what]
}

// A hard link would keep the kubelet's watch on the old inode.
func TestTheCopyOfARealFileIsAnotherInode(t *testing.T) {
	d := newDir(t)
	m := newMaterial(t)
	m.furnish(t, d, state{real, real, "good"})
	before, err := os.Stat(filepath.Join(d.Path, servingKey))
	must(t, err)
	must(t, d.LinkServing())
	after, err := os.Stat(filepath.Join(d.Path, servingKey+originSuffix))
	must(t, err)
	if os.SameFile(before, after) {
		t.Error("the copy is the same file")
	}
}

func TestCommitServingPutsThePairUnderTheKubeletsNamesAndRemovesThePreviousOnes(t *testing.T) {
	forEveryState(t, func(_ state, d Dir, m material) {
		must(t, d.CommitServing(m.next, noon.Add(time.Hour)))
		expectHarmless(t, d)
		d.expectCurrent(t, Serving, m.next)
		if files := d.dataFiles(Serving); !d.Linked() || len(files) != 1 {
			t.Errorf("linked %v, data files %q: expected the links and one file", d.Linked(), files)
		}
		if served, err := tls.LoadX509KeyPair(d.servingNames()[0], d.servingNames()[1]); err != nil || served.Leaf.Subject.CommonName != "next" {
			t.Errorf("the kubelet finds %v (%v)", served.Leaf, err)
		}
	})
}

func TestReleaseServingLeavesRealCopiesOrNothing(t *testing.T) {
	forEveryState(t, func(s state, d Dir, m material) {
		had := isOurs(s.crt) || isOurs(s.key)
		must(t, d.WritePending(Serving, []byte("a request")))
		if d.Releasable() != had {
			t.Errorf("to be released: %v, expected %v", !had, had)
		}
		must(t, d.ReleaseServing())
		if d.Releasable() {
			t.Error("after the release there is something to release")
		}
		switch {
		case !had: // nothing is ours: nothing is touched
			for name, before := range map[string]string{servingCert: s.crt, servingKey: s.key} {
				if after := d.kindOf(t, name); after != before {
					t.Errorf("%s was %s and is %s", name, before, after)
				}
			}
		case s.current == "good":
			expectCopies(t, d, m.good)
		default:
			for name, before := range map[string]string{servingCert: s.crt, servingKey: s.key} {
				if after := d.kindOf(t, name); isOurs(before) && after != missing || !isOurs(before) && after != before {
					t.Errorf("%s was %s and is %s", name, before, after)
				}
			}
		}
	})
}

func expectCopies(t *testing.T, d Dir, pair []byte) {
	t.Helper()
	cert, key := splitPair(pair)
	for name, content := range map[string][]byte{servingCert: cert, servingKey: key} {
		if d.kindOf(t, name) != real || d.content(t, name) != string(content) {
			t.Errorf("%s is %s and holds %q", name, d.kindOf(t, name), d.content(t, name))
		}
		if info, err := os.Stat(filepath.Join(d.Path, name)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v (%v)", name, info.Mode(), err)
		}
	}
	for _, path := range append(d.dataFiles(Serving), d.Current(Serving), d.PendingFile(Serving)) {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
}

func TestRealPairFindsThePairThatTheKubeletServesItselfAndNoOther(t *testing.T) {
	forEveryState(t, func(s state, d Dir, _ material) {
		pair, err := d.RealPair(noon.Add(time.Hour))
		if s.whole() != (err == nil) {
			t.Errorf("%v, %v, expected a pair: %v", pair, err, s.whole())
		}
		if isOurs(s.crt) || isOurs(s.key) || s.crt == missing || s.crt == dangles {
			if !errors.Is(err, ErrNoPair) {
				t.Errorf("%v, expected that there is none", err)
			}
		} else if errors.Is(err, ErrNoPair) {
			t.Errorf("%v, though there is a certificate", err)
		}
	})
}

func TestARealPairMustMatchAndMustNotHaveExpired(t *testing.T) {
	m := newMaterial(t)
	for _, c := range []struct {
		name      string
		cert, key []byte
		now       time.Time
		says      string
	}{
		{"a good pair", m.realCert, m.realKey, noon.AddDate(0, 6, 0), ""},
		{"a pair that is not valid yet: the clock may be wrong", m.realCert, m.realKey, noon.AddDate(-1, 0, 0), ""},
		{"the last second", m.realCert, m.realKey, noon.AddDate(1, 0, 0), ""},
		{"an expired pair", m.realCert, m.realKey, noon.AddDate(1, 0, 1), "expired at 2027-03-01T12:00:00Z"},
		{"another key", m.realCert, m.foreignKey, noon, "do not make a pair"},
		{"an empty certificate", nil, m.realKey, noon, "do not make a pair"},
		{"an empty key", m.realCert, nil, noon, "do not make a pair"},
		{"no certificate", m.realKey, m.realKey, noon, "do not make a pair"},
		{"a certificate that is too large", make([]byte, maxSize+1), m.realKey, noon, "larger than"},
		{"a key that is too large", m.realCert, make([]byte, maxSize+1), noon, "larger than"},
	} {
		d := newDir(t)
		d.write(t, servingCert, c.cert)
		d.write(t, servingKey, c.key)
		pair, err := d.RealPair(c.now)
		if c.says == "" && (err != nil || pair.File != d.servingNames()[0] || pair.Leaf.Subject.CommonName != "real" || pair.ModTime.IsZero()) {
			t.Errorf("%s: %+v, %v", c.name, pair, err)
		}
		if c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.says)
		}
	}
}
