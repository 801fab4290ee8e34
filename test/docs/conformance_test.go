package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// upstream is a file of tests of Kubernetes, by its module and its path there.
type upstream struct {
	file string
	rows []conforming
}

// conforming is one upstream test, or a case that upstream lacks, and what there is here in its place.
type conforming struct {
	test string
	// cases is how many the upstream test has; all of them are meant.
	cases int
	// about is what it is about; ours is what the agent does, and why, where that is not the same.
	about, ours string
	// shown are our tests, each with its folder; behind a colon stands the case, if it is one of a table.
	shown []string
	// later is why nothing shows it: what it is about is not built yet.
	later string
}

// kubernetes is the release whose tests these are.
const kubernetes = "v1.36.3"

func upstreams() []upstream { return slices.Concat(ofTheNode, ofTheCluster, ofTheBootstrap) }

func TestThePageOnConformanceNamesTestsThatThereAre(t *testing.T) {
	there := everyTest(t)
	var tables, lacking strings.Builder
	tests, cases, later := 0, 0, 0
	for _, u := range upstreams() {
		fmt.Fprintf(&tables, "\n### %s\n\n| upstream test | what it is about | the agent | shown by |\n|---|---|---|---|\n", u.file)
		for _, row := range u.rows {
			name := code(row.test)
			if row.cases > 1 {
				name += fmt.Sprintf(" (%d)", row.cases)
			}
			fmt.Fprintf(&tables, "| %s | %s | %s | %s |\n", name, row.about, row.ours, proofsOf(t, there, row))
			tests, cases = tests+1, cases+max(row.cases, 1)
			if row.later != "" {
				later++
			}
		}
	}
	lacking.WriteString("| case | the agent | shown by |\n|---|---|---|\n")
	open := 0
	for _, row := range beyondUpstream {
		if row.later != "" {
			open++
		}
		fmt.Fprintf(&lacking, "| %s | %s | %s |\n", row.about, row.ours, proofsOf(t, there, row))
	}
	summary := fmt.Sprintf("%d rows of tests of Kubernetes %s with %d cases, and %d rows of what it has no test for. Not built yet is what %d and %d of them are about.\n",
		tests, kubernetes, cases, len(beyondUpstream), later, open)
	t.Log(summary)
	const page = "../../docs/conformance.md"
	compare(t, page, "summary", summary)
	compare(t, page, "upstream", tables.String())
	compare(t, page, "beyond", lacking.String())
}

// proofsOf are links to the tests of a row, which there must be.
func proofsOf(t *testing.T, there map[string]string, row conforming) string {
	t.Helper()
	what := row.test + row.about
	switch {
	case row.later != "" && len(row.shown) == 0:
		return "not built yet: " + row.later
	case row.later != "" || len(row.shown) == 0:
		t.Errorf("%s: either tests show it, or it is not built yet", what)
	}
	var links []string
	for _, shown := range row.shown {
		place, inTable, _ := strings.Cut(shown, ": ")
		folder, name, _ := strings.Cut(place, " ")
		file := there[name]
		if filepath.Dir(file) != folder {
			t.Errorf("%s: there is no %s in %s", what, name, folder)
			continue
		}
		link := fmt.Sprintf("[`%s`](../%s)", name, file)
		if inTable != "" {
			content, err := os.ReadFile(filepath.Join("../..", file))
			if err != nil || !strings.Contains(string(content), fmt.Sprintf("%q", inTable)) {
				t.Errorf("%s: %s has no case %q (%v)", what, name, inTable, err)
			}
			link += ": " + inTable
		}
		links = append(links, link)
	}
	return strings.Join(links, "<br>")
}

// Each upstream test stands once, and of each of our tests that were written for this page the page tells.
func TestThePageOnConformanceLeavesNothingOut(t *testing.T) {
	seen, told := map[string]bool{}, ""
	for _, u := range upstreams() {
		for _, row := range u.rows {
			if key := u.file + row.test; seen[key] {
				t.Errorf("%s of %s stands twice", row.test, u.file)
			} else {
				seen[key] = true
			}
			told += strings.Join(row.shown, " ") + " "
		}
	}
	for _, row := range beyondUpstream {
		told += strings.Join(row.shown, " ") + " "
	}
	for name, file := range everyTest(t) {
		if strings.HasPrefix(filepath.Base(file), "conformance_") && !strings.HasPrefix(file, "test/docs/") && !strings.Contains(told, " "+name) {
			t.Errorf("%s was written for this page, which does not tell of it", name)
		}
	}
}

// What the page says of client-go can be looked up here, for its tests come with it. The version is the one that is built in.
func TestTheUpstreamTestsOfClientGoAreThoseOfItsVersion(t *testing.T) {
	output, err := exec.Command("go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", "k8s.io/client-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	version, folder, _ := strings.Cut(strings.TrimSpace(string(output)), " ")
	if strings.TrimPrefix(version, "v0.") != strings.TrimPrefix(kubernetes, "v1.") {
		t.Errorf("client-go is %s, and the page is about the tests of Kubernetes %s: look what has changed in them", version, kubernetes)
	}
	found := 0
	for _, u := range upstreams() {
		path, ours := strings.CutPrefix(u.file, "client-go: ")
		if !ours {
			continue
		}
		content, err := os.ReadFile(filepath.Join(folder, path))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, row := range u.rows {
			if !strings.Contains(string(content), "func "+row.test+"(") {
				t.Errorf("%s has no %s", path, row.test)
			}
			found++
		}
	}
	if found == 0 {
		t.Error("no test of client-go was looked up")
	}
	t.Logf("%d tests of client-go %s", found, version)
}
