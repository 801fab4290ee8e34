package dashboard

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

const page = "../../docs/dashboard.md"

func TestThePageHasEveryPanelAndWhatIsNotShown(t *testing.T) {
	var panels, left strings.Builder
	for _, name := range boards() {
		b := load(t, name)
		fmt.Fprintf(&panels, "\n### %s (`%s.json`)\n\n%s\n", b.Title, name, b.Description)
		for _, p := range b.Panels {
			if p.Type == "row" {
				fmt.Fprintf(&panels, "\n**%s**\n\n| panel | shows |\n|---|---|\n", p.Title)
				continue
			}
			fmt.Fprintf(&panels, "| %s | %s |\n", p.Title, p.Description)
		}
	}
	left.WriteString("\n| series | why |\n|---|---|\n")
	for _, series := range slices.Sorted(maps.Keys(unused)) {
		fmt.Fprintf(&left, "| `%s` | %s |\n", series, unused[series])
	}
	left.WriteString("| `process_*` | those of the agent's process: for whoever looks for a leak |\n\n")
	compare(t, "panels", panels.String()+"\n")
	compare(t, "unused series", left.String())
}

// compare holds the part of the page between two markers against what it is made from.
func compare(t *testing.T, part, want string) {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), "<!-- "+part)
	marker, rest, found2 := strings.Cut(rest, "-->\n")
	got, after, found3 := strings.Cut(rest, "<!-- end of "+part)
	if !found || !found2 || !found3 {
		t.Fatalf("%s has no markers for %s", page, part)
	}
	if got == want {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		t.Fatalf("%s is not what is known about %s; write it with: UPDATE_DOCS=1 go test ./test/dashboard", page, part)
	}
	text := before + "<!-- " + part + marker + "-->\n" + want + "<!-- end of " + part + after
	if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
