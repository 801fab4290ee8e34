package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unitFolders are where systemd looks for units, the first one wins (systemd.unit(5)).
func unitFolders() []string {
	return []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}
}

// service is a unit as its files say, with its drop-ins. What systemd has loaded is older until daemon-reload.
type service struct {
	name string
	// file is where it was found; empty: nowhere.
	file   string
	masked bool
	// settings are the values of each setting, in order, by "Section.Setting".
	settings map[string][]string
}

// readService reads a unit below the root.
func (p *Patient) readService(name string) service {
	s := service{name: name, settings: map[string][]string{}}
	for _, folder := range unitFolders() {
		path := p.path(filepath.Join(folder, name))
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		s.file, s.masked = path, isMask(path)
		s.read(p.inside(path))
		break
	}
	for _, path := range p.dropIns(name) {
		s.read(p.inside(path))
	}
	return s
}

// isMask says whether a unit's file is a link to /dev/null, or empty.
func isMask(path string) bool {
	if target, err := os.Readlink(path); err == nil && target == "/dev/null" {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == 0
}

// inside follows a link of the machine's whose target begins at the machine's root, once.
func (p *Patient) inside(path string) string {
	if target, err := os.Readlink(path); err == nil && filepath.IsAbs(target) && p.Root != "" {
		return p.path(target)
	}
	return path
}

// dropIns are the *.conf files that change a unit, in their order: by name, whichever folder they lie in; of two of one name the first
// folder's counts.
func (p *Patient) dropIns(name string) []string {
	found := map[string]string{}
	for _, folder := range unitFolders() {
		for _, of := range []string{name, "service"} {
			entries, _ := os.ReadDir(p.path(filepath.Join(folder, of+".d")))
			for _, entry := range entries {
				if _, taken := found[entry.Name()]; !taken && strings.HasSuffix(entry.Name(), ".conf") {
					found[entry.Name()] = filepath.Join(p.path(filepath.Join(folder, of+".d")), entry.Name())
				}
			}
		}
	}
	var names, paths []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		paths = append(paths, found[name])
	}
	return paths
}

// read adds what a file says. An empty value takes back what was said before (systemd.syntax(7)).
func (s *service) read(path string) {
	text, err := readSome(path, maxUnit)
	if err != nil {
		return
	}
	section := ""
	for _, line := range joined(string(text)) {
		if name, is := strings.CutPrefix(line, "["); is {
			section = strings.TrimSuffix(name, "]")
			continue
		}
		key, value, is := strings.Cut(line, "=")
		if !is {
			continue
		}
		name := section + "." + strings.TrimSpace(key)
		if value = strings.TrimSpace(value); value == "" {
			delete(s.settings, name)
		} else {
			s.settings[name] = append(s.settings[name], value)
		}
	}
}

// maxUnit is far above any unit.
const maxUnit = 1 << 20

// joined are the lines of a unit file without comments; one that ends in a backslash goes on in the next.
func joined(text string) []string {
	var lines []string
	open := false
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" && !open || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		part, more := strings.CutSuffix(line, `\`)
		if open {
			lines[len(lines)-1] += " " + part
		} else {
			lines = append(lines, part)
		}
		open = more
	}
	return lines
}

// last is the value that counts of a setting that has one.
func (s service) last(name string) string {
	values := s.settings[name]
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// words are those of all values of a setting.
func (s service) words(name string) []string {
	var all []string
	for _, value := range s.settings[name] {
		all = append(all, split(value)...)
	}
	return all
}

// split takes a value apart at blanks, but not within quotes.
func split(value string) []string {
	var words []string
	var word strings.Builder
	quote, begun := rune(0), false
	escaped := false
	for _, r := range value {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\':
			escaped, begun = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, begun = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	return words
}

// enabled says whether something starts the unit: another one that is enabled wants or requires it.
func (p *Patient) enabled(name string) bool {
	for _, folder := range unitFolders() {
		for _, by := range []string{"wants", "requires", "upholds"} {
			links, _ := filepath.Glob(p.path(filepath.Join(folder, "*."+by, name)))
			if len(links) > 0 {
				return true
			}
		}
	}
	return false
}
