// Command mutate breaks, one at a time, every step by which the agent makes its files durable, and runs the tests: each of these
// mistakes must be caught. It works on a copy of the tree. Run it in the folder of the repository: make mutate.
//
// The mistakes are generated from the code (mutants.go, replace.go), so that new code has its own. Those that change nothing
// that anybody could see are in equivalent.txt, each with the reason.
//
// Exit codes: 0 all were caught, 1 one survived or an equivalent is none any more, 2 it could not be tried.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"regexp"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

func main() {
	list := flag.Bool("list", false, "print the mutants and try none")
	only := flag.String("only", "", "a regular expression: only mutants whose id it finds")
	jobs := flag.Int("jobs", 1, "how many are tried at a time")
	flag.Parse()
	program.Main("mutate", func(ctx context.Context) error {
		err := mutate(ctx, *list, *only, max(*jobs, 1))
		if _, ok := errors.AsType[*program.Exit](err); err != nil && !ok {
			err = &program.Exit{Code: 2, Err: err}
		}
		return err
	})
}

func mutate(ctx context.Context, list bool, only string, jobs int) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	t, err := parseTree(".")
	if err != nil {
		return err
	}
	var chosen []mutant
	for _, m := range t.mutants() {
		if pattern.MatchString(m.id) {
			chosen = append(chosen, m)
		}
	}
	if list {
		for _, m := range chosen {
			fmt.Printf("%s  %s: %s\n", m.id, m.path, m.what)
		}
		fmt.Printf("%d mutants, of the callers of %d functions that change files\n", len(chosen), len(t.changing))
		return nil
	}
	begin := time.Now()
	results, err := try(ctx, chosen, jobs)
	if err != nil {
		return err
	}
	summary := summarize(results)
	fmt.Printf("\n%s, in %s\n", summary, time.Since(begin).Round(time.Second))
	if !summary.good() {
		return &program.Exit{Code: 1, Err: errors.New("a test is missing for what survived, or test/mutate/equivalent.txt is wrong")}
	}
	return nil
}
