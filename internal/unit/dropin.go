package unit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// Text returns the drop-in, with what to do with it as comments. Without needs it has nothing but a comment.
func (n Needs) Text() string {
	var text strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&text, "# "+format+"\n", args...) }
	lines := n.lines()
	switch {
	case len(lines) > 0:
		say("As root: put this into %s, then: %s", DropIn, restart)
	case len(n.Hidden) == 0 && n.Exec == "":
		say("Nothing is needed: the unit lets the agent use every path of this configuration.")
	}
	for _, path := range n.Hidden {
		say("%s has to lie elsewhere: the unit does not see the machine's %s (ProtectHome=, PrivateTmp=)", path, strings.Join(hidden, ", "))
	}
	if n.Exec != "" {
		say("The exec credential plugin %s cannot be run before, as root: cp %s /etc/systemd/system/%s.d/", n.Exec, ExecDropIn, Name)
		say("  (make that folder if it is not there), then: %s", restart)
	}
	for _, line := range lines {
		fmt.Fprintln(&text, line)
	}
	return text.String()
}

const restart = "systemctl daemon-reload && systemctl restart " + Name

// lines are the drop-in.
func (n Needs) lines() []string {
	var lines []string
	if mounts := slices.Concat(n.Write, n.Read); len(mounts) > 0 {
		lines = append(lines, "[Unit]", "RequiresMountsFor="+quoted(mounts))
	}
	if len(n.Write) == 0 {
		return lines
	}
	var own, open, optional []string
	for _, folder := range n.Write {
		optional = append(optional, "-"+folder)
		if folder == n.open {
			open = append(open, folder)
		} else {
			own = append(own, folder)
		}
	}
	lines = append(lines, "[Service]")
	// "+": without the sandbox. "-": or mkdir itself is not run (226/NAMESPACE) where the folder is missing.
	for i, folders := range [][]string{own, open} {
		if len(folders) > 0 {
			command := []string{"mkdir -p ", "mkdir -p -m 755 "}[i] // the unit's UMask= lets nobody else in
			lines = append(lines, "ExecStartPre=+"+command+strings.ReplaceAll(quoted(folders), "$", "$$"))
		}
	}
	return append(lines, "ReadWritePaths="+quoted(optional), "NoExecPaths="+quoted(optional)) // "/" of the unit's does not reach what is mounted to be written
}

// quoted writes paths for a unit file: systemd.syntax(7), and % is for its specifiers.
func quoted(paths []string) string {
	var all []string
	for _, path := range paths {
		path = strings.ReplaceAll(path, "%", "%%")
		if strings.ContainsAny(path, " \t\"'\\;") {
			path = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
		}
		all = append(all, path)
	}
	return strings.Join(all, " ")
}

// Remedy returns, for [durable.Disk], what a person can do when the file system at a path turns out to be read-only; nothing, if the
// unit is not what makes it so.
func Remedy(cfg config.Config) func(path string) string {
	return func(path string) string {
		if !Outside(path) {
			return ""
		}
		lines := NeedsOf(cfg).lines()
		if len(lines) == 0 {
			return ""
		}
		return fmt.Sprintf("the agent's unit lets it write only below %s: as root put these %d lines into %s (systemctl edit %s): %s; then: %s "+
			"(bootstrap-agent config check --systemd prints that file; if the unit has it already: remount the file system read-write)",
			strings.Join(writable[:2], " and "), len(lines), DropIn, Name, "'"+strings.Join(lines, "' '")+"'", restart)
	}
}
