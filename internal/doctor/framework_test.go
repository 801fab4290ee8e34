package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// saying is a check that always says this.
func saying(name string, results ...Result) Check {
	return Check{Name: name, About: "A test.", Run: func(context.Context, *Patient) []Result { return results }}
}

func TestTheWorstResultIsTheVerdict(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		results []Result
		verdict Verdict
		code    int
	}{
		"nothing":                              {nil, OK, 0},
		"well":                                 {[]Result{ok("a")}, OK, 0},
		"what is not known counts for nothing": {[]Result{unknown("a"), ok("b"), unknown("c")}, OK, 0},
		"attention":                            {[]Result{ok("a"), attention("b"), unknown("c")}, Attention, 4},
		"waiting is worse":                     {[]Result{waiting("a"), attention("b")}, Waiting, 1},
		"broken is worst":                      {[]Result{attention("a"), broken("b"), waiting("c")}, Broken, 3},
	} {
		r := Examine(context.Background(), &Patient{}, []Check{saying("one", c.results...)})
		if r.Verdict != c.verdict || r.ExitCode() != c.code || len(r.Results) != len(c.results) {
			t.Errorf("%s: %s with exit code %d and %d results", name, r.Verdict, r.ExitCode(), len(r.Results))
		}
	}
}

func TestEveryCheckIsAnnouncedAndRunInItsOrder(t *testing.T) {
	t.Parallel()
	var begun []string
	p := &Patient{Begin: func(c Check) { begun = append(begun, c.Name) }}
	r := Examine(context.Background(), p, []Check{saying("one", ok("a")), saying("two"), saying("three", ok("b"), ok("c"))})
	if strings.Join(begun, " ") != "one two three" || len(r.Results) != 3 || r.Results[0].Check != "one" || r.Results[2].Check != "three" {
		t.Errorf("begun %v, results %+v", begun, r.Results)
	}
}

func TestWhatIsInterruptedIsUnknown(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	stops := Check{Name: "one", Run: func(context.Context, *Patient) []Result { cancel(); return one(ok("a")) }}
	r := Examine(ctx, &Patient{}, []Check{stops, saying("two", broken("never"))})
	if len(r.Results) != 2 || r.Results[1].Verdict != Unknown || r.Results[1].Remedy == "" {
		t.Errorf("%+v", r.Results)
	}
}

func TestWhatOthersSayStaysOnOneLineOfALengthToRead(t *testing.T) {
	t.Parallel()
	evil := "a\x1b[2J\nbroken\tdns\u202e" + strings.Repeat("ü", 4000)
	r := Examine(context.Background(), &Patient{Observed: status.Observed{Node: "n\x1b"}}, []Check{saying("one", attention("%s", evil).with(evil, evil))})
	for _, text := range []string{r.Results[0].Text, r.Results[0].Remedy, r.Results[0].Command, r.Node} {
		if strings.ContainsAny(text, "\x1b\n\t\u202e") || len(text) > longest+len("…") || strings.ContainsRune(text, '\ufffd') {
			t.Errorf("%q", text)
		}
	}
}

// report has one result of each kind.
func report() Report {
	return Examine(context.Background(), &Patient{Observed: status.Observed{Node: "worker-1"}}, []Check{
		saying("first", ok("it is well")),
		saying("a-longer-name", unknown("it cannot be seen").with("as root", "bootstrap-agent doctor"), attention("it is due").with("wait", "")),
		saying("third", waiting("it comes").with("", "journalctl"), broken("it does not").with("as root", "chmod 0600 '/a b' && x >y")),
	})
}

const page = `ok         first          it is well
unknown    a-longer-name  it cannot be seen
                          → as root: bootstrap-agent doctor
attention  a-longer-name  it is due
                          → wait
waiting    third          it comes
                          → journalctl
broken     third          it does not
                          → as root: chmod 0600 '/a b' && x >y

worker-1: broken (1 broken, 1 waiting, 1 attention, 1 ok, 1 unknown)
`

func TestAPersonReadsALineForEachResultAndWhatToDoBelow(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	must(t, report().WriteText(&text, screen.Screen{}))
	if text.String() != page {
		t.Errorf("got\n%s\nexpected\n%s", text.String(), page)
	}
	var coloured bytes.Buffer
	must(t, report().WriteText(&coloured, screen.Coloured()))
	plain := strings.NewReplacer("\x1b[0m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "").Replace(coloured.String())
	if plain != page || coloured.String() == page {
		t.Errorf("with colours:\n%q", coloured.String())
	}
}

// What scripts read is a promise.
func TestTheJSONFormIsStable(t *testing.T) {
	t.Parallel()
	text, err := json.MarshalIndent(report(), "", "  ")
	must(t, err)
	const golden = "testdata/report.json"
	if os.Getenv("UPDATE_DOCS") != "" {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(golden, append(text, '\n'), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	if string(text)+"\n" != string(want) {
		t.Errorf("got\n%s\nexpected, as in %s,\n%s", text, golden, want)
	}
}

func TestNamesOfChecksAreStableAndUnique(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, check := range Checks() {
		if seen[check.Name] || check.Name == "" || strings.Trim(check.Name, "abcdefghijklmnopqrstuvwxyz-") != "" || !strings.HasSuffix(check.About, ".") {
			t.Errorf("%q: %q", check.Name, check.About)
		}
		seen[check.Name] = true
	}
	for _, check := range Local() {
		if !seen[check.Name] {
			t.Errorf("%s is a local check and none of all", check.Name)
		}
	}
}

func TestAnErrorComesApartIntoWhatIsAndWhatToDo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Result{
		"/a is writable; as root: chmod go-w /a":              {Text: "/a is writable", Remedy: "as root", Command: "chmod go-w /a"},
		"a; b; check it with: kubectl --kubeconfig=/a config": {Text: "a; b", Remedy: "check it with", Command: "kubectl --kubeconfig=/a config"},
		"a; set it: to something":                             {Text: "a", Remedy: "set it: to something"},
		"two\nlines":                                          {Text: "two lines", Remedy: "otherwise"},
	} {
		want.Verdict = Broken
		if got := fromError(Broken, stringError(text), "otherwise"); got != want {
			t.Errorf("%q becomes %+v, expected %+v", text, got, want)
		}
	}
}

type stringError string

func (e stringError) Error() string { return string(e) }

func TestAPathIsQuotedForAShell(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/etc/a-b_c.d": "/etc/a-b_c.d", "": "''", "/a b": "'/a b'", "/it's": `'/it'\''s'`, "/$(x)": "'/$(x)'", "/ü": "'/ü'"} {
		if got := quoted(path); got != want {
			t.Errorf("%s becomes %s, expected %s", path, got, want)
		}
	}
}
