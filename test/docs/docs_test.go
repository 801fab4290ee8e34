// Package docs keeps the parts of the documentation that are made from the code in step with it. UPDATE_DOCS=1 writes them.
package docs

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/test/found"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

func TestTheREADMEHasEverySetting(t *testing.T) {
	var table strings.Builder
	table.WriteString("| flag | field | default | |\n|---|---|---|---|\n")
	for _, s := range config.Settings() {
		fmt.Fprintf(&table, "| `--%s` | `%s` | %s | %s |\n", s.Flag, s.Field, code(s.Default), s.Usage)
	}
	compare(t, "../../README.md", "settings", table.String())
}

func TestThePageOnFailuresHasEveryScenario(t *testing.T) {
	var table strings.Builder
	table.WriteString("| scenario | what happens | the agent says | `run --once` | the service |\n|---|---|---|---|---|\n")
	for _, s := range scenarios.All {
		fmt.Fprintf(&table, "| %s | %s | %s | %d | %s |\n", s.Name, s.What, code(s.Says), s.OnceExit, s.Daemon)
	}
	compare(t, "../../docs/failures.md", "scenarios", table.String())
}

func TestThePageOnTheDiskHasEveryFileEveryStateAndEveryRow(t *testing.T) {
	const page = "../../docs/on-disk.md"
	var files, states, rows strings.Builder
	files.WriteString("| name here | path | on a node that is |\n|---|---|---|\n")
	for _, f := range found.Files {
		fmt.Fprintf(&files, "| %s | %s | %s |\n", f.Name, code(f.Path), f.Around)
	}
	compare(t, page, "files", files.String())
	states.WriteString("| state | what it is |\n|---|---|\n")
	for _, s := range found.States {
		fmt.Fprintf(&states, "| %s | %s |\n", s.Name, s.What)
	}
	compare(t, page, "states", states.String())
	rows.WriteString("| file | found | credential | the agent | and says | `run --once` |\n|---|---|---|---|---|---|\n")
	for _, row := range found.Rows {
		fmt.Fprintf(&rows, "| %s | %s | %s | %s | %s | %d |\n", strings.Join(row.Files, "; "), found.List(row), row.Credential, row.Outcome, code(row.Says), row.Exit)
	}
	compare(t, page, "found", rows.String())
}

func TestThePageOnFailuresHasTheRetryPolicy(t *testing.T) {
	var table strings.Builder
	table.WriteString("| failure | first wait | longest | next attempt | why |\n|---|---|---|---|---|\n")
	for _, failure := range slices.Sorted(maps.Keys(rotate.Policy)) {
		row := rotate.Policy[failure]
		next := "the same request"
		if row.NewKey {
			next = "a new request"
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %s | %s |\n", failure, span(row.Least, row.First), short(row.Last), next, row.Why)
	}
	compare(t, "../../docs/failures.md", "retries", table.String())
}

func span(least, first time.Duration) string {
	if least == first {
		return short(least)
	}
	return short(least) + " to " + short(first)
}

// short is 15m rather than 15m0s.
func short(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// compare holds the part of a page between two markers against what the code says.
func compare(t *testing.T, path, part, want string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), "<!-- "+part)
	marker, rest, found2 := strings.Cut(rest, "-->\n")
	got, after, found3 := strings.Cut(rest, "<!-- end of "+part)
	if !found || !found2 || !found3 {
		t.Fatalf("%s has no markers for %s", path, part)
	}
	if got == want {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		t.Fatalf("%s is not what the code says about %s; write it with: UPDATE_DOCS=1 go test ./test/docs", path, part)
	}
	page := before + "<!-- " + part + marker + "-->\n" + want + "<!-- end of " + part + after
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
}
