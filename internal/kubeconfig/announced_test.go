package kubeconfig_test

import (
	"errors"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// everyChange is every way in which this package changes files: each furnishes the folder and returns what is to be done in it.
var everyChange = map[string]func(folder) func(durable.Disk) error{
	"a token's file is deleted": func(f folder) func(durable.Disk) error {
		f.bootstrap(withToken(token))
		return disposing(f)
	},
	"a tokenFile is deleted": func(f folder) func(durable.Disk) error {
		f.write("token", token)
		f.bootstrap(kubeconfigOf(goodCluster(), "tokenFile: token"))
		return disposing(f)
	},
	"a link and what it leads to are deleted": func(f folder) func(durable.Disk) error {
		f.write("real", withToken(token))
		f.symlink("real", "bootstrap.kubeconfig")
		return disposing(f)
	},
	"an older one lies aside": func(f folder) func(durable.Disk) error {
		f.bootstrap(withToken(token))
		f.write(".bootstrap.kubeconfig.used", withToken(otherToken))
		return disposing(f)
	},
	"a newer one was put there": func(f folder) func(durable.Disk) error {
		f.bootstrap(withToken(token))
		dispose := disposing(f)
		f.bootstrap(withToken(otherToken))
		return dispose
	},
	"what lies aside is put back": func(f folder) func(durable.Disk) error {
		f.write(".bootstrap.kubeconfig.used", withToken(token))
		return puttingBack(f)
	},
	"what lies aside goes for a newer one": func(f folder) func(durable.Disk) error {
		f.write(".bootstrap.kubeconfig.used", withToken(token))
		f.bootstrap(withToken(otherToken))
		return puttingBack(f)
	},
	"the kubelet's kubeconfig is written": writing,
	"the kubelet's kubeconfig is replaced": func(f folder) func(durable.Disk) error {
		f.write("kubelet.kubeconfig", "old")
		return writing(f)
	},
	"what a crash left of one is removed": func(f folder) func(durable.Disk) error {
		f.write(".kubelet.kubeconfig.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp", "")
		return writing(f)
	},
	"permissions are taken": func(f folder) func(durable.Disk) error {
		f.bootstrap(withToken(token))
		must(f.t, os.Chmod(f.bootstrapFile(), 0o644))
		return func(disk durable.Disk) error { return kubeconfig.Narrow(disk, f.bootstrapFile()) }
	},
}

func disposing(f folder) func(durable.Disk) error {
	b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
	must(f.t, err)
	return func(disk durable.Disk) error {
		_, err := b.Dispose(disk, "")
		return err
	}
}

func puttingBack(f folder) func(durable.Disk) error {
	return func(disk durable.Disk) error { return kubeconfig.PutBack(disk, f.bootstrapFile()) }
}

func writing(f folder) func(durable.Disk) error {
	return func(disk durable.Disk) error {
		_, err := kubeconfig.WriteKubelet(disk, f.in("kubelet.kubeconfig"), kubelet())
		return err
	}
}

// The operations are what is replayed after a power cut and what a crash is tried at. A change that nobody was told of would
// escape all of that.
func TestBetweenTwoAnnouncedOperationsOnlyWhatWasAnnouncedChanges(t *testing.T) {
	t.Parallel()
	operations := 0
	for name, furnish := range everyChange {
		f := newFolder(t)
		change := furnish(f)
		before, last := f.content(), durable.Op{}
		look := func(next durable.Op) {
			now := f.content()
			for path := range now {
				if _, was := before[path]; !was {
					before[path] = ""
				}
			}
			for path := range before {
				full := f.path + path
				moved := strings.HasPrefix(last.Call, "rename") && full == last.From && now[strings.TrimPrefix(last.Path, f.path)] == before[path]
				if now[path] != before[path] && full != last.Path && !moved {
					t.Errorf("%s: %s has changed behind %s %s", name, path, last.Call, last.Path)
				}
			}
			before, last = now, next
			operations++
		}
		must(t, change(durable.Disk{Before: func(next durable.Op) error { look(next); return nil }}))
		if last.Call == "" {
			t.Errorf("%s: nothing was announced", name)
		}
		look(durable.Op{})
	}
	t.Logf("%d changes, %d operations", len(everyChange), operations)
}

// What lies aside may be the only credential there is: it goes for a newer one, and for nothing else that may go wrong.
func TestACredentialThatCannotBePutBackStaysAside(t *testing.T) {
	t.Parallel()
	for _, trouble := range []error{syscall.EIO, syscall.EINVAL, syscall.EROFS, syscall.EACCES} {
		f := newFolder(t)
		f.write(".bootstrap.kubeconfig.used", withToken(token))
		before := f.content()
		err := kubeconfig.PutBack(durable.Disk{Before: func(op durable.Op) error {
			if op.Call == "rename-noreplace" {
				return trouble
			}
			return nil
		}}, f.bootstrapFile())
		if after := f.content(); !errors.Is(err, trouble) || !maps.Equal(before, after) {
			t.Errorf("%v: %v, and the folder holds %d files", trouble, err, len(after))
		}
		must(t, kubeconfig.PutBack(durable.Disk{}, f.bootstrapFile()))
		if _, err := kubeconfig.LoadBootstrap(f.bootstrapFile()); err != nil {
			t.Errorf("%v: later it is %v", trouble, err)
		}
	}
}
