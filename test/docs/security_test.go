package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// proof is a test that a page names as what shows a claim.
var proof = regexp.MustCompile("\\[`((?:Test|Fuzz)\\w+)`\\]\\(\\.\\./([^)]+)\\)")

// TestEveryClaimOfThePageOnSecurityIsShownByATestOrKubernetesOwn looks at the tables that say what shows each of their rows. The other
// tables are asked of the real thing by the tests that the comments before them name.
func TestEveryClaimOfThePageOnSecurityIsShownByATestOrKubernetesOwn(t *testing.T) {
	page, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	there := everyTest(t)
	named := proof.FindAllStringSubmatch(string(page), -1)
	for _, match := range named {
		if there[match[1]] != match[2] {
			t.Errorf("docs/security.md says that %s is in %s, and it is in %q", match[1], match[2], there[match[1]])
		}
	}
	rows, shown := 0, false
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		last := strings.TrimSpace(cells[len(cells)-1])
		switch {
		case !strings.HasPrefix(line, "|"):
			shown = false
		case last == "shown by":
			shown = true
		case shown && strings.Trim(line, "|-\n") != "":
			rows++
			if !proof.MatchString(last) && !strings.Contains(last, "Kubernetes") {
				t.Errorf("docs/security.md: nothing shows that %s", strings.TrimSpace(line))
			}
		}
	}
	if len(named) < 15 || rows < 15 {
		t.Errorf("only %d tests and %d claims were found", len(named), rows)
	}
	for _, comment := range regexp.MustCompile(`test/e2e/\w+_test\.go`).FindAllString(string(page), -1) {
		if _, err := os.Stat("../../" + comment); err != nil {
			t.Error(err)
		}
	}
}

var (
	leads     = regexp.MustCompile(`\]\(([^)#:\s]*)(#[^)\s]*)?\)`)
	noAnchor  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	codeBlock = regexp.MustCompile("(?ms)^ *```.*?^ *```")
)

func TestTheLinksOfTheDocumentationLeadToPagesAndHeadingsThatThereAre(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	links, known := 0, map[string][]string{}
	for _, path := range append(pages, "../../README.md") {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range leads.FindAllStringSubmatch(codeBlock.ReplaceAllString(string(page), ""), -1) {
			links++
			target := path
			if match[1] != "" {
				target = filepath.Join(filepath.Dir(path), match[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s leads to %s, which is not there", path, match[1])
				continue
			}
			if match[2] != "" && known[target] == nil {
				known[target] = headings(t, target)
			}
			if match[2] != "" && !slices.Contains(known[target], match[2]) {
				t.Errorf("%s leads to %s%s, and there is no such heading", path, match[1], match[2])
			}
		}
	}
	if links < 300 {
		t.Errorf("only %d links were found", links)
	}
}

// headings are what the headings of a page can be linked by, as GitHub and GitLab make it.
func headings(t *testing.T, path string) []string {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for line := range strings.Lines(codeBlock.ReplaceAllString(string(page), "")) {
		if strings.HasPrefix(line, "#") {
			heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
			all = append(all, "#"+strings.ReplaceAll(noAnchor.ReplaceAllString(heading, ""), " ", "-"))
		}
	}
	return all
}
