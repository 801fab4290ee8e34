package certdir

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/util/certificate"
)

// What client-go's tests of its FileStore put into a folder, and where a pair is looked for first: the link, then the files under the
// kubelet's own names, then nowhere. Each is read by us and by FileStore itself.
func TestThePairIsFoundWhereTheKubeletsStoreFindsIt(t *testing.T) {
	inUse, own := newPair(t, "in use", noon), newPair(t, "the kubelet's own", time.Now())
	chain, _ := splitPair(newPair(t, "the issuer", noon))
	leaf, key := splitPair(inUse)
	ownCert, ownKey := splitPair(own)
	const file = "kubelet-server-2026-03-01-12-00-00.pem"
	linked := func(content []byte) func(Dir) {
		return func(d Dir) {
			d.write(t, file, content)
			d.link(t, filepath.Join(d.Path, file), "kubelet-server-current.pem") // FileStore's links name the folder too
		}
	}
	files := func(d Dir) {
		d.write(t, "kubelet.crt", ownCert)
		d.write(t, "kubelet.key", ownKey)
	}
	for _, c := range []struct {
		name    string
		furnish []func(Dir)
		found   string // the subject; nothing: no pair
		certs   int
	}{
		{"a link to a pair", []func(Dir){linked(inUse)}, "in use", 1},
		{"a link to a pair whose key comes first", []func(Dir){linked(slicesOf(key, leaf))}, "in use", 1},
		{"a link to a pair with its issuer", []func(Dir){linked(slicesOf(leaf, chain, key))}, "in use", 2},
		{"certificate and key in files of their own", []func(Dir){files}, "the kubelet's own", 1},
		{"certificate and issuer in one file, and the key in another", []func(Dir){func(d Dir) {
			files(d)
			d.write(t, "kubelet.crt", slicesOf(ownCert, chain))
		}}, "the kubelet's own", 2},
		{"a link to a pair, and files", []func(Dir){linked(inUse), files}, "in use", 1},
		{"a link to nothing, and files", []func(Dir){func(d Dir) { d.link(t, "gone.pem", "kubelet-server-current.pem") }, files}, "the kubelet's own", 1},
		{"a certificate without its key", []func(Dir){func(d Dir) { d.write(t, "kubelet.crt", ownCert) }}, "", 0},
		{"nothing", nil, "", 0},
	} {
		d := newDir(t)
		for _, furnish := range c.furnish {
			furnish(d)
		}
		store, err := certificate.NewFileStore(string(Serving), d.Path, d.Path, filepath.Join(d.Path, "kubelet.crt"), filepath.Join(d.Path, "kubelet.key"))
		must(t, err)
		theirs, theirErr := store.Current()
		ours := d.lookUp()
		switch {
		case c.found == "" && (ours != nil || theirErr == nil):
			t.Errorf("%s: %v, and in the kubelet's store %v: expected none", c.name, ours, theirErr)
		case c.found != "" && (theirErr != nil || theirs.Leaf.Subject.CommonName != c.found || len(theirs.Certificate) != c.certs):
			t.Errorf("%s: the kubelet's store finds %v (%v)", c.name, theirs, theirErr)
		case c.found != "" && (ours == nil || !ours.Leaf.Equal(theirs.Leaf)):
			t.Errorf("%s: %v, expected what the kubelet's store finds, %s", c.name, ours, theirs.Leaf.Subject)
		}
	}
}

// lookUp is the serving pair in use, or else the one under the kubelet's own names.
func (d Dir) lookUp() *Pair {
	if pair, err := d.Read(Serving); err == nil {
		return pair
	}
	pair, _ := d.RealPair(time.Now())
	return pair
}

// What client-go's tests of the link's update do, done to both. FileStore refuses a regular file where its link belongs, for ever; an
// agent that must go on replaces it.
func TestALinkIsUpdatedAsTheKubeletsStoreDoesAndAlsoWhereThatRefuses(t *testing.T) {
	before, after := newPair(t, "before", noon), newPair(t, "after", noon.Add(time.Hour))
	certPEM, keyPEM := splitPair(after)
	const old = "kubelet-client-2026-03-01-12-00-00.pem"
	for _, c := range []struct {
		name    string
		furnish func(Dir)
		refused bool // by FileStore
	}{
		{"no link yet", func(Dir) {}, false},
		{"a link to another pair", func(d Dir) { d.write(t, old, before); d.link(t, old, "kubelet-client-current.pem") }, false},
		{"a link to nothing", func(d Dir) { d.link(t, old, "kubelet-client-current.pem") }, false},
		{"a regular file, empty", func(d Dir) { d.write(t, "kubelet-client-current.pem", nil) }, true},
		{"a regular file with a pair", func(d Dir) { d.write(t, "kubelet-client-current.pem", before) }, true},
		{"what FileStore leaves of an update that was cut off", func(d Dir) {
			d.write(t, old, before)
			d.link(t, old, "kubelet-client-updated.pem")
		}, false},
	} {
		theirs, ours := newDir(t), newDir(t)
		c.furnish(theirs)
		c.furnish(ours)
		store, err := certificate.NewFileStore(string(Client), theirs.Path, theirs.Path, "", "")
		if err == nil {
			_, err = store.Update(certPEM, keyPEM)
		}
		if (err != nil) != c.refused {
			t.Errorf("%s: the kubelet's store says %v, expected a refusal: %v", c.name, err, c.refused)
		}
		must(t, ours.Commit(Client, after, noon.Add(time.Hour)))
		ours.expectCurrent(t, Client, after)
		if info, err := os.Lstat(ours.Current(Client)); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s: %s is no link (%v)", c.name, ours.Current(Client), err)
		}
		if read, err := certificate.NewFileStore(string(Client), ours.Path, ours.Path, "", ""); err != nil {
			t.Errorf("%s: the kubelet's store does not take over: %v", c.name, err)
		} else if found, err := read.Current(); err != nil || found.Leaf.Subject.CommonName != "after" {
			t.Errorf("%s: the kubelet's store finds %v (%v)", c.name, found, err)
		}
	}
}

// Two rotations within a second leave one file with FileStore, which truncates the very file that its link leads to. Here the one in
// use is never written to.
func TestTwoRotationsInASecondNeverTouchThePairInUse(t *testing.T) {
	d := newDir(t)
	first, second := newPair(t, "first", noon), newPair(t, "second", noon)
	must(t, d.Commit(Client, first, noon))
	before, err := d.Read(Client)
	must(t, err)
	must(t, d.Commit(Client, second, noon))
	d.expectCurrent(t, Client, second)
	if content, err := os.ReadFile(before.File); err != nil || !bytes.Equal(content, first) {
		t.Errorf("%s has changed under its readers (%v)", before.File, err)
	}
	must(t, d.CommitServing(first, noon))
	must(t, d.CommitServing(second, noon))
	d.expectCurrent(t, Serving, second)
	if real, err := d.RealPair(noon); !errors.Is(err, ErrNoPair) {
		t.Errorf("kubelet.crt is %v (%v), expected a link to the pair in use", real, err)
	}
}
