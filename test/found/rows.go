package found

import (
	"slices"
	"strings"
)

// Credential says for which cells a row is.
type Credential int

// Whether a bootstrap credential is at hand.
const (
	Either Credential = iota
	With
	Without
)

func (c Credential) String() string {
	return map[Credential]string{Either: "either way", With: "there", Without: "not there"}[c]
}

// Row is what the agent does about some files in some states.
type Row struct {
	Files []string
	// States; nil: all that no earlier row has.
	States     []string
	Credential Credential
	Outcome    Outcome
	// Exit is the exit code of run --once while the state lasts.
	Exit int
	// Says is in the one line of the log that names the file and what is wrong with it; nothing: the log has neither a warning nor an
	// error.
	Says string
	// Names is what that line names, if not the file.
	Names string
}

// List is the states of a row, in words; what no earlier row has is what is left of those that make sense for its files.
func List(row Row) string {
	if row.States == nil {
		return "in any other state"
	}
	var there []string
	for _, state := range States {
		named := slices.Contains(row.States, state.Name)
		suits := slices.ContainsFunc(Files, func(f File) bool { return slices.Contains(row.Files, f.Name) && state.suits(f) })
		if named && suits {
			there = append(there, state.Name)
		}
	}
	return strings.Join(there, ", ")
}

// Outcome is what the agent does about what it finds.
type Outcome string

// The outcomes.
const (
	Used         Outcome = "uses it as it is"
	LeftAlone    Outcome = "leaves it alone"
	Healed       Outcome = "puts it right from what else is there"
	PutBack      Outcome = "gives it its name back"
	Removed      Outcome = "takes it away"
	Resumed      Outcome = "goes on with the request, without another one"
	Asked        Outcome = "asks for a new client certificate, once"
	AskedServing Outcome = "asks for a new serving certificate, once; until it is there a placeholder, or the kubelet's own, serves"
	Joins        Outcome = "joins: asks for both certificates, once each"
	Waits        Outcome = "waits for a credential, and goes on when it is there"
	Mended       Outcome = "waits until a person has mended it, and goes on then"
	Ended        Outcome = "keeps it for the policy's five minutes, then asks anew"
	Later        Outcome = "keeps the identity for a minute, then joins under the new name"
	Refused      Outcome = "does not start, and changes nothing"
	NotUsed      Outcome = "does not use it; the service waits for a better one, and goes on when it is there"
)
