package found

import (
	"slices"
	"testing"
)

func TestEveryCellHasARowAndEveryRowACell(t *testing.T) {
	used := map[int]int{}
	for _, c := range Cells() {
		i := slices.IndexFunc(Rows, func(row Row) bool { return row.matches(c) })
		if i < 0 {
			t.Errorf("%s: no row", c)
			continue
		}
		used[i]++
	}
	for i, row := range Rows {
		if used[i] == 0 {
			t.Errorf("row %d (%q, %q) is for nothing", i, row.Files, row.States)
		}
	}
	t.Logf("%d files, %d states, %d cells, %d rows", len(Files), len(States), len(Cells()), len(Rows))
}

func TestRowsNameOnlyWhatThereIs(t *testing.T) {
	known := map[string]bool{}
	for _, file := range Files {
		known[file.Name] = true
	}
	for _, state := range States {
		known[state.Name] = true
	}
	for _, row := range Rows {
		for _, name := range slices.Concat(row.Files, row.States) {
			if !known[name] {
				t.Errorf("%q is neither a file nor a state", name)
			}
		}
	}
}

func TestEveryCellHasItsOwnName(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cells() {
		if seen[c.String()] {
			t.Errorf("two cells are called %s", c)
		}
		seen[c.String()] = true
	}
}
