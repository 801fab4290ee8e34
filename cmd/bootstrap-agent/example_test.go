package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

const exampleFile = "../../deploy/packages/config.yaml.example"

func TestTheExampleOfTheConfigurationShowsEverySetting(t *testing.T) {
	t.Parallel()
	generated(t, exampleFile, example())
}

func TestTheExampleOfTheConfigurationLoads(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string) error {
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := config.Load(path, nil)
		return err
	}
	if err := load(string(text)); err != nil {
		t.Errorf("as it is: %v", err)
	}
	for _, setting := range config.Settings() {
		line := "#" + setting.Field + ":"
		if strings.Count(string(text), "\n"+line) != 1 {
			t.Errorf("it has no line for %s", setting.Field)
		}
		if err := load(strings.Replace(string(text), "\n"+line, "\n"+line[1:], 1)); err != nil {
			t.Errorf("with the line of %s: %v", setting.Field, err)
		}
	}
}

func TestTheManualOfTheConfigurationNamesEverySetting(t *testing.T) {
	t.Parallel()
	text := configurationPage()
	for _, setting := range config.Settings() {
		if !strings.Contains(text, bold(setting.Field)) || !strings.Contains(text, bold("--"+setting.Flag)) {
			t.Errorf("bootstrap-agent-config(5) says nothing of %s", setting.Field)
		}
	}
}

// example is a configuration file in which every setting stands as a comment, with its default.
func example() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The agent's settings; copy this file to %s. Each is also a flag, which wins.\n", config.DefaultFile)
	b.WriteString("# What is commented out has the value that is shown, or none.\n")
	fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\n", config.APIVersion, config.Kind)
	for _, setting := range config.Settings() {
		fmt.Fprintf(&b, "\n%s#%s: %s\n", comment(setting.Usage), setting.Field, exampleValue(setting))
	}
	return b.String()
}

// exampleValue is the default in YAML: empty where there is none.
func exampleValue(s config.Setting) string {
	switch s.Field {
	case "servingDNSNames", "servingIPs", "apiServers", "discoveryCACertHashes":
		return "[]"
	}
	if s.Default == "" {
		return `""`
	}
	return s.Default
}

// comment breaks a text into lines of at most 100 characters.
func comment(text string) string {
	var b strings.Builder
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 100 {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

func configurationPage() string {
	p := newPage("bootstrap-agent-config", 5)
	p.section("NAME")
	p.line(`bootstrap\-agent\-config \- settings of %s(8)`, bold("bootstrap-agent"))
	p.section("SYNOPSIS")
	p.line("%s", italic(config.DefaultFile))
	p.section("DESCRIPTION")
	p.text("A YAML document. It need not exist: without it each setting has its default. A field that is not known, or is there twice, is an error. " +
		"A flag on the command line wins over the file. It is read at the start; after a change:\n\n" +
		"  bootstrap-agent config check\n  systemctl restart bootstrap-agent\n\n" +
		"The kubelet runs on over the restart. The document says what it is:\n\n" +
		"  apiVersion: " + config.APIVersion + "\n  kind: " + config.Kind)
	p.section("SETTINGS")
	for _, setting := range config.Settings() {
		meaning := setting.Usage + ". " + defaultOf(setting.Default)
		p.item(bold(setting.Field)+" ("+bold("--"+setting.Flag)+")", strings.TrimSpace(meaning))
	}
	p.section("SEE ALSO")
	p.line("%s(8), %s(8)", bold("bootstrap-agent"), bold("bootstrap-agent-run"))
	return p.String()
}
