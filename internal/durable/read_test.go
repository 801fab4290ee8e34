package durable

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOnlyARegularFileIsRead(t *testing.T) {
	dir := furnished(t)
	fifo, socket := filepath.Join(dir, "fifo"), filepath.Join(dir, "socket")
	must(t, syscall.Mkfifo(fifo, 0o600))
	listener, err := net.Listen("unix", socket)
	must(t, err)
	defer listener.Close()
	for path, says := range map[string]string{
		filepath.Join(dir, "old"):    "",
		filepath.Join(dir, "link"):   "",
		filepath.Join(dir, "folder"): "a folder, not a regular file",
		fifo:                         "a fifo, not a regular file",
		"/dev/zero":                  "a device, not a regular file",
		socket:                       "a socket, not a regular file",
	} {
		f, err := readInTime(t, path)
		switch {
		case says == "" && (err != nil || string(f.Data) != "old" || f.Path != path || f.Info.Mode() != 0o600):
			t.Errorf("%s: %+v, %v", path, f, err)
		case says != "" && (err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), path)):
			t.Errorf("%s: %v, expected %q", path, err, says)
		}
	}
	if _, err := ReadFile(filepath.Join(dir, "dangling"), 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, expected that it is not there", err)
	}
}

// readInTime fails instead of hanging where a read would wait for a writer.
func readInTime(t *testing.T, path string) (f File, err error) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f, err = ReadFile(path, 10)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("reading %s hangs", path)
	}
	return f, err
}

func TestAFileIsReadUpToTheLimitAndNotAByteMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for size, fits := range map[int]bool{0: true, 9: true, 10: true, 11: false, 1 << 20: false} {
		must(t, os.WriteFile(path, make([]byte, size), 0o600))
		f, err := ReadFile(path, 10)
		if fits && (err != nil || len(f.Data) != size) || !fits && (err == nil || !strings.Contains(err.Error(), "larger than the 10 bytes")) {
			t.Errorf("%d bytes: %d read, %v", size, len(f.Data), err)
		}
	}
}

func TestEveryKindOfFileHasAName(t *testing.T) {
	for mode, name := range map[fs.FileMode]string{
		0: "a regular file", fs.ModeDir: "a folder", fs.ModeNamedPipe: "a fifo", fs.ModeSocket: "a socket",
		fs.ModeDevice: "a device", fs.ModeDevice | fs.ModeCharDevice: "a device", fs.ModeIrregular: "a special file",
	} {
		if kindOf(mode) != name {
			t.Errorf("%v is called %s, expected %s", mode, kindOf(mode), name)
		}
	}
}

func TestLinksOfCountsTheNames(t *testing.T) {
	dir := furnished(t)
	old := filepath.Join(dir, "old")
	must(t, os.Link(old, filepath.Join(dir, "second")))
	info, err := os.Lstat(old)
	must(t, err)
	if LinksOf(info) != 2 || OwnerOf(info) != os.Geteuid() {
		t.Errorf("%d names, owner %d", LinksOf(info), OwnerOf(info))
	}
}
