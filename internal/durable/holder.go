package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	if err := unix.Lstat(path, &file); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, fmt.Errorf("lock %s: %w", path, err)
	}
	locks, err := os.ReadFile(locksFile)
	if err != nil {
		return 0, fmt.Errorf("who holds the lock %s: %w", path, err)
	}
	for line := range strings.Lines(string(locks)) {
		if pid := holds(line, &file); pid > 0 {
			return pid, nil
		}
	}
	return 0, nil
}

// holds returns who holds an exclusive flock on a file according to a line like "2: FLOCK  ADVISORY  WRITE 4711 fd:01:131 0 EOF"; one
// who waits for it has -> in the second column.
func holds(line string, file *unix.Stat_t) (pid int) {
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[1] != "FLOCK" || fields[3] != "WRITE" {
		return 0
	}
	if fields[5] != fmt.Sprintf("%02x:%02x:%d", unix.Major(file.Dev), unix.Minor(file.Dev), file.Ino) {
		return 0
	}
	pid, err := strconv.Atoi(fields[4])
	if err != nil {
		return 0
	}
	return pid
}
