// Package packages holds the deb and the rpm to what they promise: the same bytes each time, these files with these modes, and scripts
// that do to a node what docs/packages.md says, run by the real dpkg and rpm in the root file system of a Debian.
//
// What an installation does to a machine that runs is shown in test/e2e/boot.
package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

const version = "1.2.3~rc.1+4.g0123abc"

// arches are what is built here: another architecture than this machine's takes minutes of compiling, so it is for SOAK.
func arches() []string {
	if os.Getenv("SOAK") != "" {
		return []string{"amd64", "arm64"}
	}
	return []string{runtime.GOARCH}
}

// built is the folder of the packages that most tests look at; TestMain removes it.
var built struct {
	once   sync.Once
	folder string
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.folder != "" {
		_ = os.RemoveAll(built.folder)
	}
	os.Exit(code)
}

// packages returns the folder with the packages of this tree.
func packages(t *testing.T) string {
	t.Helper()
	built.once.Do(func() { built.folder, built.err = buildOnce() })
	must(t, built.err)
	return built.folder
}

func buildOnce() (string, error) {
	folder, err := os.MkdirTemp("", "bootstrap-agent-packages-")
	if err != nil {
		return "", err
	}
	return folder, build("../..", folder)
}

// build makes the packages of a tree. The moment is fixed, so that a commit between two builds makes no difference.
func build(tree, folder string, environment ...string) error {
	fmt.Println("making packages: seconds, once what the agent is linked from is compiled")
	script, err := filepath.Abs(filepath.Join(tree, "hack/packages.sh"))
	if err != nil {
		return err
	}
	command := exec.Command(script, append([]string{"-v", version, "-o", folder}, arches()...)...)
	command.Env = append(append(os.Environ(), "SOURCE_DATE_EPOCH=1700000000"), environment...)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, output)
	}
	return nil
}

// deb and rpm are the paths of the packages of an architecture, in Go's words.
func deb(t *testing.T, arch string) string {
	t.Helper()
	return filepath.Join(packages(t), "bootstrap-agent_"+version+"_"+arch+".deb")
}

func rpm(t *testing.T, arch string) string {
	t.Helper()
	return filepath.Join(packages(t), "bootstrap-agent-"+version+"-1."+map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]+".rpm")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// lines are the lines of a text that are not empty.
func lines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}
