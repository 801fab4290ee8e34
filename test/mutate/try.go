package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

// patience is how many times as long as without a mistake, and a moment more, tests may take. What hangs is caught.
const (
	patience = 3
	moment   = 30 * time.Second
)

// slow are the tests that are run after the others of their package.
const slow = "PowerCut"

// result is what became of a mutant.
type result struct {
	mutant
	verdict verdict
	// by is the test that caught it, or the reason why it cannot be caught.
	by   string
	took time.Duration
}

type verdict string

const (
	caught     verdict = "caught"
	survived   verdict = "SURVIVED"
	equivalent verdict = "equivalent"
	broken     verdict = "does not compile"
	stale      verdict = "caught, though listed as equivalent"
)

// try makes each mutant in a copy of the tree and runs the tests that could notice it. It prints a row for each.
func try(ctx context.Context, mutants []mutant, jobs int) ([]result, error) {
	known, err := equivalents()
	if err != nil {
		return nil, err
	}
	work, results := make(chan mutant), make(chan result)
	failures := make(chan error, jobs)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var workers sync.WaitGroup
	for range jobs {
		workers.Go(func() {
			runtime.LockOSThread() // never unlocked: the thread, and so its children, end with this goroutine
			if err := tryAll(ctx, work, results, known); err != nil {
				failures <- err
				cancel()
			}
		})
	}
	go func() {
		defer close(work)
		for _, m := range mutants {
			select {
			case work <- m:
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() { workers.Wait(); close(results) }()
	var all []result
	fmt.Print(tableHead)
	for r := range results {
		all = append(all, r)
		fmt.Println(r.row())
	}
	select {
	case err := <-failures:
		return nil, err
	default:
		return all, ctx.Err()
	}
}

// tryAll has a copy of the tree for itself.
func tryAll(ctx context.Context, work <-chan mutant, results chan<- result, known map[string]string) error {
	folder, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	c := copied{folder: folder, limit: 10 * time.Minute}
	if err := c.fill("."); err != nil {
		return err
	}
	longest := time.Duration(0)
	for _, pkg := range mutated { // a test that fails anyhow would catch everything
		begin := time.Now()
		if by, err := c.test(ctx, pkg); err != nil || by != "" {
			return errors.Join(fmt.Errorf("the tests of internal/%s do not pass without any mistake: %s", pkg, by), err)
		}
		longest = max(longest, time.Since(begin))
	}
	c.limit = patience*longest + moment
	for m := range work {
		begin := time.Now()
		r := result{mutant: m}
		if r.verdict, r.by, err = c.try(ctx, m); err != nil {
			return fmt.Errorf("%s: %w", m.id, err)
		}
		if reason, ok := known[m.id]; ok {
			r.verdict, r.by = againstList(r.verdict, r.by, reason)
		}
		r.took = time.Since(begin)
		results <- r
	}
	return nil
}

// againstList is the verdict on a mutant that is listed as equivalent.
func againstList(v verdict, by, reason string) (verdict, string) {
	switch v {
	case survived:
		return equivalent, reason
	case caught:
		return stale, by
	}
	return v, by
}

// copied is a copy of the tree that may be broken.
type copied struct {
	folder string
	limit  time.Duration // of the tests of one package
}

// fill copies everything but what is built and the history.
func (c copied) fill(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && slices.Contains([]string{"bin", ".git"}, path) {
			return fs.SkipDir
		}
		to := filepath.Join(c.folder, path)
		if entry.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o600)
	})
}

func (c copied) try(ctx context.Context, m mutant) (verdict, string, error) {
	path := filepath.Join(c.folder, m.path)
	whole, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	if err := os.WriteFile(path, m.text, 0o600); err != nil {
		return "", "", err
	}
	defer os.WriteFile(path, whole, 0o600)
	if out, err := c.run(ctx, ".", "go", "build", "./internal/"+m.pkg); err != nil {
		return broken, firstLine(out), ctx.Err()
	}
	for _, pkg := range mutated[slices.Index(mutated, m.pkg):] {
		if by, err := c.test(ctx, pkg); err != nil || by != "" {
			return caught, by, err
		}
	}
	return survived, "", nil
}

// test builds the tests of a package and runs them, the quick ones first. It returns the one that failed.
func (c copied) test(ctx context.Context, pkg string) (by string, err error) {
	binary := filepath.Join(c.folder, pkg+".test")
	if out, err := c.run(ctx, ".", "go", "test", "-vet=off", "-ldflags=-s -w", "-c", "-o", binary, "./internal/"+pkg); err != nil {
		return "", fmt.Errorf("internal/%s: %w: %s", pkg, err, firstLine(out))
	}
	for _, choice := range []string{"-test.skip=" + slow, "-test.run=" + slow} {
		out, err := c.run(ctx, filepath.Join("internal", pkg), binary, "-test.failfast", "-test.count=1", "-test.timeout="+c.limit.String(), choice)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err != nil:
			return pkg + "." + failedTest(out), nil //nolint:nilerr // that a test fails is what was asked
		}
	}
	return "", nil
}

func (c copied) run(ctx context.Context, folder, name string, args ...string) (string, error) {
	command := program.Command(ctx, name, args...)
	command.Dir = filepath.Join(c.folder, folder)
	command.WaitDelay = 10 * time.Second // what a test that was killed has started may hold its output open
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	return out.String(), err
}

var failLine = regexp.MustCompile(`(?m)^--- FAIL: (\S+)`)

// failedTest finds the name of the first test that failed, or says how else it ended.
func failedTest(out string) string {
	match := failLine.FindStringSubmatch(out)
	switch {
	case match != nil:
		return match[1]
	case strings.Contains(out, "panic: test timed out"):
		return "(time-out)"
	case strings.Contains(out, "panic:"):
		return "(panic)"
	}
	return "(" + firstLine(out) + ")"
}

func firstLine(out string) string {
	for line := range strings.SplitSeq(out, "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return "nothing was said"
}
