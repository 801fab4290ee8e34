package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"
)

// usage is what a process takes of the machine at one moment.
type usage struct {
	at time.Time
	// resident and peak are in kB, as the kernel tells them.
	resident, peak, threads, openFiles int
}

func (u usage) String() string {
	return fmt.Sprintf("%.1f MB resident (peak %.1f), %d threads, %d open files", float64(u.resident)/1024, float64(u.peak)/1024, u.threads, u.openFiles)
}

// usage looks at the daemon from outside; false when it is not there (any more).
func (d *daemon) usage() (usage, bool) {
	folder := fmt.Sprintf("/proc/%d/", d.cmd.Process.Pid)
	status, err := os.ReadFile(folder + "status")
	if err != nil || !bytes.HasPrefix(status, []byte("Name:\tbootstrap-agent")) { // the program that starts it, or nothing any more
		return usage{}, false
	}
	files, err := os.ReadDir(folder + "fd")
	if err != nil {
		return usage{}, false
	}
	return usage{
		at: time.Now(), resident: statusField(status, "VmRSS"), peak: statusField(status, "VmHWM"),
		threads: statusField(status, "Threads"), openFiles: len(files),
	}, true
}

// statusField returns a number of /proc/PID/status; 0: it is not there.
func statusField(status []byte, name string) int {
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			number, _ := strconv.Atoi(strings.Fields(text)[0])
			return number
		}
	}
	return 0
}

// goroutineLabel marks the goroutines of a node's agent that runs inside the test, with all that they start.
const goroutineLabel = "agent-of"

// startCounted runs the daemon inside the test by the ordinary clock, for only there its goroutines can be counted.
func (n *node) startCounted(args ...string) (d hurriedDaemon) {
	n.t.Helper()
	pprof.Do(n.t.Context(), pprof.Labels(goroutineLabel, n.name), func(context.Context) { d = n.startHurried(hurry(1), args...) })
	return d
}

var goroutineRecord = regexp.MustCompile(`(?m)^(\d+) @ .*\n# labels: \{.*"` + goroutineLabel + `":"([^"]*)".*\}$`)

// goroutines counts those of the node's agent that startCounted has started.
func (n *node) goroutines() int {
	n.t.Helper()
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		n.t.Error(err)
	}
	count := 0
	for _, record := range goroutineRecord.FindAllStringSubmatch(profile.String(), -1) {
		if record[2] == n.name {
			number, _ := strconv.Atoi(record[1])
			count += number
		}
	}
	return count
}
