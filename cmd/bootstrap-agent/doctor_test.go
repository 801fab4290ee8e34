package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/doctor"
)

func TestProgressIsForATerminalAndLeavesNothingThere(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	checks := []doctor.Check{{Name: "first"}, {Name: "second"}}
	p := progressOf(&out, checks)
	p.begin(checks[0])
	p.end()
	if out.Len() > 0 {
		t.Errorf("what is no terminal gets %q", out.String())
	}
	p = &progress{terminal: &out, all: len(checks)}
	p.begin(checks[0])
	p.begin(checks[1])
	p.end()
	if got := out.String(); !strings.Contains(got, "1/2 first …") || !strings.Contains(got, "2/2 second …") || !strings.HasSuffix(got, clearLine) {
		t.Errorf("a terminal gets %q", got)
	}
}

func TestCommandsInJSONCanBeCopied(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	report := doctor.Report{Verdict: doctor.Attention, Results: []doctor.Result{{Check: "a", Verdict: doctor.Attention, Text: "b", Remedy: "c", Command: "x && y >z"}}}
	if err := writeReport(&out, "json", report); err != nil || !strings.Contains(out.String(), `"command": "x && y >z"`) {
		t.Errorf("%v %s", err, out.String())
	}
}
