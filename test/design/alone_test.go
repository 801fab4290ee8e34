package design_test

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The project speaks of itself alone: no file says where it was written, or whence its modules were fetched.
func TestFilesSpeakOfNoMachine(t *testing.T) {
	here, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	goEnv, err := exec.Command("go", "env", "GOPROXY", "GOSUMDB").Output()
	if err != nil {
		t.Fatal(err)
	}
	forbidden := telltales(here, string(goEnv))
	for _, name := range committed(t) {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Error(err)
		}
		for _, found := range tells(text, forbidden) {
			t.Errorf("%s speaks of %s", name, found)
		}
	}
}

// telltales are the folder above the repository's own, or that one where every machine has the folder above, and the hosts that
// modules come from.
func telltales(here, goEnv string) []string {
	everywhere := []string{"/", "/tmp", "/root", "/home", "/opt", "/srv", "/src", "/usr/src", "/go/src", "/var/tmp", "/var/lib"}
	found := []string{filepath.Dir(here)}
	if slices.Contains(everywhere, found[0]) {
		found = []string{here}
	}
	for _, word := range strings.FieldsFunc(goEnv, func(r rune) bool { return strings.ContainsRune(",|+ \n", r) }) {
		if u, err := url.Parse(word); err == nil && u.Hostname() != "" {
			found = append(found, u.Hostname())
		} else if strings.Contains(word, ".") {
			found = append(found, word)
		}
	}
	return found
}

// tells returns the lines of text in which one of forbidden stands as a path or host of its own.
func tells(text []byte, forbidden []string) []string {
	var found []string
	if bytes.IndexByte(text, 0) >= 0 {
		return nil // not text
	}
	for _, word := range forbidden {
		if !bytes.Contains(text, []byte(word)) {
			continue
		}
		whole := regexp.MustCompile(`(?m)^.*?(?:^|[^\w.~$}-])` + regexp.QuoteMeta(word) + `(?:$|[^\w.-]).*$`)
		for _, line := range whole.FindAll(text, -1) {
			found = append(found, word+": "+strings.TrimSpace(string(line)))
		}
	}
	return found
}

// committed returns every file of the repository that git does not ignore.
func committed(t *testing.T) []string {
	t.Helper()
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Skipf("git lists no files here: %v", err)
	}
	var names []string
	listed := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	// walked too, so that Go's test cache knows of every folder that was looked at
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "bin") {
			return fs.SkipDir
		}
		name, _ := filepath.Rel(root, path)
		if err == nil && d.Type().IsRegular() && slices.Contains(listed, filepath.ToSlash(name)) {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestTellsWhereAFileWasWritten(t *testing.T) {
	forbidden := telltales("/build/farm/repo", "https://modules.corp.example/go,direct\nsums.corp.example+abc+def\n")
	for text, want := range map[string]int{
		"see /build/farm/notes.md":                1,
		"cd /build/farm":                          1,
		"a\nCOPY /build/farm/repo/x .\nb\n":       1,
		"GOPROXY=https://modules.corp.example/go": 1,
		"sums.corp.example":                       1,
		"/build/farmer, $x/build/farm/a":          0,
		"/build and /tmp":                         0,
		"/build/farm/\x00":                        0,
	} {
		if found := tells([]byte(text), forbidden); len(found) != want {
			t.Errorf("%q: found %q, want %d", text, found, want)
		}
	}
	if got := telltales("/src/repo", "off\n\n"); !slices.Equal(got, []string{"/src/repo"}) {
		t.Errorf("a checkout in /src, with the proxy off: %q", got)
	}
}
