package apiserver

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// every are all reasons, as reason.go has them.
func every(t *testing.T) []Reason {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var found []Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Reason" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found = append(found, Reason(text))
		}
		return true
	})
	if len(found) < 15 {
		t.Fatalf("only %v were found", found)
	}
	return found
}

// A person who reads "is the token's Secret there?" about a node that has been well for months looks in the wrong place.
func TestEveryReasonHasAWordingForEachIdentityOrNoneOnPurpose(t *testing.T) {
	t.Parallel()
	heals := []Reason{Exists, Throttled, ServerError, Expired} // time does, or the agent itself
	same := []Reason{Unreachable, Timeout, TLS, Clock, Redirected, Invalid, BadAnswer, NoCredential}
	differ := map[Reason][]string{
		Unauthorized: {"--client-ca-file", "clock", "a new bootstrap kubeconfig"},
		Forbidden:    {"NodeRestriction", "its own name", "system:nodes", "selfnodeclient"},
		NotFound:     {"kubelet", "API server"},
	}
	for _, reason := range every(t) {
		asNode, asBootstrap := reason.RemedyAsNode(), reason.Remedy()
		switch words, differs := differ[reason]; {
		case slices.Contains(heals, reason):
			if asNode != "" || asBootstrap != "" {
				t.Errorf("%s has a remedy where none is needed: %q, %q", reason, asNode, asBootstrap)
			}
		case slices.Contains(same, reason):
			if asNode == "" || asNode != asBootstrap {
				t.Errorf("%s: %q as the node, otherwise %q", reason, asNode, asBootstrap)
			}
		case differs:
			for _, word := range words {
				if !strings.Contains(asNode, word) {
					t.Errorf("%s: %q does not speak of %s", reason, asNode, word)
				}
			}
			if asBootstrap == "" || strings.Contains(asNode, "token") || strings.Contains(asNode, "system:node-bootstrapper") {
				t.Errorf("%s: %q is for a bootstrap credential", reason, asNode)
			}
		default:
			t.Errorf("%s is in no row", reason)
		}
	}
	t.Logf("%d reasons", len(every(t)))
}
