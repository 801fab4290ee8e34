package packages

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// Each state of a repository is newer than the one before it, for dpkg and for rpm.
func TestEachVersionIsNewerThanTheOneBeforeIt(t *testing.T) {
	t.Parallel()
	repository := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		command := exec.Command("git", append([]string{"-c", "user.name=somebody", "-c", "user.email=somebody@example.com", "-c", "init.defaultBranch=main"}, args...)...)
		command.Dir = repository
		if output, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v: %s", args, err, output)
		}
	}
	script, err := os.ReadFile("../../hack/packages.sh")
	must(t, err)
	must(t, os.Mkdir(filepath.Join(repository, "hack"), 0o755))
	must(t, os.WriteFile(filepath.Join(repository, "hack/packages.sh"), script, 0o755))
	git("init", "--quiet")
	commit := func() { t.Helper(); git("commit", "--quiet", "--allow-empty", "--message=more") }

	i := newImage(t)
	before := "0.0.0~0"
	for _, step := range []struct {
		what string
		do   func()
		want string
	}{
		{"a first commit", commit, `0\.0\.0~1\.g[0-9a-f]{7,}`},
		{"another one", commit, `0\.0\.0~2\.g[0-9a-f]{7,}`},
		{"a tag that is no version", func() { commit(); git("tag", "nightly") }, `0\.0\.0~3\.g[0-9a-f]{7,}`},
		{"a release candidate", func() { git("tag", "v0.1.0-rc.1") }, `0\.1\.0~rc\.1`},
		{"a commit after it", commit, `0\.1\.0~rc\.1\+1\.g[0-9a-f]{7,}`},
		{"a release", func() { git("tag", "v0.1.0") }, `0\.1\.0`},
		{"a commit after it", commit, `0\.1\.0\+1\.g[0-9a-f]{7,}`},
		{"what is not committed", func() { git("add", "hack") }, `0\.1\.0\+1\.g[0-9a-f]{7,}\.dirty`},
		{"the next release", func() { commit(); git("tag", "v0.1.1") }, `0\.1\.1`},
	} {
		step.do()
		output, err := exec.Command(filepath.Join(repository, "hack/packages.sh"), "-n").Output()
		must(t, err)
		got := lines(string(output))[0]
		if !regexp.MustCompile("^" + step.want + "$").MatchString(got) {
			t.Errorf("%s: %s", step.what, got)
		}
		if said, code := i.run("dpkg", "--compare-versions", got, "gt", before); code != 0 {
			t.Errorf("%s: dpkg takes %s for no newer than %s: %s", step.what, got, before, said)
		}
		if said, _ := i.run("rpm", "--eval", "%{lua:print(rpm.vercmp('"+got+"', '"+before+"'))}"); said != "1\n" {
			t.Errorf("%s: rpm takes %s for no newer than %s: %s", step.what, got, before, said)
		}
		before = got
	}
}
