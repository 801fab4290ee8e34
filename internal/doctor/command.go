package doctor

import (
	"os"
	"strings"
)

// commandOf returns the command that a unit starts, with the variables that it has from Environment= and EnvironmentFile= in their places
// (systemd.exec(5), systemd.service(5)); nil: it starts none.
func (p *Patient) commandOf(s service) []string {
	words := split(s.last("Service.ExecStart"))
	if len(words) == 0 {
		return nil
	}
	words[0] = strings.TrimLeft(words[0], "@-:+!")
	env := p.environmentOf(s)
	var argv []string
	for i, word := range words {
		name, alone := strings.CutPrefix(word, "$")
		switch {
		case i > 0 && alone && isVariable(name): // by itself: as many words as it has
			argv = append(argv, split(env[name])...)
		case i > 0:
			argv = append(argv, os.Expand(word, func(name string) string { return env[name] }))
		default:
			argv = append(argv, word)
		}
	}
	return argv
}

func isVariable(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

// environmentOf is what a unit gives its command. Files win over what the unit says itself, and later ones over earlier ones.
func (p *Patient) environmentOf(s service) map[string]string {
	env := map[string]string{}
	set := func(assignment string) {
		if name, value, is := strings.Cut(assignment, "="); is {
			env[strings.TrimSpace(name)] = value
		}
	}
	for _, assignment := range s.words("Service.Environment") {
		set(assignment)
	}
	for _, path := range s.words("Service.EnvironmentFile") {
		text, err := readSome(p.path(strings.TrimPrefix(path, "-")), maxUnit)
		if err != nil {
			continue
		}
		for _, line := range joined(string(text)) {
			name, value, _ := strings.Cut(line, "=")
			set(name + "=" + unquoted(strings.TrimSpace(value)))
		}
	}
	return env
}

// unquoted takes away the quotes around a whole value.
func unquoted(value string) string {
	for _, quote := range []string{`"`, `'`} {
		if len(value) > 1 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
			return value[1 : len(value)-1]
		}
	}
	return value
}
