package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestThePageOnJoiningQuotesWhatTheAgentSays looks for what the page leads from in the code of the agent.
func TestThePageOnJoiningQuotesWhatTheAgentSays(t *testing.T) {
	page, err := os.ReadFile("../../docs/joining.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "<!-- says:")
	table, _, ended := strings.Cut(table, "<!-- end of says -->")
	if !found || !ended {
		t.Fatal("docs/joining.md has no table of what the agent says")
	}
	code, rows := agentsCode(t), 0
	for line := range strings.Lines(table) {
		quoted := regexp.MustCompile("^\\| `([^`]+)`").FindStringSubmatch(line)
		if quoted == nil {
			continue
		}
		rows++
		if !strings.Contains(code, quoted[1]) {
			t.Errorf("docs/joining.md has the agent say %q, which it does not", quoted[1])
		}
	}
	if rows < 10 {
		t.Errorf("only %d lines of the table were found", rows)
	}
}

// agentsCode is all of the agent's code but its tests.
func agentsCode(t *testing.T) string {
	t.Helper()
	var code strings.Builder
	err := filepath.WalkDir("../../internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		content, err := os.ReadFile(path)
		code.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return code.String()
}
