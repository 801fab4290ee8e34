package alerts

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// sections are those of a runbook, in the order in which a person needs them who was woken up.
var sections = []string{"How bad, and by when", "Look", "Mend", "Usual causes", "When to silence"}

// pages are the runbooks, their index and the page beside the rules.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	paths, err := filepath.Glob("../../docs/alerts/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, "../../docs/alerts.md", deployed+"README.md") {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(content)
	}
	return all
}

func TestEachRunbookSaysHowBadItIsHowToLookAndHowToMendIt(t *testing.T) {
	all := rules(t)
	for path, page := range pages(t) {
		if filepath.Base(filepath.Dir(path)) != "alerts" {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		i := slices.IndexFunc(all, func(r rule) bool { return r.Alert == name })
		if i < 0 {
			t.Errorf("%s is the runbook of no alert", path)
			continue
		}
		if !strings.HasPrefix(page, fmt.Sprintf("# %s\n\n**%s.** ", name, all[i].Labels["severity"])) {
			t.Errorf("%s does not begin with the alert and how bad it is", path)
		}
		var got []string
		for line := range strings.Lines(page) {
			if section, ok := strings.CutPrefix(line, "## "); ok {
				got = append(got, strings.TrimSpace(section))
			}
		}
		if !slices.Equal(got, sections) {
			t.Errorf("%s has the sections %q, not %q", path, got, sections)
		}
		_, look, _ := strings.Cut(page, "## Look")
		look, _, _ = strings.Cut(look, "## ")
		if !strings.Contains(look, "```") {
			t.Errorf("%s has no command to look with", path)
		}
	}
}

func TestTheIndexHasEveryAlert(t *testing.T) {
	var table strings.Builder
	table.WriteString("| alert | severity | waits | |\n|---|---|---|---|\n")
	for _, r := range rules(t) {
		page, err := os.ReadFile("../../docs/alerts/" + r.Alert + ".md")
		if err != nil {
			t.Fatal(err)
		}
		_, says, _ := strings.Cut(string(page), ".** ")
		says, _, _ = strings.Cut(says, "\n\n")
		fmt.Fprintf(&table, "| [%s](alerts/%s.md) | %s | %s | %s |\n", r.Alert, r.Alert, r.Labels["severity"], r.For, strings.ReplaceAll(strings.ReplaceAll(says, "\n", " "), "](../alerts.md#", "](#"))
	}
	compare(t, "alerts", strings.NewReplacer("](BootstrapAgent", "](alerts/BootstrapAgent").Replace(table.String()))
}

// compare holds a part of docs/alerts.md between two markers against what the rules say.
func compare(t *testing.T, part, want string) {
	t.Helper()
	const page = "../../docs/alerts.md"
	begin, end := "<!-- "+part+": made from the rules by test/alerts; write it with: UPDATE_DOCS=1 go test ./test/alerts -->\n", "<!-- end of "+part+" -->"
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	got, after, closed := strings.Cut(rest, end)
	switch {
	case !found || !closed:
		t.Fatalf("%s has no place for %s: %s…%s", page, part, begin, end)
	case got == want:
	case os.Getenv("UPDATE_DOCS") == "":
		t.Fatalf("%s is not what the rules say about %s; write it with: UPDATE_DOCS=1 go test ./test/alerts", page, part)
	default:
		if err := os.WriteFile(page, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// command is a use of our program, in a block of commands or in a line.
var command = regexp.MustCompile(`\bbootstrap-agent ((?:config check|status|doctor|run|wait|rotate|reset|config|version|completion)\b[^\n` + "`" + `|&;#>()]*)`)

func TestTheCommandsInTheRunbooksAreOnesThatTheProgramHas(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "bootstrap-agent")
	if output, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/bootstrap-agent").CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, output)
	}
	help := map[string]string{}
	found := 0
	for path, page := range pages(t) {
		for _, match := range command.FindAllStringSubmatch(page, -1) {
			found++
			words := strings.Fields(match[1])
			name := words[:1]
			if words[0] == "config" && len(words) > 1 {
				name = words[:2]
			}
			key := strings.Join(name, " ")
			if help[key] == "" {
				output, err := exec.CommandContext(t.Context(), program, append(slices.Clone(name), "--help")...).CombinedOutput()
				if err != nil || !strings.Contains(string(output), "bootstrap-agent "+key) {
					t.Errorf("%s: there is no bootstrap-agent %s: %v\n%s", path, key, err, output)
				}
				help[key] = string(output)
			}
			for _, word := range words[len(name):] {
				flag, _, _ := strings.Cut(word, "=")
				switch {
				case strings.HasPrefix(flag, "-") && !strings.Contains(help[key], flag+" "):
					t.Errorf("%s: bootstrap-agent %s has no flag %s", path, key, flag)
				case !strings.HasPrefix(flag, "-") && key == "rotate" && flag != "client" && flag != "serving":
					t.Errorf("%s: bootstrap-agent rotate %s", path, flag)
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("only %d commands were found", found)
	}
}

// setting is a field of the configuration that a page tells people to set.
var setting = regexp.MustCompile("`([a-z]+[A-Z][A-Za-z]*)(?:: [^`]*)?`")

// theKubelets are settings of the kubelet and of Prometheus' Operator, not ours.
var theKubelets = []string{"tlsCertFile", "serverTLSBootstrap", "tokenFile", "ruleSelector"}

func TestTheSettingsInTheRunbooksAreOnesThatTheAgentHas(t *testing.T) {
	for path, page := range pages(t) {
		for _, match := range setting.FindAllStringSubmatch(page, -1) {
			if !slices.Contains(theKubelets, match[1]) && !slices.ContainsFunc(config.Settings(), func(s config.Setting) bool { return s.Field == match[1] }) {
				t.Errorf("%s: there is no setting %s", path, match[1])
			}
		}
	}
}

var (
	link   = regexp.MustCompile(`\]\(([^)#:]*)(#[^)]*)?\)`)
	query  = regexp.MustCompile(`\bbootstrap_agent_[a-z_]+`)
	firing = regexp.MustCompile(`\bBootstrapAgent[A-Z][A-Za-z]*`)
	fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

func TestTheLinksAlertsAndSeriesInTheRunbooksAreThere(t *testing.T) {
	all, series := rules(t), shown(t)
	for path, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(page, -1) {
			target := filepath.Join(filepath.Dir(path), match[1])
			if match[1] == "" {
				target = path
			}
			content, err := os.ReadFile(target)
			info, stat := os.Stat(target)
			if stat != nil || err != nil && !info.IsDir() {
				t.Errorf("%s leads to %s: %v", path, target, stat)
			}
			if match[2] != "" && !slices.Contains(anchors(string(content)), match[2]) {
				t.Errorf("%s leads to %s%s, which has no such heading", path, target, match[2])
			}
		}
		for _, name := range query.FindAllString(page, -1) {
			if series[name] == nil {
				t.Errorf("%s asks for %s, which the agent does not show", path, name)
			}
		}
		for _, name := range firing.FindAllString(page, -1) {
			if !slices.ContainsFunc(all, func(r rule) bool { return r.Alert == name }) {
				t.Errorf("%s speaks of %s, and there is no such alert", path, name)
			}
		}
		for _, match := range fenced.FindAllStringSubmatch(page, -1) {
			if err := yaml.UnmarshalStrict([]byte(match[1]), new(map[string]any)); err != nil {
				t.Errorf("%s: %v in\n%s", path, err, match[1])
			}
		}
	}
}

// asked is a block of queries for Prometheus: one in each line.
var asked = regexp.MustCompile("(?sm)^```promql\n(.*?)^```")

func TestTheQueriesInTheRunbooksAreOnesThatPrometheusUnderstands(t *testing.T) {
	t.Parallel()
	var file struct {
		Groups []map[string]any `json:"groups"`
	}
	var records []map[string]string
	for _, page := range pages(t) {
		for _, match := range asked.FindAllStringSubmatch(page, -1) {
			for line := range strings.Lines(match[1]) {
				records = append(records, map[string]string{"record": fmt.Sprintf("asked:%d", len(records)), "expr": strings.TrimSpace(line)})
			}
		}
	}
	if len(records) < 5 {
		t.Fatalf("only %d queries were found", len(records))
	}
	file.Groups = []map[string]any{{"name": "asked", "rules": records}}
	path := filepath.Join(t.TempDir(), "asked.yaml")
	write(t, path, file)
	if err := prometheus.CheckRules(t.Context(), path); err != nil {
		t.Error(err)
	}
}

var unlinked = regexp.MustCompile(`[^a-z0-9 -]`)

// anchors are what the headings of a page can be linked by.
func anchors(page string) []string {
	var all []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "#") {
			heading := strings.ToLower(strings.TrimSpace(strings.TrimLeft(line, "#")))
			all = append(all, "#"+strings.ReplaceAll(unlinked.ReplaceAllString(heading, ""), " ", "-"))
		}
	}
	return all
}
