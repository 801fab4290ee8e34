package packages

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func TestTheSameSourceGivesTheSameBytesInAnotherFolderOfAnotherPerson(t *testing.T) {
	t.Parallel()
	first := packages(t)
	tree := t.TempDir()
	for _, part := range []string{"cmd", "internal", "deploy", "hack", "third_party", "LICENSE", "CHANGELOG.md", "go.mod", "go.sum"} {
		output, err := exec.Command("cp", "--recursive", "--no-preserve=timestamps,mode", "../../"+part, tree).CombinedOutput()
		if err != nil {
			t.Fatalf("copy the tree: %v: %s", err, output)
		}
	}
	must(t, os.Chmod(filepath.Join(tree, "hack/packages.sh"), 0o755))
	tools, err := filepath.Abs("../../bin/tools")
	must(t, err)
	must(t, os.Mkdir(filepath.Join(tree, "bin"), 0o755))
	must(t, os.Symlink(tools, filepath.Join(tree, "bin/tools")))

	second := t.TempDir()
	must(t, build(tree, second, "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8", "LANG=C.UTF-8", "GOAMD64=v2", "GOFLAGS=-buildvcs=true"))
	names := namesIn(t, first)
	if want := 3*len(arches()) + 1; len(names) != want || !slices.Equal(names, namesIn(t, second)) {
		t.Fatalf("%d files expected: %q and %q", want, names, namesIn(t, second))
	}
	for _, name := range names {
		a, err := os.ReadFile(filepath.Join(first, name))
		must(t, err)
		b, err := os.ReadFile(filepath.Join(second, name))
		must(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s is not the same", name)
		}
	}
}

func TestTheChecksumsAreThoseOfAllThatIsThere(t *testing.T) {
	t.Parallel()
	command := exec.Command("sha256sum", "--check", "--strict", "SHA256SUMS")
	command.Dir = packages(t)
	output, err := command.CombinedOutput()
	if want := 3 * len(arches()); err != nil || len(lines(string(output))) != want {
		t.Errorf("%v, %d lines expected:\n%s", err, want, output)
	}
}

func namesIn(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	must(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
