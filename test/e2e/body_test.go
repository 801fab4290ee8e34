package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// endless begins an answer that goes on for as long as somebody reads it, with a value in JSON that never ends. When half a
// gigabyte was taken it does end: the test has failed by then, and shall not take the machine with it.
func endless(w http.ResponseWriter, begin string) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(begin))
	block := []byte(strings.Repeat("garbage ", 1<<13))
	for range 512 << 20 / len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func TestAnEndlessAnswerFillsNoMemory(t *testing.T) {
	t.Parallel()
	for what, row := range map[string]struct {
		asked func(*http.Request) bool
		begin string
		most  int // MB, with the race detector's share
	}{
		"POST":  {func(r *http.Request) bool { return r.URL.Path == csrPath && r.Method == http.MethodPost }, `{"kind":"`, 150},
		"GET":   {func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, csrPath+"/") }, `{"kind":"`, 150},
		"WATCH": {func(r *http.Request) bool { return r.URL.Query().Has("watch") }, `{"type":"MODIFIED","object":"`, 200},
		"proof": {func(r *http.Request) bool { return r.URL.Path == reviewPath }, `{"kind":"`, 150},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			l := newLiar(t, nil, nil)
			l.hold = what == "GET" || what == "WATCH"
			var asked atomic.Int32
			l.answered(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case row.asked(r):
					asked.Add(1)
					endless(w, row.begin)
				case what == "GET" && r.URL.Query().Has("watch"): // so that it is read
				default:
					l.ServeHTTP(w, r)
				}
			})
			d := l.start()
			eventually(t, "three endless answers", func() bool { return asked.Load() >= 3 })
			if peak := d.peakMemory(); peak > row.most {
				t.Errorf("the agent has grown to %d MB", peak)
			}
			d.kill() // so that the next attempt comes at once
			l.tellIssued()
			l.answered(l.ServeHTTP)
			l.start()
			l.awaitJoinedBy(l.first(csr.Client))
			if n := len(l.taken(csr.Client)); n != 1 {
				t.Errorf("%d requests were sent", n)
			}
		})
	}
}

// peakMemory is the most that the daemon has had resident, in MB.
func (d *daemon) peakMemory() int {
	d.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	must(d.t, err)
	kilobytes := peakIn(string(status))
	if kilobytes == 0 {
		d.t.Fatal("no peak of memory in /proc")
	}
	d.t.Logf("peak of %d MB", kilobytes>>10)
	return kilobytes >> 10
}

// peakIn returns the peak of resident memory in /proc/PID/status, in kB; 0: it is not there.
func peakIn(status string) int {
	for line := range strings.Lines(status) {
		if peak, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(peak), "kB")))
			return kilobytes
		}
	}
	return 0
}
