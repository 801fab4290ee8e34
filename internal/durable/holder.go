package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// locksFile is where the kernel lists every lock that this process may know of. See proc_locks(5).
const locksFile = "/proc/locks"

// Holder returns the process that holds the lock on path, see [Disk.Lock], and 0 when nobody does. It takes no lock itself, not for a
// moment: an agent that starts in that moment would find it held and end. A holder in a PID namespace that cannot be seen from here is
// not found.
func Holder(path string) (pid int, err error) {
	var file unix.Stat_t
	if err := unix.Lstat(path, &file); errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("lock %s: %w", path, err)
	}
	locks, err := os.ReadFile(locksFile)
	if err != nil {
		return 0, fmt.Errorf("who holds the lock %s: %w", path, err)
	}
	return holder(string(locks), &file), nil
}

// holder finds the process in the kernel's list.
func holder(locks string, file *unix.Stat_t) (pid int) {
	for line := range strings.Lines(locks) {
		pid, device := holds(line, file)
		if pid > 0 && (device || hasOpen(pid, file)) {
			return pid
		}
	}
	return 0
}

// holds returns who holds an exclusive flock on a file of this number according to a line like
// "2: FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF", and whether it is on the same device: the list has that of the file system, which on
// overlayfs and btrfs is not what stat(2) says. One who waits for a lock has -> in the second column.
func holds(line string, file *unix.Stat_t) (pid int, device bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[1] != "FLOCK" || fields[3] != "WRITE" || !strings.HasSuffix(fields[5], fmt.Sprintf(":%d", file.Ino)) {
		return 0, false
	}
	pid, err := strconv.Atoi(fields[4])
	if err != nil {
		return 0, false
	}
	return pid, fields[5] == fmt.Sprintf("%02x:%02x:%d", unix.Major(file.Dev), unix.Minor(file.Dev), file.Ino)
}

// hasOpen says whether a process has the file open, as far as we may know.
func hasOpen(pid int, file *unix.Stat_t) bool {
	folder := fmt.Sprintf("/proc/%d/fd", pid)
	open, _ := os.ReadDir(folder) // it has ended, or is another user's
	for _, entry := range open {
		var its unix.Stat_t
		if unix.Stat(filepath.Join(folder, entry.Name()), &its) == nil && its.Dev == file.Dev && its.Ino == file.Ino {
			return true
		}
	}
	return false
}
