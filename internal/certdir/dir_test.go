package certdir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

func TestOpenMakesAPrivateFolderAndRefusesOneThatOthersCanChange(t *testing.T) {
	top := t.TempDir()
	must(t, os.WriteFile(filepath.Join(top, "file"), nil, 0o600))
	for name, mode := range map[string]os.FileMode{"private": 0o700, "readable": 0o755, "shared": 0o770, "open": 0o777, "sticky": 0o777 | os.ModeSticky} {
		must(t, os.Mkdir(filepath.Join(top, name), 0o700))
		must(t, os.Chmod(filepath.Join(top, name), mode))
	}
	for name, says := range map[string]string{
		"new": "", "new/below": "", "private": "", "readable": "",
		"shared": "writable by others", "open": "writable by others", "sticky": "writable by others", "shared/new": "writable by others",
		"file": "is not a folder", "file/below": "not a directory",
	} {
		err := Dir{Path: filepath.Join(top, name)}.Open()
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, expected %q", name, err, says)
		}
	}
	if info, err := os.Stat(filepath.Join(top, "new", "below")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
}

func TestOneCertDirHasOneAgent(t *testing.T) {
	d := newDir(t)
	lock, err := d.Lock("pid 1")
	must(t, err)
	var locked *durable.LockedError
	if _, err := d.Lock("pid 2"); !errors.As(err, &locked) || locked.Holder != "pid 1" {
		t.Errorf("%v, expected that pid 1 holds it", err)
	}
	must(t, lock.Close())
	lock, err = d.Lock("pid 2")
	must(t, err)
	lock.Close()
}

func TestAPendingFileIsPrivateReplacedWholeAndForgotten(t *testing.T) {
	d := newDir(t)
	if content, err := d.ReadPending(Client); content != nil || err != nil {
		t.Errorf("%q, %v: expected nothing", content, err)
	}
	must(t, d.RemovePending(Client))
	must(t, d.WritePending(Client, []byte("a long request")))
	must(t, d.WritePending(Client, []byte("short")))
	if content, err := d.ReadPending(Client); string(content) != "short" || err != nil {
		t.Errorf("%q, %v", content, err)
	}
	if info, err := os.Stat(d.PendingFile(Client)); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	if content, err := d.ReadPending(Serving); content != nil || err != nil {
		t.Errorf("%q, %v: expected that the kinds have a file each", content, err)
	}
	must(t, d.RemovePending(Client))
	if names := d.names(t); len(names) != 0 {
		t.Errorf("left: %q", names)
	}
	must(t, os.Mkdir(d.PendingFile(Client), 0o700))
	if _, err := d.ReadPending(Client); err == nil {
		t.Error("a folder was read as a pending file")
	}
}

func TestACAFileIsReadableByAllAndWrittenOnlyWhenItChanges(t *testing.T) {
	d := newDir(t)
	writes := 0
	d.Disk = durable.Disk{Before: func(op durable.Op) error {
		if op.Call == "write" {
			writes++
		}
		return nil
	}}
	for i, bundle := range []string{"first", "first", "second"} {
		must(t, d.WriteCA(d.ServerCA(), []byte(bundle)))
		if content, err := d.ReadCA(d.ServerCA()); string(content) != bundle || err != nil {
			t.Errorf("%q, %v, expected %q", content, err, bundle)
		}
		if expected := []int{1, 1, 2}[i]; writes != expected {
			t.Errorf("%d writes after %q, expected %d: the kubelet reads again what changes", writes, bundle, expected)
		}
	}
	if info, err := os.Stat(d.ServerCA()); err != nil || info.Mode() != 0o644 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	if content, err := d.ReadCA(d.ClientCA()); content != nil || err != nil {
		t.Errorf("%q, %v: expected nothing", content, err)
	}
}
