// Package doctor looks for everything that can stop a node from getting or keeping its certificates, and says of each what a person can
// do about it, with the command. It changes nothing, needs no more rights than the agent has, and prints no secret. Without a network
// it finds out what it can, and says what it could not.
package doctor

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Verdict is what a check came to, in one word.
type Verdict string

// The verdicts.
const (
	OK        Verdict = "ok"
	Unknown   Verdict = "unknown"   // it could not be found out; the text says why
	Attention Verdict = "attention" // it works, and something is due
	Waiting   Verdict = "waiting"   // it fails, and may work later by itself
	Broken    Verdict = "broken"    // a person must act
)

// Result is one line of what a check found.
type Result struct {
	// Check is the name of the check.
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	// Text says what was looked at, where, and what came back; one line.
	Text string `json:"text"`
	// Remedy is what to do about it, in words; Command is the exact command, alone, where there is one.
	Remedy  string `json:"remedy,omitempty"`
	Command string `json:"command,omitempty"`
}

// Check is one thing that is looked at.
type Check struct {
	// Name is lower case, with dashes; it is stable.
	Name string
	// About is what is looked at, in a sentence for the documentation.
	About string
	// Run returns one line, or one for each thing of its kind; none where there is nothing to look at.
	Run func(context.Context, *Patient) []Result
}

// Patient is the node as the checks see it. What takes time or the network is found out once, by the first check that asks for it.
type Patient struct {
	Config   config.Config
	Observed status.Observed
	Clock    clock.PassiveClock
	// UserAgent appears in the API server's audit log.
	UserAgent string
	// Root is put before every absolute path that does not come from the settings (/proc, /run, /var/lib/cloud, …); empty for the real one.
	Root string
	// Resolver looks up names; nil: the machine's.
	Resolver *net.Resolver
	// Begin is told of each check before it is run, for checks take time; nil: nobody is.
	Begin func(Check)

	network network
}

// path is where a file of the machine is that no setting names.
func (p *Patient) path(name string) string {
	if p.Root != "" && isBelow(name, p.Root) {
		return name
	}
	return filepath.Join("/", p.Root, name)
}

// checkLimit is how long one check may take: more than a connection that gets no answer.
const checkLimit = 15 * time.Second

// Checks are all of them, in the order in which they are run and shown: the files first, then the network from below.
func Checks() []Check { return append(local(), remote()...) }

// Local are those that ask nobody outside of this machine.
func Local() []Check { return local() }

// Examine runs the checks, one after the other, and returns what they found. When ctx ends the rest are not run, and said to be unknown.
func Examine(ctx context.Context, p *Patient, checks []Check) Report {
	r := Report{Verdict: OK, Node: screen.Clean(p.Observed.Node), Results: []Result{}}
	defer p.network.close()
	for _, check := range checks {
		for _, result := range run(ctx, p, check) {
			r.add(check.Name, result)
		}
	}
	return r
}

func run(ctx context.Context, p *Patient, check Check) []Result {
	if ctx.Err() != nil {
		return []Result{{Verdict: Unknown, Text: "not looked at: interrupted", Remedy: "run doctor again"}}
	}
	if p.Begin != nil {
		p.Begin(check)
	}
	limited, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	return check.Run(limited, p)
}

// add takes a result, made fit to be shown: names of files, and what servers say, are words of others.
func (r *Report) add(name string, result Result) {
	result.Check = name
	for _, text := range []*string{&result.Text, &result.Remedy, &result.Command} {
		*text = short(screen.Clean(*text))
	}
	r.Results = append(r.Results, result)
	if rank[result.Verdict] > rank[r.Verdict] {
		r.Verdict = result.Verdict
	}
}

// longest is how many bytes of a text are shown: more than any that is ours, and less than fills screens.
const longest = 2 << 10

func short(text string) string {
	if len(text) <= longest {
		return text
	}
	return strings.ToValidUTF8(text[:longest], "") + "…"
}

// Report is what doctor prints, and its stable JSON form.
type Report struct {
	// Verdict is the worst of the results, of which unknown is not one.
	Verdict Verdict  `json:"verdict"`
	Node    string   `json:"node"`
	Results []Result `json:"results"`
}

// rank orders verdicts by how much they matter to a person.
var rank = map[Verdict]int{OK: 0, Unknown: 0, Attention: 1, Waiting: 2, Broken: 3}

// ExitCode is that of the command: 0 well, 1 failed and may work later, 3 a person must act, 4 attention.
func (r Report) ExitCode() int {
	return map[Verdict]int{Attention: 4, Waiting: 1, Broken: 3}[r.Verdict]
}
