package program

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is the processor time that a process has used so far, with all its threads, in steps of a nanosecond (/proc/PID/stat counts in
// steps of 10 ms, and an idle agent needs less than one in a minute).
func CPU(pid int) (time.Duration, error) {
	// clock_getcpuclockid(3): the process' number inverted, and 2 for the time that the scheduler has counted
	clock := int32(^pid<<3 | 2)
	var used unix.Timespec
	if err := unix.ClockGettime(clock, &used); err != nil {
		return 0, fmt.Errorf("processor time of process %d: clock_gettime: %w", pid, err)
	}
	return time.Duration(used.Nano()), nil
}

// Resident is the memory of a process that is in RAM, VmRSS, in bytes.
func Resident(pid int) (float64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	status, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseFloat(strings.Fields(after + " ?")[0], 64)
	if err != nil {
		return 0, fmt.Errorf("VmRSS in %s: %w", path, err)
	}
	return kib * 1024, nil
}
