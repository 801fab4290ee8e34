package doctor

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// shownElsewhere are verdicts that a test of its own shows, for what no test can make of a node: see files_test.go; of rights, test/e2e.
func shownElsewhere() map[string][]Verdict {
	return map[string][]Verdict{"storage": {Unknown}, "space": {Attention, Broken}, "time": {Attention, Unknown}, "rights": {Unknown}}
}

const docs = "../../docs/doctor.md"

// TestThePageOnDoctorSaysWhatTheCodeSays writes what each check looks at with UPDATE_DOCS=1; the rows are a person's.
func TestThePageOnDoctorSaysWhatTheCodeSays(t *testing.T) {
	text, err := os.ReadFile(docs)
	must(t, err)
	var want strings.Builder
	for line := range strings.Lines(string(text)) {
		for _, check := range Checks() {
			if cells := strings.SplitN(line, " | ", 3); len(cells) == 3 && cells[0] == "| `"+check.Name+"`" {
				line = cells[0] + " | " + check.About + " | " + cells[2]
			}
		}
		want.WriteString(line)
	}
	if want.String() == string(text) {
		return
	}
	if os.Getenv("UPDATE_DOCS") == "" {
		t.Fatalf("%s is not what the code says; write it with: UPDATE_DOCS=1 go test -run TestThePageOnDoctor ./internal/doctor", docs)
	}
	must(t, os.WriteFile(docs, []byte(want.String()), 0o644))
}

// documented are the rows of the page's table, by the name of the check.
func documented(t *testing.T) (names []string, rows map[string][]string) {
	t.Helper()
	text, err := os.ReadFile(docs)
	must(t, err)
	rows = map[string][]string{}
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if name, is := strings.CutPrefix(strings.TrimSpace(cells[0]), "`"); is && strings.HasPrefix(line, "| `") && len(cells) == 4 {
			name = strings.TrimSuffix(name, "`")
			names = append(names, name)
			rows[name] = cells[1:]
		}
	}
	return names, rows
}

func TestThePageOnDoctorHasEveryCheck(t *testing.T) {
	t.Parallel()
	names, rows := documented(t)
	var want []string
	for _, check := range Checks() {
		want = append(want, check.Name)
		if len(rows[check.Name]) != 3 {
			t.Fatalf("docs/doctor.md has no row of four cells for %s", check.Name)
		}
		for v := range strings.SplitSeq(rows[check.Name][1], ", ") {
			if _, is := rank[Verdict(v)]; !is {
				t.Errorf("docs/doctor.md says that %s can be %q", check.Name, v)
			}
		}
	}
	if !slices.Equal(names, want) {
		t.Errorf("docs/doctor.md has the checks %q, expected %q", names, want)
	}
}

func TestThePageOnDoctorHasTheVerdictsThatTestsHaveShown(t *testing.T) {
	t.Parallel()
	shown := map[string]map[Verdict]bool{}
	show := func(check string, v Verdict) {
		if shown[check] == nil {
			shown[check] = map[Verdict]bool{OK: true}
		}
		shown[check][v] = true
	}
	for _, i := range illnesses() {
		show(i.check, i.verdict)
	}
	for check, verdicts := range shownElsewhere() {
		for _, v := range verdicts {
			show(check, v)
		}
	}
	_, rows := documented(t)
	for _, check := range Local() {
		var want []string
		for _, v := range []Verdict{OK, Unknown, Attention, Waiting, Broken} {
			if shown[check.Name][v] {
				want = append(want, string(v))
			}
		}
		if row := rows[check.Name]; len(row) == 3 && row[1] != strings.Join(want, ", ") {
			t.Errorf("docs/doctor.md says that %s can be %s; shown was %s", check.Name, row[1], strings.Join(want, ", "))
		}
	}
	if missing := len(slices.Collect(maps.Keys(shown))); missing != len(Local()) {
		t.Errorf("verdicts of %d checks are shown, there are %d", missing, len(Local()))
	}
}
