package status

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

const pageOnStatus = "../../docs/status.md"

// The names are a promise to scripts: a field that is renamed, or added without a word about it, is seen here.
func TestThePageExplainsEveryFieldOfTheJSONFormAndNoOther(t *testing.T) {
	content, err := os.ReadFile(pageOnStatus)
	must(t, err)
	_, table, found := strings.Cut(string(content), "<!-- fields of status -->\n")
	table, _, ended := strings.Cut(table, "<!-- end of fields -->")
	if !found || !ended {
		t.Fatalf("%s has no table of fields", pageOnStatus)
	}
	var explained []string
	for line := range strings.Lines(table) {
		if cells := strings.Split(line, "|"); strings.HasPrefix(line, "| `") && len(cells) == 6 {
			if strings.TrimSpace(cells[3]) == "" || strings.TrimSpace(cells[4]) == "" {
				t.Errorf("no meaning, or no word on when it is absent: %s", line)
			}
			explained = append(explained, strings.TrimSpace(cells[1])+" "+strings.TrimSpace(cells[2]))
		}
	}
	var fields []string
	for name, kind := range fieldsOf(reflect.TypeFor[Report](), "") {
		fields = append(fields, fmt.Sprintf("`%s` %s", name, kind))
	}
	slices.Sort(fields)
	slices.Sort(explained)
	for _, field := range fields {
		if !slices.Contains(explained, field) {
			t.Errorf("%s has no row for %s", pageOnStatus, field)
		}
	}
	for _, row := range explained {
		if !slices.Contains(fields, row) {
			t.Errorf("%s explains %s, which there is not", pageOnStatus, row)
		}
	}
}

func TestThePageShowsWhatAPersonSees(t *testing.T) {
	content, err := os.ReadFile(pageOnStatus)
	must(t, err)
	picture, err := os.ReadFile("testdata/placeholder.txt")
	must(t, err)
	if !strings.Contains(string(content), "```\n"+string(picture)+"```\n") {
		t.Errorf("%s does not show testdata/placeholder.txt", pageOnStatus)
	}
}

// fieldsOf are the paths of all fields of a type in its JSON form, each with its type there.
func fieldsOf(of reflect.Type, before string) map[string]string {
	fields := map[string]string{}
	for field := range of.Fields() {
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		name, kind := before+tag, field.Type
		if tag == "" {
			fields[name+field.Name] = "a field without a name in JSON"
			continue
		}
		list := kind.Kind() == reflect.Slice
		for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
			kind = kind.Elem()
		}
		if list {
			name += "[]"
		}
		fields[name] = typeName(kind)
		if kind.Kind() == reflect.Struct && kind != reflect.TypeFor[time.Time]() {
			maps.Copy(fields, fieldsOf(kind, name+"."))
		}
	}
	return fields
}

func typeName(of reflect.Type) string {
	switch {
	case of == reflect.TypeFor[time.Time]():
		return "time"
	case of == reflect.TypeFor[Level](), of.Kind() == reflect.String:
		return "string"
	case of.Kind() == reflect.Bool:
		return "boolean"
	case of.Kind() == reflect.Int, of.Kind() == reflect.Int64:
		return "integer"
	}
	return "object"
}

func TestTheJSONFormSaysWhatItIsAndHasEveryListEvenIfItIsEmpty(t *testing.T) {
	var text strings.Builder
	must(t, healthy().Report(settings).WriteJSON(&text))
	var document map[string]any
	must(t, json.Unmarshal([]byte(text.String()), &document))
	for field, want := range map[string]any{
		"apiVersion": "bootstrap-agent.io/v1alpha1", "kind": "Status", "time": "2026-03-01T12:00:00Z", "level": "well",
		"bootstrapSecrets": []any{}, "findings": []any{}, "agent": map[string]any{"running": true, "pid": 4711.0},
	} {
		if !reflect.DeepEqual(document[field], want) {
			t.Errorf("%s is %v, expected %v", field, document[field], want)
		}
	}
	client := document["certificates"].([]any)[0].(map[string]any)
	if client["lifetimeSeconds"] != 365.0*24*3600 || client["remainingSeconds"] != 364.0*24*3600 || client["received"] != "2026-02-28T12:00:00Z" {
		t.Errorf("the client certificate is %v", client)
	}
}
