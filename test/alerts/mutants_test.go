package alerts

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// mutant is a rule that somebody has broken.
type mutant struct {
	what string
	rule rule
}

// TestABrokenRuleIsNoticed breaks each rule in every way there is below, and has the tests of the rules notice it.
func TestABrokenRuleIsNoticed(t *testing.T) {
	t.Parallel()
	var mutants []mutant
	whole := map[string]rule{}
	for _, r := range rules(t) {
		mutants = append(mutants, mutantsOf(r)...)
		whole[r.Alert] = r
	}
	chosen := len(mutants)
	if os.Getenv("SOAK") == "" {
		chosen = 3
	}
	for _, i := range sample.Random(t).Perm(len(mutants))[:chosen] {
		m := mutants[i]
		if r, first := whole[m.rule.Alert]; first { // what is not broken must pass
			noticed(t, mutant{"nothing", r}, false)
			delete(whole, r.Alert)
		}
		noticed(t, m, true)
	}
	t.Logf("%d of %d mutants", chosen, len(mutants))
}

// noticed has promtool run the tests that concern a rule, and says so if they fail and should not, or the other way round.
func noticed(t *testing.T, m mutant, want bool) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "alerts.yaml"), ruleFile{Groups: []ruleGroup{{Name: "mutant", Rules: []rule{m.rule}}}})
	var paths []string
	for _, path := range ruleTests(t) {
		var file testFile
		load(t, path, &file)
		if file.Tests = concerning(file.Tests, m.rule); len(file.Tests) > 0 {
			paths = append(paths, filepath.Join(dir, filepath.Base(path)))
			write(t, paths[len(paths)-1], file)
		}
	}
	err := prometheus.TestRules(t.Context(), paths...)
	switch {
	case err != nil && strings.Contains(err.Error(), "parse error"):
		t.Errorf("%s: %s: this is no mutant: %v", m.rule.Alert, m.what, err)
	case err != nil && !want:
		t.Errorf("%s: the tests fail: %v", m.rule.Alert, err)
	case err == nil && want:
		t.Errorf("%s: no test notices: %s\n%s", m.rule.Alert, m.what, m.rule.Expr)
	}
}

func write(t *testing.T, path string, content any) {
	t.Helper()
	text, err := json.Marshal(content) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

var word = regexp.MustCompile(`[a-z_]+`)

// concerning are the tests with series that a rule asks for, without what they say of other rules.
func concerning(groups []testGroup, r rule) []testGroup {
	var left []testGroup
	for _, group := range groups {
		if !slices.ContainsFunc(group.Series, func(s series) bool {
			return strings.Contains(r.Expr, word.FindString(s.Series))
		}) {
			continue
		}
		group.Alerts = slices.DeleteFunc(group.Alerts, func(c alertCase) bool { return c.AlertName != r.Alert })
		for i := range group.Queries {
			group.Queries[i].Expected = slices.DeleteFunc(group.Queries[i].Expected, func(s expectation) bool {
				return !strings.Contains(s.Labels, `"`+r.Alert+`"`)
			})
		}
		left = append(left, group)
	}
	return left
}

var (
	hidden     = regexp.MustCompile(`\{[^}]*\}|"[^"]*"|\[[^\]]*\]|\bby \([^)]*\)|\bon \([^)]*\)|\bignoring \([^)]*\)|\bwithout \([^)]*\)`)
	comparison = regexp.MustCompile(`==|!=|>=|<=|<|>`)
	number     = regexp.MustCompile(`\b[0-9]+(\.[0-9]+)?\b`)
	combining  = regexp.MustCompile(`\b(and|or|unless)\b`)
	span       = regexp.MustCompile(`\[([0-9]+)([mh])\]`)
	function   = regexp.MustCompile(`\b(clamp_max|abs|increase|max_over_time)\b`)
)

var (
	inverse = map[string]string{"==": "!=", "!=": "==", ">=": "<", "<=": ">", "<": ">=", ">": "<="}
	swapped = map[string]string{
		"and": "unless", "unless": "and", "or": "and",
		"clamp_max": "clamp_min", "abs": "", "increase": "max_over_time", "max_over_time": "increase",
	}
)

// mutantsOf are all mutants of a rule.
func mutantsOf(r rule) []mutant {
	masked := hidden.ReplaceAllStringFunc(r.Expr, func(s string) string { return strings.Repeat("~", len(s)) })
	var all []mutant
	replace := func(at []int, by string) {
		broken := r
		broken.Expr = r.Expr[:at[0]] + by + r.Expr[at[1]:]
		all = append(all, mutant{fmt.Sprintf("%q at %d became %q", r.Expr[at[0]:at[1]], at[0], by), broken})
	}
	each := func(pattern *regexp.Regexp, text string, by func(string) string) {
		for _, at := range pattern.FindAllStringIndex(text, -1) {
			if other := by(text[at[0]:at[1]]); other != text[at[0]:at[1]] {
				replace(at, other)
			}
		}
	}
	each(comparison, masked, func(s string) string { return inverse[s] })
	each(combining, masked, func(s string) string { return swapped[s] })
	each(function, masked, func(s string) string { return swapped[s] })
	each(number, masked, func(s string) string { return times(s, 10) })
	each(span, r.Expr, func(s string) string { return "[" + times(s[1:len(s)-2], 10) + s[len(s)-2:] })
	each(span, r.Expr, func(s string) string {
		return "[" + s[1:len(s)-2] + map[byte]string{'h': "m", 'm': "s"}[s[len(s)-2]] + "]"
	})
	each(regexp.MustCompile(`\{[^}]*\}`), r.Expr, func(string) string { return "" })
	return append(all, beside(r)...)
}

// beside are mutants of what stands beside the expression.
func beside(r rule) []mutant {
	var all []mutant
	if r.For != "" {
		never, longer := r, r
		never.For = ""
		longer.For = r.For[:len(r.For)-1] + "0" + r.For[len(r.For)-1:]
		all = append(all, mutant{"for is gone", never}, mutant{"for is ten times as long", longer})
	}
	louder := r
	louder.Labels = map[string]string{"severity": map[string]string{"warning": "critical", "critical": "warning"}[r.Labels["severity"]]}
	return append(all, mutant{"another severity", louder})
}

// times multiplies a number that is written out; 0 and 1 are no thresholds but states.
func times(text string, by float64) string {
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || value == 1 && !strings.Contains(text, ".") {
		return text
	}
	return strconv.FormatFloat(value*by, 'f', -1, 64)
}
