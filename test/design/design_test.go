// Package design_test holds the shape of the code: what no package may do, and who may import whom. The rules stand as tables in
// rules_test.go and graph_test.go; each rule carries code that breaks it, and a test sees that this code is reported.
package design_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the path of this module.
const module = "github.com/bootstrap-agent/bootstrap-agent"

func TestNoCodeBreaksARule(t *testing.T) {
	checker := newChecker(t)
	for _, s := range sources(t) {
		code, err := checker.load(s)
		if err != nil {
			t.Errorf("%s was not looked at, since it does not compile: %v", s.path, err)
			continue
		}
		for _, r := range rules {
			if !r.holdsIn(strings.TrimPrefix(s.path, module+"/")) {
				continue
			}
			for _, finding := range r.find(code) {
				t.Errorf("%s\n\trule: %s\n\twhy:  %s", finding, r.name, r.why)
			}
		}
	}
}

func TestEveryRuleReportsWhatBreaksItAndNothingElse(t *testing.T) {
	checker := newChecker(t)
	for _, r := range rules {
		if len(r.breaks) == 0 {
			t.Errorf("rule %q has no code that breaks it", r.name)
		}
		for _, text := range r.breaks {
			if len(r.find(checker.sample(t, text))) == 0 {
				t.Errorf("rule %q does not report:\n%s", r.name, text)
			}
		}
		for _, text := range r.keeps {
			if got := r.find(checker.sample(t, text)); len(got) != 0 {
				t.Errorf("rule %q reports what it should not: %s\n%s", r.name, strings.Join(got, "\n"), text)
			}
		}
	}
}

// A folder that is misspelt is one where the rule does not hold, or holds by accident.
func TestEveryFolderInARuleExists(t *testing.T) {
	for _, r := range rules {
		if len(r.in) == 0 {
			t.Errorf("rule %q holds nowhere", r.name)
		}
		for _, folder := range slices.Concat(r.in, r.except) {
			if _, err := os.Stat(filepath.Join(root, folder)); err != nil {
				t.Errorf("rule %q: %v", r.name, err)
			}
		}
	}
}

// A name that is misspelt, or that its package no longer has, forbids nothing.
func TestEveryForbiddenNameExists(t *testing.T) {
	checker := newChecker(t)
	for _, r := range rules {
		for _, pattern := range r.uses {
			path := packageOf(pattern)
			if checker.exports[path] == "" && strings.Contains(path, ".") {
				continue // of a module that is not among our dependencies
			}
			names, err := checker.names(path)
			if err != nil {
				t.Error(err)
			}
			if !slices.ContainsFunc(names, func(name string) bool { return matches(pattern, name) }) {
				t.Errorf("rule %q: there is no %s", r.name, pattern)
			}
		}
	}
}
