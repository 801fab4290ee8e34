package kubeconfig_test

import (
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func TestOnlyTheOwnersPermissionsAreLeft(t *testing.T) {
	t.Parallel()
	for before, after := range map[fs.FileMode]fs.FileMode{0o644: 0o600, 0o640: 0o600, 0o755: 0o600, 0o666: 0o600, 0o600: 0o600, 0o400: 0o400, 0o444: 0o400} {
		f := newFolder(t)
		f.bootstrap("a")
		must(t, os.Chmod(f.bootstrapFile(), before))
		must(t, kubeconfig.Narrow(durable.Disk{}, f.bootstrapFile()))
		info, err := os.Stat(f.bootstrapFile())
		must(t, err)
		if info.Mode() != after {
			t.Errorf("%s becomes %s, expected is %s", before, info.Mode(), after)
		}
	}
}

func TestWhatIsNotTheFileItselfIsNotNarrowed(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(f folder){
		"a link":                    func(f folder) { f.symlink("other", "bootstrap.kubeconfig") },
		"a file with a second name": func(f folder) { must(f.t, os.Link(f.in("other"), f.bootstrapFile())) },
		"a folder":                  func(f folder) { must(f.t, os.Mkdir(f.bootstrapFile(), 0o755)) },
		"a fifo":                    func(f folder) { must(f.t, syscall.Mkfifo(f.bootstrapFile(), 0o644)) },
		"nothing":                   func(folder) {},
	} {
		f := newFolder(t)
		f.write("other", "a")
		must(t, os.Chmod(f.in("other"), 0o644))
		make(f)
		before := map[string]fs.FileMode{}
		for _, path := range []string{f.in("other"), f.bootstrapFile()} {
			if info, err := os.Lstat(path); err == nil {
				before[path] = info.Mode()
			}
		}
		if err := kubeconfig.Narrow(durable.Disk{}, f.bootstrapFile()); err == nil {
			t.Errorf("%s is narrowed", name)
		}
		for path, mode := range before {
			info, err := os.Lstat(path)
			must(t, err)
			if info.Mode() != mode {
				t.Errorf("%s: the mode of %s has changed from %s to %s", name, path, mode, info.Mode())
			}
		}
	}
}
