package certdir

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const data = "kubelet-client-2026-03-01-12-00-00.pem"

func TestReadSaysExactlyWhatIsWrongWithThePairInUse(t *testing.T) {
	good, other := newPair(t, "good", noon), newPair(t, "other", noon)
	cert, key := splitPair(good)
	_, otherKey := splitPair(other)
	for _, c := range []struct {
		name    string
		content []byte
		says    string
	}{
		{"a pair", good, ""},
		{"a pair with a chain", slicesOf(cert, cert, key), ""},
		{"the key first", slicesOf(key, cert), ""},
		{"text around the blocks", slicesOf([]byte("a comment\n"), good, []byte("\nthe end")), ""},
		{"an empty file", nil, "the file is empty"},
		{"no PEM", []byte("good morning"), "not a certificate with its key"},
		{"no key", cert, "not a certificate with its key"},
		{"no certificate", key, "not a certificate with its key"},
		{"another key", slicesOf(cert, otherKey), "private key does not match"},
		{"the key of the certificate behind the leaf", slicesOf(cert, other), "private key does not match"},
		{"cut in the middle of the certificate", good[:len(cert)/2], "not a certificate with its key"},
		{"cut after the certificate", good[:len(cert)], "not a certificate with its key"},
		{"cut in the middle of the key", good[:len(cert)+len(key)/2], "not a certificate with its key"},
		{"cut a line before the end", good[:len(good)-30], "not a certificate with its key"},
		{"damaged in the certificate", bytes.Replace(good, []byte("\nMII"), []byte("\nAAA"), 1), "not a certificate with its key"},
		{"zeros of the right length, as some file systems leave after a crash", make([]byte, len(good)), "not a certificate with its key"},
		{"larger than 1 MiB", append(bytes.Repeat([]byte("\n"), 1<<20), good...), "larger than the 1048576 bytes"},
	} {
		d := newDir(t)
		d.write(t, data, c.content)
		d.link(t, data, "kubelet-client-current.pem")
		pair, err := d.Read(Client)
		switch {
		case c.says == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.says == "":
			expectWhole(t, d, pair, c.content)
		case err == nil || pair != nil || errors.Is(err, ErrNoPair):
			t.Errorf("%s: %v, %v, expected an error of its own", c.name, pair, err)
		case !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), filepath.Join(d.Path, data)):
			t.Errorf("%s: %q, expected %q and the file", c.name, err, c.says)
		}
	}
}

func expectWhole(t *testing.T, d Dir, pair *Pair, content []byte) {
	t.Helper()
	info, err := os.Stat(filepath.Join(d.Path, data))
	must(t, err)
	if pair.File != filepath.Join(d.Path, data) || !bytes.Equal(pair.PEM, content) || !pair.ModTime.Equal(info.ModTime()) {
		t.Errorf("the pair is not what lies in the file: %s, %s", pair.File, pair.ModTime)
	}
	key, ok := pair.Key.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(pair.Leaf.PublicKey) || pair.Leaf.Subject.CommonName != "good" {
		t.Errorf("%s: the key does not belong to the leaf", pair.Leaf.Subject)
	}
}

func TestReadTellsMissingFromUnusable(t *testing.T) {
	good := newPair(t, "good", noon)
	for _, c := range []struct {
		name    string
		furnish func(d Dir)
		missing bool
		says    string
	}{
		{"nothing is there", func(Dir) {}, true, "no certificate at"},
		{"a dangling link", func(d Dir) { d.link(t, "gone.pem", "kubelet-client-current.pem") }, false, "leads to gone.pem, which is not there"},
		{"a link to a dangling link", func(d Dir) {
			d.link(t, "gone.pem", "second")
			d.link(t, "second", "kubelet-client-current.pem")
		}, false, "leads to second, which is not there"},
		{"a link to itself", func(d Dir) { d.link(t, "kubelet-client-current.pem", "kubelet-client-current.pem") }, false, "too many links"},
		{"a folder", func(d Dir) { must(t, os.Mkdir(d.Current(Client), 0o700)) }, false, "a folder, not a regular file"},
		{"a link to a folder", func(d Dir) { d.link(t, ".", "kubelet-client-current.pem") }, false, "a folder, not a regular file"},
		{"a fifo", func(d Dir) { must(t, syscall.Mkfifo(d.Current(Client), 0o600)) }, false, "a fifo, not a regular file"},
		{"a regular file in place of the link is read as it is", func(d Dir) { d.write(t, "kubelet-client-current.pem", good) }, false, ""},
	} {
		d := newDir(t)
		c.furnish(d)
		pair, err := d.Read(Client)
		if c.says == "" {
			if err != nil || pair.File != d.Current(Client) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil || errors.Is(err, ErrNoPair) != c.missing || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.says)
		}
	}
}

func TestTheKindsDoNotGetIntoEachOthersWay(t *testing.T) {
	d := newDir(t)
	client, server := newPair(t, "client", noon), newPair(t, "server", noon)
	must(t, d.Commit(Client, client, noon))
	if _, err := d.Read(Serving); !errors.Is(err, ErrNoPair) {
		t.Errorf("%v, expected no serving pair", err)
	}
	must(t, d.Commit(Serving, server, noon))
	d.expectCurrent(t, Client, client)
	d.expectCurrent(t, Serving, server)
	if len(d.dataFiles(Client)) != 1 || len(d.dataFiles(Serving)) != 1 {
		t.Errorf("%v and %v", d.dataFiles(Client), d.dataFiles(Serving))
	}
}

func TestOlderPairsComeInTheOrderInWhichTheyBeganToBeValid(t *testing.T) {
	d := newDir(t)
	for name, begins := range map[string]int{"kubelet-client-2026-01-01-00-00-00.pem": 3, "kubelet-client-2026-01-02-00-00-00.pem": 5, "kubelet-client-2026-01-03-00-00-00.pem": 4} {
		d.write(t, name, newPair(t, name, noon.AddDate(0, 0, begins)))
	}
	d.write(t, "kubelet-client-2026-01-04-00-00-00.pem", []byte("damaged"))
	d.write(t, "kubelet-server-2026-01-05-00-00-00.pem", newPair(t, "of another kind", noon.AddDate(0, 0, 9)))
	d.write(t, "kubelet-client-backup.pem", newPair(t, "not a name of FileStore's", noon.AddDate(0, 0, 9)))
	d.link(t, "kubelet-client-backup.pem", "kubelet-client-2026-01-06-00-00-00.pem")
	must(t, d.Commit(Client, newPair(t, "in use", noon.AddDate(0, 0, 10)), noon))
	var older []string
	for _, pair := range d.Older(Client) {
		older = append(older, pair.Leaf.Subject.CommonName)
	}
	if strings.Join(older, " ") != "kubelet-client-2026-01-02-00-00-00.pem kubelet-client-2026-01-03-00-00-00.pem kubelet-client-2026-01-01-00-00-00.pem" {
		t.Errorf("%q", older)
	}
}

func TestAnOlderPairCanBeUsedAgain(t *testing.T) {
	d := newDir(t)
	first, second := newPair(t, "first", noon), newPair(t, "second", noon)
	must(t, d.Commit(Client, first, noon))
	must(t, d.Commit(Client, second, noon.Add(time.Hour)))
	must(t, d.Use(Client, d.Older(Client)[0]))
	d.expectCurrent(t, Client, first)
	if target, err := os.Readlink(d.Current(Client)); err != nil || filepath.IsAbs(target) {
		t.Errorf("the link leads to %q (%v), expected a name in the same folder", target, err)
	}
	if older := d.Older(Client); len(older) != 1 || older[0].Leaf.Subject.CommonName != "second" {
		t.Errorf("older: %v", older)
	}
}

func slicesOf(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
