package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

const troubleshooting = "../../docs/troubleshooting.md"

// index is a table from something that is seen to the scenarios in which it is, in the order of the scenarios.
type index struct {
	heads []string
	order []string
	rows  map[string][]string
}

func (i *index) add(seen, scenario string) {
	if i.rows == nil {
		i.rows = map[string][]string{}
	}
	if _, there := i.rows[seen]; !there {
		i.order = append(i.order, seen)
	}
	i.rows[seen] = append(i.rows[seen], fmt.Sprintf("[%s](#%[1]s)", scenario))
}

func (i *index) String() string {
	var table strings.Builder
	table.WriteString("| " + strings.Join(i.heads, " | ") + " |\n" + strings.Repeat("|---", len(i.heads)) + "|\n")
	for _, seen := range i.order {
		fmt.Fprintf(&table, "| %s | %s |\n", seen, strings.Join(i.rows[seen], ", "))
	}
	return table.String()
}

func TestThePageOnTroubleshootingLeadsFromWhatIsSeenToEveryScenario(t *testing.T) {
	alerts, metrics := &index{heads: []string{"alert", "what it may be"}}, &index{heads: []string{"metric", "what it may be"}}
	said, checks, logged := &index{heads: []string{"exit code", "`status` says", "what it may be"}}, &index{heads: []string{"`doctor` says", "what it may be"}}, &index{heads: []string{"the log has", "what it may be"}}
	for _, s := range scenarios.All {
		fire, may := s.Names()
		for _, name := range append(fire, may...) {
			alerts.add(fmt.Sprintf("[%s](alerts/%[1]s.md)", name), s.Name)
		}
		metrics.add(code(s.Series()), s.Name)
		said.add(fmt.Sprintf("%d | %s", s.StatusExit, orNothing(code(s.Status))), s.Name)
		if s.Doctor != "" {
			checks.add(code(s.Doctor), s.Name)
		}
		if s.Says != "" {
			logged.add(code(s.Says), s.Name)
		}
	}
	pages, err := filepath.Glob("../../docs/alerts/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("there are no pages of alerts (%v)", err)
	}
	for _, page := range pages {
		link := fmt.Sprintf("[%s](alerts/%[1]s.md)", strings.TrimSuffix(filepath.Base(page), ".md"))
		if alerts.rows[link] == nil {
			alerts.order = append(alerts.order, link)
			alerts.rows[link] = []string{"see its page"}
		}
	}
	for part, table := range map[string]*index{"alerts": alerts, "metrics": metrics, "status": said, "doctor": checks, "log": logged} {
		slices.Sort(table.order)
		compare(t, troubleshooting, part, table.String())
	}
	var all strings.Builder
	for _, s := range scenarios.All {
		all.WriteString(section(s))
	}
	compare(t, troubleshooting, "scenarios", all.String())
}

func orNothing(text string) string {
	if text == "" {
		return "nothing"
	}
	return text
}

// section is all about one scenario.
func section(s scenarios.Scenario) string {
	var text strings.Builder
	fmt.Fprintf(&text, "### %s\n\n%s%s.\n\n", s.Name, strings.ToUpper(s.What[:1]), s.What[1:])
	fmt.Fprintf(&text, "- **Do:** %s.\n", s.Do)
	if s.Says != "" {
		fmt.Fprintf(&text, "- log, `STATUS=` or error: %s\n", code(s.Says))
	}
	fmt.Fprintf(&text, "- metric: %s; %s\n", code(s.Series()), alertsOf(s))
	fmt.Fprintf(&text, "- `status`: %d, %s", s.StatusExit, orNothing(code(s.Status)))
	if s.StatusExit == 2 {
		text.WriteString("; `doctor`: 2, the same")
	} else {
		check, verdict, _ := strings.Cut(s.Doctor, " ")
		fmt.Fprintf(&text, "; `doctor`: %s %s", code(check), verdict)
	}
	fmt.Fprintf(&text, "; `run --once`: %d\n- the service %s\n\n", s.OnceExit, s.Daemon)
	return text.String()
}

func alertsOf(s scenarios.Scenario) string {
	fire, may := s.Names()
	var parts []string
	if len(fire) > 0 {
		parts = append(parts, "alerts: "+strings.Join(fire, ", "))
	}
	if len(may) > 0 {
		parts = append(parts, "perhaps "+strings.Join(may, ", "))
	}
	if len(parts) == 0 {
		return "no alert: nothing is to be done on this node"
	}
	return strings.Join(parts, "; ")
}

// Nobody is sent to a page that is not there.
func TestEveryAlertOfAScenarioHasItsPage(t *testing.T) {
	for _, s := range scenarios.All {
		fire, may := s.Names()
		for _, name := range append(fire, may...) {
			if _, err := os.Stat("../../docs/alerts/" + name + ".md"); err != nil {
				t.Errorf("scenario %s: %v", s.Name, err)
			}
		}
	}
}

func TestEveryScenarioSaysWhatToDo(t *testing.T) {
	for _, s := range scenarios.All {
		if s.Do == "" || s.StatusExit != 2 && s.Doctor == "" || s.StatusExit != 0 && s.Status == "" {
			t.Errorf("%s: %+v", s.Name, s.Signs)
		}
		if strings.HasSuffix(s.Do, ".") {
			t.Errorf("%s: what to do ends with a full stop, which the page adds: %s", s.Name, s.Do)
		}
	}
}
