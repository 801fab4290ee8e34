package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTheHolderOfALockIsFoundWithoutTakingIt(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "lock"), filepath.Join(dir, "other")
	expectHolder := func(expected int, when string) {
		t.Helper()
		if pid, err := Holder(path); pid != expected || err != nil {
			t.Errorf("%s: held by %d (%v), expected %d", when, pid, err, expected)
		}
	}
	expectHolder(0, "no file")
	beside, err := Disk{}.Lock(other, "pid 1")
	must(t, err)
	defer beside.Close()
	must(t, os.WriteFile(path, []byte("pid 4711\n"), 0o600))
	expectHolder(0, "left by one that ended, and another file is locked")
	if pid, err := Holder(filepath.Join(path, "lock")); pid != 0 || err != nil {
		t.Errorf("below what is no folder: held by %d (%v)", pid, err)
	}
	lock, err := Disk{}.Lock(path, "me")
	must(t, err)
	expectHolder(os.Getpid(), "held")
	must(t, lock.Close())
	expectHolder(0, "let go of")
	lock, err = Disk{}.Lock(path, "me") // asking has not left it locked
	must(t, err)
	must(t, unix.Flock(int(lock.Fd()), unix.LOCK_SH))
	expectHolder(0, "held in another way than an agent does")
	must(t, lock.Close())
}

func TestWhoOnlyWaitsForALockOrHasAnotherOneDoesNotHoldIt(t *testing.T) {
	file := unix.Stat_t{Dev: unix.Mkdev(0xfd, 1), Ino: 131}
	for line, expected := range map[string]int{
		"2: FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF\n":    4711,
		"2: -> FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF\n": 0,
		"2: POSIX  ADVISORY  WRITE 4711 fd:01:131 0 EOF\n":    0,
		"2: FLOCK  ADVISORY  READ 4711 fd:01:131 0 EOF\n":     0,
		"2: FLOCK  ADVISORY  WRITE 4711 fd:01:1310 0 EOF\n":   0,
		"2: FLOCK  ADVISORY  WRITE 4711 fd:02:131 0 EOF\n":    0,
		"2: FLOCK  ADVISORY  WRITE x fd:01:131 0 EOF\n":       0,
		"2: FLOCK\n": 0,
		"\n":         0,
	} {
		if pid := holder(line, &file); pid != expected {
			t.Errorf("%q: %d, expected %d", line, pid, expected)
		}
	}
	if pid := holder(fmt.Sprintf("1: FLOCK ADVISORY WRITE 7 %02x:%02x:%d 0 EOF", 0, 5, 9), &unix.Stat_t{Dev: unix.Mkdev(0, 5), Ino: 9}); pid != 7 {
		t.Errorf("a device number of one digit: %d", pid)
	}
}

// On overlayfs and btrfs the kernel's list has another device than stat(2): whoever has the very file open is meant.
func TestTheHolderIsFoundWhereTheListHasAnotherDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	must(t, os.WriteFile(path, nil, 0o600))
	var file unix.Stat_t
	must(t, unix.Stat(path, &file))
	line := fmt.Sprintf("1: FLOCK  ADVISORY  WRITE %d %02x:%02x:%d 0 EOF\n", os.Getpid(), unix.Major(file.Dev), unix.Minor(file.Dev)+1, file.Ino)
	if pid := holder(line, &file); pid != 0 {
		t.Errorf("%d holds a file that it does not have open", pid)
	}
	open, err := os.Open(path)
	must(t, err)
	defer open.Close()
	if pid := holder(line, &file); pid != os.Getpid() {
		t.Errorf("held by %d, expected %d", pid, os.Getpid())
	}
}
