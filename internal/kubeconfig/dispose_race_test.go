package kubeconfig_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// deletion is a layout whose secret is deleted, operation by operation.
type deletion struct {
	name string
	make func(f, elsewhere folder)
	// file is the name under which the secret lies, target the file itself if file is a link.
	file, target string
	// holding returns a content of the file with a token.
	holding func(token string) string
}

func deletions() []deletion {
	bare := func(token string) string { return token }
	return []deletion{
		{"an inline token", inline, "bootstrap.kubeconfig", "", withToken},
		{"a tokenFile", tokenFile("token"), "token", "", bare},
		{"a link", linked, "bootstrap.kubeconfig", "node-7.kubeconfig", withToken},
		{"a link to a link", func(f, elsewhere folder) {
			linked(f, elsewhere)
			must(f.t, os.Rename(f.in("node-7.kubeconfig"), f.in("real")))
			f.symlink("real", "node-7.kubeconfig")
		}, "bootstrap.kubeconfig", "real", withToken},
		{"a discovery token", discoveryToken, tokenName, "", bare},
		{"a discovery token that is a link", linkedDiscoveryToken, tokenName, "real", bare},
		{"a tokenFile that is a link", func(f, elsewhere folder) {
			tokenFile("token")(f, elsewhere)
			must(f.t, os.Rename(f.in("token"), f.in("real")))
			f.symlink("real", "token")
		}, "token", "real", bare},
	}
}

// load makes the files and reads them, as the agent has when it is about to delete them.
func (d deletion) load(t *testing.T) (folder, *kubeconfig.Bootstrap) {
	t.Helper()
	f, elsewhere := newFolder(t), newFolder(t)
	d.make(f, elsewhere)
	b, err := f.credential()
	must(t, err)
	return f, b
}

// operations are what the deletion does when nothing gets in its way.
func (d deletion) operations(t *testing.T) (all []durable.Op) {
	t.Helper()
	f, b := d.load(t)
	_, err := b.Dispose(durable.Disk{Before: func(op durable.Op) error { all = append(all, op); return nil }}, "")
	must(t, err)
	if held := f.holds(token); len(held) > 0 || len(all) < 4 {
		t.Fatalf("the token is still in %q after %v", held, all)
	}
	return all
}

// at is a disk that does something just before the operation with this number.
func at(number int, do func() error) durable.Disk {
	count := 0
	return durable.Disk{Before: func(durable.Op) error {
		count++
		if count == number+1 {
			return do()
		}
		return nil
	}}
}

// settle does what the agent does first of all when something lies aside.
func settle(t *testing.T, f folder) {
	t.Helper()
	for _, path := range f.aside() {
		must(t, kubeconfig.PutBack(durable.Disk{}, path))
	}
}

// arrivals are how a new credential can come into its place.
var arrivals = map[string]func(f folder, d deletion){
	"renamed to the name": func(f folder, d deletion) { f.rename(d.file, d.holding(otherToken)) },
	"written to the name": func(f folder, d deletion) { f.write(d.file, d.holding(otherToken)) },
	"linked to the name": func(f folder, d deletion) {
		f.write("newer", d.holding(otherToken))
		f.symlink("newer", "link")
		must(f.t, os.Rename(f.in("link"), f.in(d.file)))
	},
	"removed and written": func(f folder, d deletion) {
		if err := os.Remove(f.in(d.file)); err != nil && !errors.Is(err, os.ErrNotExist) {
			f.t.Fatal(err)
		}
		f.write(d.file, d.holding(otherToken))
	},
	"renamed to where the link leads": func(f folder, d deletion) {
		if d.target == "" {
			d.target = d.file
		}
		f.rename(d.target, d.holding(otherToken))
	},
}

func TestANewCredentialSurvivesTheDeletionOfTheOldOneWheneverItComes(t *testing.T) {
	t.Parallel()
	for _, d := range deletions() {
		operations := d.operations(t)
		for how, arrive := range arrivals {
			for number, op := range operations {
				linkGoes := d.target != "" && number >= len(operations)-2 // its unlink and the sync after it
				if how == "renamed to where the link leads" && linkGoes {
					continue // nobody can tell that this file belongs to a link which is gone
				}
				t.Run(fmt.Sprintf("%s, %s, before %d %s", d.name, how, number, op.Call), func(t *testing.T) {
					f, b := d.load(t)
					done, err := b.Dispose(at(number, func() error { arrive(f, d); return nil }), "")
					must(t, err)
					settle(t, f)
					newer, err := f.credential()
					if err != nil || newer.Credential.Token != otherToken {
						t.Fatalf("the new credential is not there (%v); the deletion said %s, the folder holds %q", err, done.Disposal, f.content())
					}
					// what was replaced while it was still in its place is the writer's; what lay aside must have gone
					if held := f.holds(token); slices.ContainsFunc(held, func(name string) bool { return strings.HasSuffix(name, ".used") }) {
						t.Errorf("the old token is still aside: %q", held)
					}
				})
			}
		}
	}
}

func TestTheNewestOfTwoNewCredentialsIsUsed(t *testing.T) {
	t.Parallel()
	const newest = "z8zz7z.newest9newest9qq"
	d := deletions()[0]
	f, b := d.load(t)
	f.rename("bootstrap.kubeconfig", withToken(otherToken)) // found when it is compared
	arrived := false
	done, err := b.Dispose(durable.Disk{Before: func(op durable.Op) error {
		if op.Call == "rename-noreplace" && op.Path == f.bootstrapFile() { // it is being put back
			arrived = true
			f.rename("bootstrap.kubeconfig", withToken(newest))
		}
		return nil
	}}, "")
	must(t, err)
	b, err = f.credential()
	must(t, err)
	if !arrived || b.Credential.Token != newest || done.Disposal != kubeconfig.Newer || len(f.holds(otherToken)) > 0 {
		t.Errorf("the deletion said %s, and the folder holds %q", done.Disposal, f.content())
	}
}

// TestAfterACrashTheSecretIsGoneOrInItsPlace stops the deletion before each of its operations, as a power cut would, and starts
// again: no secret may lie somewhere where nobody looks for it.
func TestAfterACrashTheSecretIsGoneOrInItsPlace(t *testing.T) {
	t.Parallel()
	crash := errors.New("crash")
	for _, d := range deletions() {
		gone, back := 0, 0
		for number, op := range d.operations(t) {
			t.Run(fmt.Sprintf("%s, before %d %s", d.name, number, op.Call), func(t *testing.T) {
				f, b := d.load(t)
				crashed := false
				_, err := b.Dispose(durable.Disk{Before: func(durable.Op) error {
					if number--; number < 0 {
						crashed = true
					}
					if crashed {
						return crash
					}
					return nil
				}}, "")
				if !errors.Is(err, crash) || !strings.Contains(err.Error(), f.in(d.file)) {
					t.Errorf("the error does not say what happened, and to which file: %v", err)
				}
				settle(t, f)
				if aside := f.aside(); len(aside) > 0 {
					t.Errorf("%q still lies aside", aside)
				}
				held := f.holds(token)
				b, err = f.credential()
				switch {
				case len(held) == 0 && errors.Is(err, kubeconfig.ErrNoCredential):
					gone++
					return
				case err != nil || b.Credential.Token != token:
					t.Fatalf("the token lies in %q and is not found there: %v", held, err)
				}
				back++
				done, err := b.Dispose(durable.Disk{}, "")
				if err != nil || done.Disposal != kubeconfig.Deleted || len(f.holds(token)) > 0 {
					t.Errorf("the second deletion: %s %s (%v), the token lies in %q", done.Disposal, done.Said, err, f.holds(token))
				}
			})
		}
		if gone == 0 || back == 0 {
			t.Errorf("%s: after %d crashes the secret was gone, after %d in its place; both should happen", d.name, gone, back)
		}
	}
}

func TestOnAReadOnlyFileSystemNothingChangesAndTheErrorSaysSo(t *testing.T) {
	t.Parallel()
	for _, d := range deletions() {
		f, b := d.load(t)
		before := f.content()
		_, err := b.Dispose(durable.Disk{Before: func(durable.Op) error { return syscall.EROFS }}, "")
		if !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), f.in(d.file)) {
			t.Errorf("%s: the error is %v", d.name, err)
		}
		assertContent(t, f, before)
	}
}

// TestAnOperationThatFailsIsNoLoss lets single operations fail, and the file system recover.
func TestAnOperationThatFailsIsNoLoss(t *testing.T) {
	t.Parallel()
	for _, d := range deletions() {
		for number, op := range d.operations(t) {
			f, b := d.load(t)
			_, err := b.Dispose(at(number, func() error { return syscall.EIO }), "")
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("%s, %s fails: the error is %v", d.name, op.Call, err)
			}
			settle(t, f)
			if b, err = f.credential(); err == nil {
				_, err = b.Dispose(durable.Disk{}, "")
				must(t, err)
			}
			if held := f.holds(token); len(held) > 0 {
				t.Errorf("%s, %s fails: the token stays in %q", d.name, op.Call, held)
			}
		}
	}
}

func TestWhatLiesAsideFromAnEarlierTimeIsInNobodysWay(t *testing.T) {
	t.Parallel()
	for _, d := range deletions() {
		f, b := d.load(t)
		aside := kubeconfig.AsideName(f.in(d.file))
		must(t, os.WriteFile(aside, []byte(otherToken), 0o600))
		done, err := b.Dispose(durable.Disk{}, "")
		must(t, err)
		if done.Disposal != kubeconfig.Deleted || exists(aside) || len(f.holds(token)) > 0 {
			t.Errorf("%s: %s, and the folder holds %q", d.name, done.Disposal, f.content())
		}
	}
}
