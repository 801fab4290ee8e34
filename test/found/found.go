// Package found is the table of what the agent may find on a node's disk: every file that it knows, each in every state that makes
// sense for it, and what it does about that. The tests of test/e2e make every one of these states, and docs/on-disk.md is made from
// the table.
package found

import "slices"

// Cell is one file in one state, with a bootstrap credential at hand or not.
type Cell struct {
	File       File
	State      State
	Credential bool
}

// String is how tests call a cell.
func (c Cell) String() string {
	if c.Credential {
		return c.File.Name + " " + c.State.Name + " with a credential"
	}
	return c.File.Name + " " + c.State.Name
}

// Cells generates the product of files and states, without what makes no sense.
func Cells() []Cell {
	var cells []Cell
	for _, file := range Files {
		for _, state := range States {
			if !state.suits(file) {
				continue
			}
			for _, credential := range []bool{false, true} {
				if !file.IsCredential || credential { // there is no other one
					cells = append(cells, Cell{file, state, credential})
				}
			}
		}
	}
	return cells
}

// suits says whether a file can be in a state.
func (s State) suits(f File) bool {
	return slices.Contains(s.Kinds, f.Kind) && s.Blocks <= f.Blocks
}

// Expected returns the row of the table that a cell belongs to; false: there is none.
func Expected(c Cell) (Row, bool) {
	for _, row := range Rows {
		if row.matches(c) {
			return row, true
		}
	}
	return Row{}, false
}

func (r Row) matches(c Cell) bool {
	return slices.Contains(r.Files, c.File.Name) && (r.States == nil || slices.Contains(r.States, c.State.Name)) &&
		(r.Credential == Either || (r.Credential == With) == c.Credential)
}
