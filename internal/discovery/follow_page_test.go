package discovery

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The page shows administrators how the old CA signs the new one.
func TestTheCommandsOfThePageMakeACrossSignedCAThatIsFollowed(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/ca.md")
	if err != nil {
		t.Fatal(err)
	}
	_, commands, found := strings.Cut(string(page), "```sh\nopenssl ")
	commands, _, ended := strings.Cut("openssl "+commands, "```")
	if !found || !ended {
		t.Fatal("the page has no such commands")
	}
	dir := t.TempDir()
	run := func(script string) {
		shell := exec.CommandContext(t.Context(), "sh", "-e", "-c", script)
		shell.Dir = dir
		if output, err := shell.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, output)
		}
	}
	for _, name := range []string{"ca", "new-ca"} {
		run("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -addext keyUsage=critical,keyCertSign -keyout " + name + ".key -out " + name + ".crt -subj /CN=" + name)
	}
	run(commands)
	read := func(name string) []byte {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	inUse, root, crossed := InUse(read("ca.crt")), InUse(read("new-ca.crt")), InUse(read("new-ca-signed-by-old.crt"))
	if m := Merge(inUse, append(inUse, root...), nil, time.Now(), time.Now()); len(m.Added) > 0 {
		t.Error("the new CA is trusted without the certificate that the old one has signed")
	}
	if m := Merge(inUse, append(root, crossed...), nil, time.Now(), time.Now()); len(m.Added) != 2 {
		t.Errorf("%d certificates were added, expected the new root and the one that the old CA has signed", len(m.Added))
	}
}
