// Command promql says what PromQL expressions are made of, as Prometheus' own parser reads them: a JSON list of strings on standard
// input, a JSON list with one [expression] each, in the same order, on standard output.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "promql:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	var texts []string
	if err := json.NewDecoder(in).Decode(&texts); err != nil {
		return fmt.Errorf("reading a JSON list of expressions from standard input: %w", err)
	}
	answers := make([]expression, len(texts))
	for i, text := range texts {
		answers[i] = read(text)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", " ")
	return encoder.Encode(answers)
}

// read never fails: what is no PromQL is an expression with an error.
func read(text string) expression {
	parsed, err := parser.ParseExpr(text)
	if err != nil {
		return expression{Text: text, Error: err.Error()}
	}
	e := expression{Text: text, Type: string(parsed.Type())}
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		e.note(node)
		return nil
	})
	return e
}
