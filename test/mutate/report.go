package main

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed equivalent.txt
var equivalentList string

// equivalents are the mutants that nobody could tell from the code as it is, with the reason.
func equivalents() (map[string]string, error) {
	known := map[string]string{}
	for line := range strings.SplitSeq(equivalentList, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		id, reason, found := strings.Cut(line, " = ")
		if !found || strings.TrimSpace(reason) == "" {
			return nil, fmt.Errorf("equivalent.txt: %q gives no reason", line)
		}
		known[id] = reason
	}
	return known, nil
}

const tableHead = `
| mutant | file | change | caught by | s |
|---|---|---|---|---:|
`

func (r result) row() string {
	by := r.by
	switch r.verdict {
	case survived:
		by = "**SURVIVED**"
	case equivalent, broken, stale:
		by = string(r.verdict) + ": " + by
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %.0f |", r.id, r.path, r.what, strings.ReplaceAll(by, "|", `\|`), r.took.Seconds())
}

// summary counts the results.
type summary struct{ caught, survived, equivalent, broken, stale int }

func summarize(results []result) summary {
	var s summary
	for _, r := range results {
		switch r.verdict {
		case caught:
			s.caught++
		case survived:
			s.survived++
		case equivalent:
			s.equivalent++
		case broken:
			s.broken++
		case stale:
			s.stale++
		}
	}
	return s
}

// good says whether the run proves anything: something was caught, nothing survived, and the list of equivalents is right.
func (s summary) good() bool { return s.survived == 0 && s.stale == 0 && s.caught > 0 }

func (s summary) String() string {
	text := fmt.Sprintf("caught %d of %d (%d survived; beside these %d are equivalent and %d do not compile)",
		s.caught+s.stale, s.caught+s.stale+s.survived, s.survived, s.equivalent, s.broken)
	if s.stale > 0 {
		text += fmt.Sprintf("; %d of them are listed as equivalent, and are not", s.stale)
	}
	return text
}
