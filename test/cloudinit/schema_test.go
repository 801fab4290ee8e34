package cloudinit

import (
	"path/filepath"
	"strings"
	"testing"
)

// judge is what a real cloud-init says of user-data, and its exit code.
func judge(t *testing.T, root, content string) (string, int) {
	t.Helper()
	d := debian{t: t, root: root, files: t.TempDir()}
	d.write("/user-data", content, 0o600)
	return d.run("cloud-init", "schema", "--config-file", "/user-data")
}

// roots are the root file systems with a cloud-init: that of the test machines, and further ones beside it, as
// "hack/node-root.sh bin/node-root-trixie trixie" makes one with cloud-init 25.
func roots(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../../bin/node-root*/usr/bin/cloud-init")
	if err != nil || len(found) == 0 {
		t.Fatalf("no root file system with cloud-init: %v; run make node-root", err)
	}
	for i := range found {
		if found[i], err = filepath.Abs(filepath.Join(found[i], "../../..")); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

func TestARealCloudInitTakesTheShippedUserData(t *testing.T) {
	for name, filled := range all(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, root := range roots(t) {
				said, code := judge(t, root, filled)
				if code != 0 || !strings.Contains(said, "Valid") || strings.Contains(strings.ToLower(said), "deprecat") {
					t.Errorf("%s: exit code %d: %s", filepath.Base(root), code, said)
				}
			}
		})
	}
}

// The same check notices what people get wrong: the page on cloud-init tells them to run it.
func TestARealCloudInitRefusesMistakesInIt(t *testing.T) {
	t.Parallel()
	filled, err := Fill("user-data.yaml", values(t, "user-data.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for mistake, change := range map[string][2]string{
		"a mode that is a number":    {`"0600"`, "0600"},
		"a key that nobody knows":    {"    content: |", "    contents: |"},
		"a line that is set too far": {"    owner:", "   owner:"},
	} {
		t.Run(mistake, func(t *testing.T) {
			t.Parallel()
			broken := strings.Replace(filled, change[0], change[1], 1)
			if broken == filled {
				t.Fatalf("%q is not there", change[0])
			}
			if said, code := judge(t, roots(t)[0], broken); code == 0 {
				t.Errorf("taken: %s", said)
			}
		})
	}
}
