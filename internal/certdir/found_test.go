package certdir

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

func TestWhatHoldsNothingIsNoObstacleToTheLinksAndWhatDoesIs(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"a fifo":         func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a socket":       func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) },
		"a link in ring": func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"a folder":       func(path string) error { return os.Mkdir(path, 0o700) },
		"too big":        func(path string) error { return os.WriteFile(path, make([]byte, maxSize+1), 0o600) },
	} {
		for _, path := range []string{servingCert, servingKey} {
			d := newDir(t)
			must(t, d.Commit(Serving, newPair(t, "good", noon), noon))
			must(t, put(filepath.Join(d.Path, path)))
			err := d.LinkServing()
			if obstacle := name == "a folder" || name == "too big"; obstacle == (err == nil) || obstacle == d.Linked() {
				t.Errorf("%s at %s: %v, linked: %t", name, path, err, d.Linked())
			}
		}
	}
}

// The kubelet does not start with the certificate of one pair and the key of another.
func TestAKeyThatCannotBeReplacedLeavesThePairThatWasThere(t *testing.T) {
	cert, key := splitPair(newPair(t, "real", noon))
	for _, real := range []bool{true, false} {
		d := newDir(t)
		must(t, d.Commit(Serving, newPair(t, "good", noon), noon))
		if real {
			d.write(t, servingCert, cert)
			d.write(t, servingKey, key)
		}
		d.Disk.Before = func(op durable.Op) error {
			if op.Call == "rename" && filepath.Base(op.Path) == servingKey {
				return unix.EPERM
			}
			return nil
		}
		if err := d.LinkServing(); !errors.Is(err, unix.EPERM) {
			t.Errorf("%v, expected EPERM", err)
		}
		names := d.servingNames()
		_, err := tls.LoadX509KeyPair(names[0], names[1])
		if real && err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(names[0]); !real && !os.IsNotExist(err) {
			t.Errorf("%s is there without a key (%v)", names[0], err)
		}
	}
}

func TestAFileThatOthersCanChangeIsWrittenAgainThoughItIsEqual(t *testing.T) {
	d := newDir(t)
	must(t, d.WriteCA(d.ServerCA(), []byte("a CA")))
	must(t, os.Chmod(d.ServerCA(), 0o666))
	must(t, d.WriteCA(d.ServerCA(), []byte("a CA")))
	if info, err := os.Stat(d.ServerCA()); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
