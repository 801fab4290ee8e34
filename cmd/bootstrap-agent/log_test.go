package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// journalLogger is a logger as the daemon's under systemd, and what it writes.
func journalLogger(format string) (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	return slog.New(newJournalHandler(&out, format, &slog.HandlerOptions{Level: slog.LevelDebug})), &out
}

func TestEachLineForTheJournalBeginsWithItsLevel(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		for level, prefix := range map[slog.Level]string{
			slog.LevelDebug: "<7>", slog.LevelInfo: "<6>", slog.LevelInfo + 1: "<6>", slog.LevelWarn: "<4>", slog.LevelError: "<3>", slog.LevelError + 4: "<3>",
		} {
			log, out := journalLogger(format)
			log.With("a", 1).WithGroup("g").Log(t.Context(), level, "all is well", "b", 2)
			if line, ok := strings.CutPrefix(out.String(), prefix); !ok || !strings.Contains(line, "all is well") || strings.Count(line, "\n") != 1 {
				t.Errorf("%s, %s: %q, expected %s in front of one line", format, level, out, prefix)
			}
		}
	}
}

func TestTheJournalGetsNoSecondTime(t *testing.T) {
	year := fmt.Sprint(time.Now().Year())
	for _, format := range []string{"text", "json"} {
		log, out := journalLogger(format)
		log.Info("one", "until", time.Unix(0, 0).UTC())
		if line := out.String(); strings.Contains(line, year) || strings.Contains(line, "time") || !strings.Contains(line, "1970") {
			t.Errorf("%s: %q, expected the times that are said and no other", format, line)
		}
		out.Reset()
		slog.New(newHandler(out, format, nil)).Info("two")
		if line := out.String(); !strings.Contains(line, year) || strings.HasPrefix(line, "<") {
			t.Errorf("%s, not for the journal: %q, expected a time and no level in front", format, line)
		}
	}
}

// Whoever answers the agent has a say in its errors.
func TestNoValueBeginsALineWithALevelOfItsOwn(t *testing.T) {
	forged := "harmless\n<0>the machine is on fire\r\n<1>run"
	for _, format := range []string{"text", "json"} {
		log, out := journalLogger(format)
		record := slog.NewRecord(time.Now(), slog.LevelWarn, forged, 0)
		record.Add(forged, forged, "err", errors.New(forged))
		if err := log.With("server", forged).WithGroup(forged).Handler().Handle(t.Context(), record); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if !strings.HasPrefix(line, "<4>") {
				t.Errorf("%s: the line %q is not what was logged", format, line)
			}
		}
		if _, err := (&journalLines{to: out}).Write([]byte(forged)); err != nil || !strings.Contains(out.String(), "\n<6><0>the machine") {
			t.Errorf("%q (%v): a line has no level in front", out, err)
		}
	}
}

func TestALineOfTheJournalIsStillJSON(t *testing.T) {
	log, out := journalLogger("json")
	log.Error("cannot", "err", "a\nb")
	var record map[string]any
	if err := json.Unmarshal(out.Bytes()[len("<3>"):], &record); err != nil || record["msg"] != "cannot" || record["err"] != "a\nb" || record["level"] != "ERROR" {
		t.Errorf("%q: %v %v", out, record, err)
	}
}

func TestRecordsAtOnceKeepTheirLevels(t *testing.T) {
	log, out := journalLogger("text")
	var all sync.WaitGroup
	for level, name := range map[slog.Level]string{slog.LevelDebug: "<7>", slog.LevelInfo: "<6>", slog.LevelWarn: "<4>", slog.LevelError: "<3>"} {
		all.Go(func() {
			for range 200 {
				log.With("mine", name).Log(t.Context(), level, "said")
			}
		})
	}
	all.Wait()
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	for _, line := range lines {
		if len(line) < 3 || !strings.HasSuffix(line, "mine="+line[:3]) {
			t.Fatalf("%q has another record's level", line)
		}
	}
	if len(lines) != 800 {
		t.Errorf("%d lines, expected 800", len(lines))
	}
}

func TestOnlyWhatSystemdConnectedIsTheJournal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stat syscall.Stat_t
	if err := syscall.Fstat(int(f.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	stream := fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
	for given, want := range map[string]bool{stream: true, "": false, fmt.Sprintf("%d:%d", stat.Dev, stat.Ino+1): false, "nonsense": false} {
		if isJournal(given, f) != want {
			t.Errorf("$JOURNAL_STREAM %q, standard error %s: %v", given, stream, !want)
		}
	}
	complain(f, stream, errors.Join(errors.New("one"), errors.New("two")))
	complain(f, "", errors.New("three"))
	if text, err := os.ReadFile(f.Name()); err != nil || string(text) != "<3>bootstrap-agent: one\n<3>two\nbootstrap-agent: three\n" {
		t.Errorf("%q, %v", text, err)
	}
}
