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
		"another user's file": func(f folder) {
			f.bootstrap("a")
			must(f.t, os.Chmod(f.bootstrapFile(), 0o644))
			f.giveAway("bootstrap.kubeconfig")
		},
		"a folder": func(f folder) { must(f.t, os.Mkdir(f.bootstrapFile(), 0o755)) },
		"a fifo":   func(f folder) { must(f.t, syscall.Mkfifo(f.bootstrapFile(), 0o644)) },
		"nothing":  func(folder) {},
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

func TestEveryFileWithTheSecretIsNarrowedOrToldOf(t *testing.T) {
	t.Parallel()
	for _, l := range layouts() {
		f, elsewhere := newFolder(t), newFolder(t)
		l.make(f, elsewhere)
		for _, all := range []folder{f, elsewhere} {
			for name := range all.content() {
				if info, err := os.Lstat(all.in(name)); err == nil && info.Mode().IsRegular() {
					must(t, os.Chmod(all.in(name), 0o640))
				}
			}
		}
		before := elsewhere.identity()
		b, err := f.credential()
		must(t, err)
		told := map[string]bool{}
		for _, n := range b.Narrow(durable.Disk{}) {
			told[n.File] = true
			if info, err := os.Lstat(n.File); n.Err == nil && (err != nil || info.Mode() != 0o600) {
				t.Errorf("%s: the mode of %s is %s", l.name, n.File, info.Mode())
			}
		}
		for _, file := range []string{b.Path, b.SecretFile} {
			if info, err := os.Stat(file); file != "" && !told[file] && (err != nil || info.Mode()&0o077 != 0) {
				t.Errorf("%s: nothing is told of %s, which others can read", l.name, file)
			}
		}
		ours := b.Source == kubeconfig.TokenFile && b.SecretFile == f.in("token")
		if info, err := os.Lstat(f.in("token")); ours && err == nil && info.Mode().IsRegular() && info.Mode() != 0o600 {
			t.Errorf("%s: the token's mode is %s", l.name, info.Mode())
		}
		if info, err := os.Lstat(f.in("client.key")); err == nil && info.Mode() != 0o640 {
			t.Errorf("%s: the key, which others may need, has the mode %s", l.name, info.Mode())
		}
		elsewhere.assertUntouched(before)
	}
}
