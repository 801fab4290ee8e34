package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// furnished returns a folder with two files, a link to the first, a link to nothing and a folder.
func furnished(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"old", "other"} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	must(t, os.Symlink("old", filepath.Join(dir, "link")))
	must(t, os.Symlink("nothing", filepath.Join(dir, "dangling")))
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	return dir
}

// textOf writes an operation with the random part of a temporary name left out.
func textOf(op Op) string {
	text := op.Call + " " + readable(op.Path)
	if op.From != "" {
		text += " from " + readable(op.From)
	}
	if op.Data != nil {
		text += fmt.Sprintf(" %d", len(op.Data))
	}
	return text
}

func readable(path string) string {
	name := filepath.Base(path)
	if IsTemp(name) {
		name = name[:len(name)-len("ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp")] + "*"
	}
	return filepath.Join(filepath.Dir(path), name)
}

func expectContent(t *testing.T, path, content string) {
	t.Helper()
	if data, err := os.ReadFile(path); err != nil || string(data) != content {
		t.Errorf("%s holds %q (%v), expected %q", path, data, err, content)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
