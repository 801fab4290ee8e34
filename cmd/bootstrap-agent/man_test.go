package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

const manFolder = "../../deploy/man"

func TestTheManualPagesAreWhatTheCommandsSay(t *testing.T) {
	t.Parallel()
	want := map[string]string{"bootstrap-agent-config.5": configurationPage()}
	for _, cmd := range documented(root()) {
		want[pageName(cmd)+".8"] = commandPage(cmd)
	}
	for name, text := range want {
		generated(t, filepath.Join(manFolder, name), text)
	}
	there, err := filepath.Glob(filepath.Join(manFolder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if _, ok := want[filepath.Base(path)]; !ok {
			t.Errorf("%s is the page of no command: remove it", path)
		}
	}
}

// A request that roff does not know is dropped together with its line.
func TestTheManualPagesUseOnlyRequestsOfTheManMacros(t *testing.T) {
	t.Parallel()
	request := regexp.MustCompile(`^(\.\\"|\.(TH|SH|SS|TP|PP|EX|EE|RS|RE)\b)`)
	for _, cmd := range documented(root()) {
		for line := range strings.SplitSeq(commandPage(cmd)+configurationPage(), "\n") {
			if (strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'")) && !request.MatchString(line) {
				t.Errorf("%s(8) has a line that roff takes for a request: %s", pageName(cmd), line)
			}
		}
	}
}

// generated holds a file against what the code says; UPDATE_DOCS=1 writes it.
func generated(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	switch {
	case err == nil && string(got) == want:
	case os.Getenv("UPDATE_DOCS") == "":
		t.Errorf("%s is not what the code says; write it with: UPDATE_DOCS=1 go test -run 'Manual|Example' ./cmd/bootstrap-agent", path)
	default:
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// documented are the commands that have a page: all but help, and the shells of completion.
func documented(cmd *cobra.Command) []*cobra.Command {
	if !cmd.HasParent() {
		cmd.InitDefaultCompletionCmd()
	}
	found := []*cobra.Command{cmd}
	if cmd.Name() == "completion" {
		return found
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			found = append(found, documented(sub)...)
		}
	}
	return found
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

func commandPage(cmd *cobra.Command) string {
	p := newPage(pageName(cmd), 8)
	p.section("NAME")
	p.line(`%s \- %s`, escape(pageName(cmd)), escape(lowerFirst(cmd.Short)))
	p.section("SYNOPSIS")
	p.line("%s%s", bold(cmd.CommandPath()), escape(strings.TrimPrefix(cmd.UseLine(), cmd.CommandPath())))
	p.section("DESCRIPTION")
	p.text(either(cmd.Long, cmd.Short+"."))
	if subs := subcommands(cmd); len(subs) > 0 {
		p.section("COMMANDS")
		for _, sub := range subs {
			p.item(bold(sub.Name()), sub.Short+".")
		}
	}
	options(p, cmd)
	if cmd.Name() == "run" || !cmd.HasParent() {
		files(p)
	}
	seeAlso(p, cmd)
	return p.String()
}

func subcommands(cmd *cobra.Command) []*cobra.Command {
	var subs []*cobra.Command
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			subs = append(subs, sub)
		}
	}
	return subs
}

func options(p *page, cmd *cobra.Command) {
	p.section("OPTIONS")
	cmd.InitDefaultHelpFlag()
	cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Hidden {
			return
		}
		term := bold("--" + flag.Name)
		if flag.Shorthand != "" {
			term = bold("-"+flag.Shorthand) + ", " + term
		}
		kind, usage := pflag.UnquoteUsage(flag)
		switch {
		case kind != "":
			term += "=" + italic(kind)
		case flag.DefValue == "true":
			term += "=" + italic("true|false")
		}
		p.item(term, strings.TrimSpace(usage+". "+defaultOf(flag.DefValue)))
	})
}

func defaultOf(value string) string {
	switch value {
	case "", "false", "0", "0s", "[]":
		return ""
	}
	return "Default: " + value + "."
}

// lowerFirst is for the NAME section, whose text goes on after a dash.
func lowerFirst(text string) string { return strings.ToLower(text[:1]) + text[1:] }

func either(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func files(p *page) {
	c := config.Default()
	p.section("FILES")
	for _, file := range [][2]string{
		{config.DefaultFile, "Settings, each of them optional: bootstrap-agent-config(5). An example is /usr/share/bootstrap-agent/config.yaml.example."},
		{c.BootstrapKubeconfig, "Input: server, CA and credential. Deleted once the node has its identity."},
		{c.Kubeconfig, "The kubelet's kubeconfig; holds paths only."},
		{c.CertDir, "Certificates and keys, in the layout of the kubelet."},
		{"/run/bootstrap-agent", "The mark that the kubelet was allowed to start in this boot."},
		{"/usr/share/bootstrap-agent", "Drop-ins for the unit, for kubelets that kubeadm set up, and for KubeletConfiguration."},
	} {
		p.item(italic(file[0]), file[1])
	}
}

func seeAlso(p *page, cmd *cobra.Command) {
	pages := map[string]int{"kubelet": 8, "systemd.service": 5}
	if cmd.HasParent() {
		pages = map[string]int{pageName(cmd.Parent()): 8, "bootstrap-agent": 8}
	}
	for _, sub := range subcommands(cmd) {
		if cmd.Name() != "completion" {
			pages[pageName(sub)] = 8
		}
	}
	var refs []string
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		refs = append(refs, fmt.Sprintf("%s(%d)", bold(name), pages[name]))
	}
	refs = append(refs, bold("bootstrap-agent-config")+"(5)")
	p.section("SEE ALSO")
	p.line("%s", strings.Join(refs, ", "))
}
