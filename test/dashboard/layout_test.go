package dashboard

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// units are those of Grafana's that are in use: https://github.com/grafana/grafana packages/grafana-data/src/valueFormats/categories.ts
var units = []string{"none", "s", "percentunit", "dateTimeFromNow", "dateTimeAsIso", "bool_yes_no"}

// kinds are the panels in use, all of which Grafana 10.4 brings.
var kinds = []string{"stat", "gauge", "bargauge", "timeseries", "state-timeline", "table"}

const datasourceVariable = "${datasource}"

func TestADashboardCanBeImportedIntoAnyGrafana(t *testing.T) {
	for _, name := range boards() {
		b := load(t, name)
		if b.ID != nil || b.UID != name {
			t.Errorf("%s: id %v and uid %q; expected no id, which belongs to one Grafana, and the file's name", name, b.ID, b.UID)
		}
		if b.Title == "" || b.Description == "" || b.SchemaVersion != 39 {
			t.Errorf("%s: title %q, description %q, schemaVersion %d", name, b.Title, b.Description, b.SchemaVersion)
		}
		// Files that Grafana reads from a folder have no import dialogue to fill inputs in: the variable serves both.
		if len(b.Inputs) > 0 {
			t.Errorf("%s has __inputs, with which it cannot be provisioned", name)
		}
		required := map[string]bool{}
		for _, r := range b.Requires {
			required[r.ID] = true
		}
		for _, p := range b.Panels {
			if p.Type != "row" && !required[p.Type] {
				t.Errorf("%s: __requires says nothing of %s, which %q needs", name, p.Type, p.Title)
			}
		}
	}
}

func TestEveryPanelSaysWhatItShowsAndInWhichUnit(t *testing.T) {
	for _, name := range boards() {
		titles := map[string]int{}
		for _, p := range load(t, name).Panels {
			if p.Type == "row" {
				if p.Title == "" || len(p.Panels) > 0 {
					t.Errorf("%s: row %d has no title, or is collapsed and hides its panels from these tests", name, p.ID)
				}
				titles = map[string]int{} // the node's two certificates have panels of the same name, in rows of their own
				continue
			}
			where := name + ": " + p.Title
			titles[p.Title]++
			if p.Title == "" || titles[p.Title] > 1 {
				t.Errorf("%s is the title of %d panels of a row", where, titles[p.Title])
			}
			if len(p.Description) < 40 || !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s is described as %q: not in sentences for somebody who sees it for the first time", where, p.Description)
			}
			if !slices.Contains(units, p.FieldConfig.Defaults.Unit) {
				t.Errorf("%s has the unit %q", where, p.FieldConfig.Defaults.Unit)
			}
			if !slices.Contains(kinds, p.Type) || len(p.Targets) == 0 {
				t.Errorf("%s is a %q with %d queries", where, p.Type, len(p.Targets))
			}
			checkColumns(t, where, p)
		}
	}
}

// checkColumns sees that what is set for a column of a table is set for one that there is, in a unit that there is.
func checkColumns(t *testing.T, where string, p panel) {
	t.Helper()
	var columns []string
	for _, transformation := range p.Transformations {
		for _, renamed := range transformation.Options.RenameByName {
			columns = append(columns, renamed)
		}
	}
	for _, override := range p.FieldConfig.Overrides {
		if p.Type == "table" && !slices.Contains(columns, override.Matcher.Options) {
			t.Errorf("%s has no column %q, of which it sets something", where, override.Matcher.Options)
		}
		for _, property := range override.Properties {
			var unit string
			if property.ID == "unit" && (json.Unmarshal(property.Value, &unit) != nil || !slices.Contains(units, unit)) {
				t.Errorf("%s: column %q has the unit %s", where, override.Matcher.Options, property.Value)
			}
		}
	}
}

func TestPanelsStandBesideEachOtherAndHaveNumbersOfTheirOwn(t *testing.T) {
	for _, name := range boards() {
		taken, ids := map[[2]int]string{}, map[int]string{}
		for _, p := range load(t, name).Panels {
			if other, ok := ids[p.ID]; ok || p.ID <= 0 {
				t.Errorf("%s: %q and %q have the number %d", name, p.Title, other, p.ID)
			}
			ids[p.ID] = p.Title
			g := p.GridPos
			if g.W <= 0 || g.H <= 0 || g.X < 0 || g.X+g.W > 24 {
				t.Errorf("%s: %q stands at %+v, of 24 columns", name, p.Title, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok {
						t.Fatalf("%s: %q lies over %q", name, p.Title, other)
					}
					taken[[2]int{x, y}] = p.Title
				}
			}
		}
	}
}

func TestEverythingIsAskedOfTheChosenPrometheus(t *testing.T) {
	for _, name := range boards() {
		b := load(t, name)
		check := func(what string, s *source) {
			if s == nil || s.UID != datasourceVariable || s.Type != "prometheus" {
				t.Errorf("%s: %s asks %+v, not %s", name, what, s, datasourceVariable)
			}
		}
		for _, p := range b.Panels {
			if p.Type == "row" {
				continue
			}
			check("panel "+p.Title, p.Datasource)
			refs := map[string]bool{}
			for _, q := range p.Targets {
				check("query "+q.RefID+" of "+p.Title, q.Datasource)
				if q.Instant == q.Range || refs[q.RefID] || (p.Type == "table") != (q.Format == "table") {
					t.Errorf("%s: query %q of %q: instant %v, range %v, format %q", name, q.RefID, p.Title, q.Instant, q.Range, q.Format)
				}
				if overTime := p.Type == "timeseries" || p.Type == "state-timeline"; overTime != q.Range {
					t.Errorf("%s: %q is a %s, and its query a range: %v", name, p.Title, p.Type, q.Range)
				}
				refs[q.RefID] = true
			}
		}
		for _, a := range b.Annotations.List {
			if a.BuiltIn == 0 {
				check("annotation "+a.Name, a.Datasource)
			}
		}
		var names []string
		for _, v := range b.Templating.List {
			names = append(names, v.Name)
			if v.Type == "query" {
				check("variable "+v.Name, v.Datasource)
			}
			if v.Label == "" || v.Description == "" {
				t.Errorf("%s: variable %s has no label or no description", name, v.Name)
			}
			// with all values listed instead, series without the label would be left out
			if v.IncludeAll && v.AllValue != ".*" {
				t.Errorf("%s: All of variable %s is %q", name, v.Name, v.AllValue)
			}
		}
		if want := []string{"datasource", "cluster", "node_label", "node"}; !slices.Equal(names, want) {
			t.Errorf("%s has the variables %q, expected %q: each uses those before it", name, names, want)
		}
	}
}

const pages = "https://github.com/bootstrap-agent/bootstrap-agent/blob/main/docs/"

var boardLink = regexp.MustCompile(`^/d/([\w-]+)/`)

func TestEveryLinkLeadsToAPageOfOursOrToTheOtherDashboard(t *testing.T) {
	seen := 0
	for _, name := range boards() {
		b := load(t, name)
		links := slices.Clone(b.Links)
		for _, p := range b.Panels {
			for _, l := range p.Links {
				links = append(links, link{p.Title + ": " + l.Title, l.URL})
			}
			for _, override := range p.FieldConfig.Overrides {
				for _, property := range override.Properties {
					if property.ID == "links" {
						var of []link
						if err := json.Unmarshal(property.Value, &of); err != nil {
							t.Errorf("%s: the links of %q: %v", name, p.Title, err)
						}
						links = append(links, of...)
					}
				}
			}
		}
		for _, l := range links {
			seen++
			if err := leads(l.URL); err != nil {
				t.Errorf("%s: %s: %v", name, l.Title, err)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d links were seen", seen)
	}
}

func leads(to string) error {
	if page, ours := strings.CutPrefix(to, pages); ours {
		_, err := os.Stat(filepath.Join("../../docs", page))
		return err
	}
	parts := boardLink.FindStringSubmatch(to)
	if parts == nil || !slices.Contains(boards(), parts[1]) {
		return fmt.Errorf("%s is neither below %s nor a dashboard of ours", to, pages)
	}
	_, err := url.Parse(chosen{"__url_time_range": "from=a"}.in(to))
	return err
}
