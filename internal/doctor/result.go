package doctor

import (
	"fmt"
	"strings"
	"time"
)

func ok(format string, args ...any) Result        { return say(OK, format, args...) }
func unknown(format string, args ...any) Result   { return say(Unknown, format, args...) }
func attention(format string, args ...any) Result { return say(Attention, format, args...) }
func waiting(format string, args ...any) Result   { return say(Waiting, format, args...) }
func broken(format string, args ...any) Result    { return say(Broken, format, args...) }

func say(v Verdict, format string, args ...any) Result {
	return Result{Verdict: v, Text: fmt.Sprintf(format, args...)}
}

// todo returns the result with what to do about it; the command may be empty.
func (r Result) with(remedy, command string) Result {
	r.Remedy, r.Command = remedy, command
	return r
}

// one is the answer of a check that has one result.
func one(r Result) []Result { return []Result{r} }

// orWell returns what was found, or that there is nothing.
func orWell(found []Result, format string, args ...any) []Result {
	if len(found) > 0 {
		return found
	}
	return one(ok(format, args...))
}

// asRoot begins a remedy that is a command.
const asRoot = "as root"

// fromError makes a result of an error of ours, which says what to do behind the last semicolon: "…; as root: chmod go-w /etc/kubernetes".
// otherwise is the remedy of one that says nothing.
func fromError(v Verdict, err error, otherwise string) Result {
	text, does := strings.Join(strings.Fields(err.Error()), " "), ""
	if i := strings.LastIndex(text, "; "); i >= 0 {
		text, does = text[:i], text[i+2:]
	}
	r := Result{Verdict: v, Text: text}
	switch words, command, found := strings.Cut(does, ": "); {
	case does == "":
		return r.with(otherwise, "")
	case found && isCommand(command):
		return r.with(words, command)
	default:
		return r.with(does, "")
	}
}

// isCommand says whether words of ours are to be typed.
func isCommand(text string) bool {
	name, _, _ := strings.Cut(text, " ")
	switch name {
	case "chmod", "chown", "kubectl", "hostnamectl", "systemctl":
		return true
	}
	return false
}

// quoted is a path as a shell takes it.
func quoted(path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:=,@%+", r)
	}
	if path != "" && strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}

// date is how a moment is written everywhere.
func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// lasts is a span of time in the units that matter to a person.
func lasts(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	case d >= time.Minute:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return d.Round(time.Second).String()
}

// The commands of several remedies.
const (
	restartAgent = "systemctl restart bootstrap-agent"
	startAgent   = "systemctl start bootstrap-agent"
	agentLog     = "journalctl -b -u bootstrap-agent"
)
