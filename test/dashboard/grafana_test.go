// Package dashboard holds the Grafana dashboards against what they are made of: Prometheus' own parser reads every query, the agent's
// registry has every series and label, and a real Prometheus with a month of a fleet's history answers. The picture in the README is
// drawn from these answers; UPDATE_DOCS=1 writes it.
package dashboard

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// board is what the tests read of a dashboard: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
type board struct {
	ID            *int
	UID           string
	Title         string
	Description   string
	SchemaVersion int
	Links         []link
	Panels        []panel
	Templating    struct{ List []variable }
	Annotations   struct{ List []annotation }
	Requires      []struct{ Type, ID string } `json:"__requires"`
	Inputs        []any                       `json:"__inputs"`
}

type link struct{ Title, URL string }

type source struct{ Type, UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               *source
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []target
	Links                    []link
	Interval                 string
	FieldConfig              struct {
		Defaults struct {
			Unit       string
			Thresholds struct{ Steps []threshold }
			Mappings   []mapping
			Custom     struct{ DrawStyle string }
		}
		Overrides []struct {
			Matcher    struct{ Options string }
			Properties []struct {
				ID    string
				Value json.RawMessage
			}
		}
	}
	Transformations []struct {
		ID      string
		Options struct{ RenameByName map[string]string }
	}
	Panels []panel // of a row that is collapsed
}

// threshold is the colour from a value on; the first one's is null, and its colour is that of all below the next.
type threshold struct {
	Color string
	Value *float64
}

// mapping is the text and colour of single values: of type value, by the value as text, or of type special, for NaN.
type mapping struct {
	Type    string
	Options json.RawMessage
}

type target struct {
	RefID, Expr, LegendFormat, Format string
	Datasource                        *source
	Instant, Range                    bool
}

type variable struct {
	Name, Label, Description, Type, AllValue string
	Datasource                               *source
	Query                                    json.RawMessage // text, or an object with the text in it
	Multi, IncludeAll                        bool
}

type annotation struct {
	BuiltIn    int
	Name, Expr string
	Datasource *source
}

const (
	fleetBoard = "bootstrap-agent"
	nodeBoard  = "bootstrap-agent-node"
	folder     = "../../deploy/grafana/"
)

func boards() []string { return []string{fleetBoard, nodeBoard} }

func load(tb testing.TB, name string) board {
	tb.Helper()
	text, err := os.ReadFile(folder + name + ".json")
	if err != nil {
		tb.Fatal(err)
	}
	var b board
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&b); err != nil {
		tb.Fatalf("%s.json: %v", name, err)
	}
	return b
}

// text is the variable's query.
func (v variable) text(tb testing.TB) string {
	tb.Helper()
	var plain string
	if json.Unmarshal(v.Query, &plain) == nil {
		return plain
	}
	var object struct{ Query string }
	if err := json.Unmarshal(v.Query, &object); err != nil {
		tb.Fatalf("variable %s: its query is neither text nor an object with one: %s", v.Name, v.Query)
	}
	return object.Query
}

// query is one that a dashboard sends to Prometheus.
type query struct {
	where string // dashboard, panel and refID
	row   string // that the panel stands below
	expr  string // with Grafana's variables
	panel panel
	target
}

// queries are those of all panels and annotations. Those of variables are in [variables].
func (b board) queries() []query {
	var all []query
	row := ""
	for _, p := range b.Panels {
		if p.Type == "row" {
			row = p.Title
		}
		for _, t := range p.Targets {
			all = append(all, query{b.UID + ": " + p.Title + " " + t.RefID, row, t.Expr, p, t})
		}
	}
	for _, a := range b.Annotations.List {
		if a.BuiltIn == 0 {
			all = append(all, query{where: b.UID + ": annotation " + a.Name, expr: a.Expr})
		}
	}
	return all
}

// chosen are the values of a dashboard's variables, as Grafana writes them into a query.
type chosen map[string]string

// everything chooses all nodes, named by a label.
func everything(nodeLabel string) chosen {
	return chosen{"cluster": ".*", "node": ".*", "node_label": nodeLabel, "__rate_interval": "12h", "__range": "7d"}
}

// one chooses a node.
func one(nodeLabel, node string) chosen {
	c := everything(nodeLabel)
	c["node"] = regexp.QuoteMeta(node)
	return c
}

var reference = regexp.MustCompile(`\$\{(\w+)(?::\w+)?\}|\$([A-Za-z_]\w*)`)

// in puts the values where the variables are; one without a value stays, which is no PromQL.
func (c chosen) in(text string) string {
	return reference.ReplaceAllStringFunc(text, func(found string) string {
		if value, ok := c[strings.Trim(found, "${}")]; ok {
			return value
		}
		return found
	})
}
