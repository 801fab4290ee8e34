package dashboard

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// expression is what tools/promql says of a query.
type expression struct {
	Text, Error, Type string
	Selectors         []selector
	Functions         []string
	Labels, Made      []string
}

type selector struct {
	Metric   string
	Matchers []struct{ Label, Type, Value string }
}

const parserProgram = "../../bin/tools/promql"

// parse reads queries with Prometheus' own parser.
func parse(tb testing.TB, texts []string) []expression {
	tb.Helper()
	input, err := json.Marshal(texts)
	if err != nil {
		tb.Fatal(err)
	}
	command := exec.CommandContext(tb.Context(), parserProgram)
	var out, said bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &out, &said
	if err := command.Run(); err != nil {
		tb.Fatalf("run %s: %v; if it is not there: make bin/tools/promql\n%s", parserProgram, err, said.String())
	}
	var parsed []expression
	if err := json.Unmarshal(out.Bytes(), &parsed); err != nil {
		tb.Fatalf("the answer of %s: %v", parserProgram, err)
	}
	if len(parsed) != len(texts) {
		tb.Fatalf("%s was given %d expressions and read %d", parserProgram, len(texts), len(parsed))
	}
	return parsed
}

func TestTheParserSaysWhatAnExpressionIsMadeOf(t *testing.T) {
	got := parse(t, []string{
		`sum by (result) (rate(a_total{x=~"b|c", y!="d"}[5m])) > on (node) group_left (v) label_replace(b, "k", "$1", "l", "(.*)")`,
		`sum(`, `{__name__="e"}`, `1`,
	})
	first := got[0]
	if len(first.Selectors) != 2 || first.Selectors[0].Metric != "a_total" || first.Selectors[1].Metric != "b" {
		t.Errorf("the metrics are %+v", first.Selectors)
	}
	if matchers := fmt.Sprint(first.Selectors[0].Matchers); matchers != "[{x =~ b|c} {y != d}]" {
		t.Errorf("the matchers are %s", matchers)
	}
	if !slices.Equal(first.Functions, []string{"label_replace", "rate", "sum"}) || first.Type != "vector" {
		t.Errorf("the functions are %q, the type is %q", first.Functions, first.Type)
	}
	if !slices.Equal(first.Labels, []string{"node", "result", "v"}) || !slices.Equal(first.Made, []string{"k"}) {
		t.Errorf("grouped by %q, made %q", first.Labels, first.Made)
	}
	if !strings.Contains(got[1].Error, "unclosed left parenthesis") || got[0].Error != "" {
		t.Errorf("errors: %q, %q", got[1].Error, got[0].Error)
	}
	if got[2].Selectors[0].Metric != "e" || got[3].Type != "scalar" {
		t.Errorf("got %+v, %+v", got[2], got[3])
	}
}
