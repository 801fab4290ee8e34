package main

import (
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// expression is what one PromQL expression is made of.
type expression struct {
	Text string `json:"text"`
	// Error is why it is none; nothing else is known then.
	Error string `json:"error,omitempty"`
	// Type is scalar, vector, matrix or string.
	Type      string     `json:"type,omitempty"`
	Selectors []selector `json:"selectors,omitempty"`
	// Functions are the functions and aggregations in it, sorted.
	Functions []string `json:"functions,omitempty"`
	// Labels are those that it groups and joins by (by, without, on, ignoring, group_left, group_right), sorted.
	Labels []string `json:"labels,omitempty"`
	// Made are the labels that label_replace and label_join add.
	Made []string `json:"made,omitempty"`
}

// selector is one metric in an expression.
type selector struct {
	Metric   string    `json:"metric"`
	Matchers []matcher `json:"matchers,omitempty"`
}

// matcher is a label, one of = != =~ !~, and the value or pattern.
type matcher struct {
	Label string `json:"label"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

func (e *expression) note(node parser.Node) {
	switch n := node.(type) {
	case *parser.VectorSelector:
		e.Selectors = append(e.Selectors, selected(n))
	case *parser.AggregateExpr:
		e.Functions = with(e.Functions, n.Op.String())
		e.Labels = with(e.Labels, n.Grouping...)
	case *parser.BinaryExpr:
		if n.VectorMatching != nil {
			e.Labels = with(e.Labels, n.VectorMatching.MatchingLabels...)
			e.Labels = with(e.Labels, n.VectorMatching.Include...)
		}
	case *parser.Call:
		e.Functions = with(e.Functions, n.Func.Name)
		if target, ok := made(n); ok {
			e.Made = with(e.Made, target)
		}
	}
}

func selected(n *parser.VectorSelector) selector {
	s := selector{Metric: n.Name}
	for _, m := range n.LabelMatchers {
		if m.Name != model.MetricNameLabel {
			s.Matchers = append(s.Matchers, matcher{m.Name, m.Type.String(), m.Value})
			continue
		}
		s.Metric = m.Value
	}
	return s
}

// made returns the label that a call adds: the second argument of label_replace and label_join.
func made(call *parser.Call) (string, bool) {
	if call.Func.Name != "label_replace" && call.Func.Name != "label_join" {
		return "", false
	}
	text, ok := call.Args[1].(*parser.StringLiteral)
	if !ok {
		return "", false
	}
	return text.Val, true
}

// with returns words and more, sorted, each once.
func with(words []string, more ...string) []string {
	words = append(words, more...)
	slices.Sort(words)
	return slices.Compact(words)
}
