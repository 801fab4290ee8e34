// Package scenarios is the table of everything that can go wrong: one row each, with what a person sees of it. The tests of
// test/e2e iterate over it, and a row without a proof fails them.
package scenarios

import "slices"

// Scenario is one thing that goes wrong.
type Scenario struct {
	// Name is how the row is called, in tests and documentation.
	Name string
	// What happens, in a sentence.
	What string
	// Says is part of what the agent says about it: in a log line, or as the error it ends with.
	Says string
	// OnceExit is the exit code of run --once.
	OnceExit int
	// Daemon is what the daemon does about it.
	Daemon Reaction
	// Signs are where else it is seen while it stands.
	Signs
}

// Reaction is what the daemon does about a scenario.
type Reaction string

// The reactions.
const (
	GoesOn Reaction = "goes on by itself when the cause ends"
	Waits  Reaction = "waits for a person, and stays"
	Ends   Reaction = "ends with the exit code"
)

// Exit codes of run --once.
const (
	done        = 0
	notInTime   = 1
	misuse      = 2
	needsPerson = 3
	placeholder = 4
)

// All is the table.
var All = slices.Concat(approval, restarts, answers, apiServer, bootstrap, discovery, joining, disk, settings, keeping, following)
