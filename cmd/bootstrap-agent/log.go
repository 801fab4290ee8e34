package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// newLogger writes to standard error. What the journal gets has its level in front of each line and no time: the journal has its own.
func newLogger(cfg config.Config) *slog.Logger {
	var level slog.LevelVar
	_ = level.UnmarshalText([]byte(cfg.LogLevel)) // checked with the rest of the configuration
	options := &slog.HandlerOptions{Level: &level}
	if isJournal(os.Getenv("JOURNAL_STREAM"), os.Stderr) {
		return slog.New(newJournalHandler(os.Stderr, cfg.LogFormat, options))
	}
	return slog.New(newHandler(os.Stderr, cfg.LogFormat, options))
}

func newHandler(w io.Writer, format string, options *slog.HandlerOptions) slog.Handler {
	if format == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// isJournal says whether f is the journal's: stream, $JOURNAL_STREAM, holds the device and inode of what systemd connected to it
// (systemd.exec(5)). One that was redirected since has others.
func isJournal(stream string, f *os.File) bool {
	info, err := f.Stat()
	if stream == "" || err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

// journalHandler has each record written with its level for the journal.
type journalHandler struct {
	slog.Handler
	lines *journalLines
}

func newJournalHandler(w io.Writer, format string, options *slog.HandlerOptions) slog.Handler {
	timeless := *options
	timeless.ReplaceAttr = func(groups []string, attr slog.Attr) slog.Attr {
		if len(groups) == 0 && attr.Key == slog.TimeKey && attr.Value.Kind() == slog.KindTime {
			return slog.Attr{}
		}
		return attr
	}
	lines := &journalLines{to: w}
	return &journalHandler{newHandler(lines, format, &timeless), lines}
}

// Handle writes one record. The level belongs to the line that is written meanwhile, so records wait for each other.
func (h *journalHandler) Handle(ctx context.Context, record slog.Record) error {
	h.lines.mutex.Lock()
	defer h.lines.mutex.Unlock()
	h.lines.level = record.Level
	return h.Handler.Handle(ctx, record)
}

// WithAttrs is [slog.Handler]'s.
func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journalHandler{h.Handler.WithAttrs(attrs), h.lines}
}

// WithGroup is [slog.Handler]'s.
func (h *journalHandler) WithGroup(name string) slog.Handler {
	return &journalHandler{h.Handler.WithGroup(name), h.lines}
}

// journalLines puts the level in front of every line, so that none can begin with one of its own.
type journalLines struct {
	mutex sync.Mutex
	level slog.Level
	to    io.Writer
}

// Write writes the lines of one record, at once.
func (l *journalLines) Write(text []byte) (int, error) {
	if _, err := l.to.Write(prefixed(text, priority(l.level))); err != nil {
		return 0, err
	}
	return len(text), nil
}

func prefixed(text []byte, priority string) []byte {
	var lines []byte
	for line := range bytes.Lines(text) {
		lines = append(append(lines, priority...), line...)
	}
	return lines
}

// priority is how the journal writes a level, as syslog does: sd-daemon(3).
func priority(level slog.Level) string {
	switch {
	case level < slog.LevelInfo:
		return "<7>"
	case level < slog.LevelWarn:
		return "<6>"
	case level < slog.LevelError:
		return "<4>"
	}
	return "<3>"
}

// complain says why the command ends. The error may have several lines, one for each thing that is wrong.
func complain(w *os.File, stream string, err error) {
	text := fmt.Appendln(nil, "bootstrap-agent:", err)
	if isJournal(stream, w) {
		text = prefixed(text, priority(slog.LevelError))
	}
	_, _ = w.Write(text)
}
