package kubeconfig_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

var errCrash = errors.New("crash")

// crashAt is a disk that does no operation any more from the one with this number on, as after a power cut.
func crashAt(number int) durable.Disk {
	count := 0
	return durable.Disk{Before: func(durable.Op) error {
		if count++; count > number {
			return errCrash
		}
		return nil
	}}
}

// absent is what a person may do after a crash besides putting a new credential there.
const absent = "taken away"

// restart is a disposal that a crash ends, what a person does to the name while the machine is down, and a settling that another
// crash ends.
type restart struct {
	deletion
	crash, crashAgain int
	meanwhile         string
}

func (r restart) String() string {
	return fmt.Sprintf("%s, crash before %d, %s, crash before %d", r.name, r.crash, r.meanwhile, r.crashAgain)
}

func restarts(t *testing.T) (all []restart) {
	t.Helper()
	meanwhile := append(slices.Sorted(maps.Keys(arrivals)), "left as it is", absent)
	for _, d := range deletions() {
		for crash := range len(d.operations(t)) + 1 {
			for _, what := range meanwhile {
				for again := range 3 { // a rename and its sync, or an unlink and its sync
					all = append(all, restart{d, crash, again, what})
				}
			}
		}
	}
	return all
}

// TestAfterAnyTwoCrashesTheNewestCredentialIsUsedAndNoneIsForgotten: whatever was done to the name in between, what a person has
// put there is what is used next, and when that is disposed of no token is left anywhere.
func TestAfterAnyTwoCrashesTheNewestCredentialIsUsedAndNoneIsForgotten(t *testing.T) {
	t.Parallel()
	for _, r := range sampled(t, restarts(t), 70) {
		f, b := r.load(t)
		_, _ = b.Dispose(crashAt(r.crash), "")
		if arrive, ok := arrivals[r.meanwhile]; ok {
			if r.target != "" && r.meanwhile == "renamed to where the link leads" && !exists(f.in(r.file)) {
				continue // the link is gone, or aside: nobody can tell that this file belongs to it
			}
			arrive(f, r.deletion)
		} else if r.meanwhile == absent {
			_ = os.Remove(f.in(r.file))
		}
		for _, path := range f.aside() {
			_ = kubeconfig.PutBack(crashAt(r.crashAgain), path)
		}
		settle(t, f)
		assertNewest(t, r, f)
	}
}

// assertNewest shows that the newest credential is in its place, if there is one, and that its disposal leaves no token.
func assertNewest(t *testing.T, r restart, f folder) {
	t.Helper()
	if aside := f.aside(); len(aside) > 0 {
		t.Errorf("%s: %q still lie aside", r, aside)
	}
	b, err := f.credential()
	_, arrived := arrivals[r.meanwhile]
	switch {
	case arrived && (err != nil || b.Credential.Token != otherToken):
		t.Fatalf("%s: the new credential is not there (%v), the folder holds %q", r, err, f.content())
	case err == nil:
		done, err := b.Dispose(durable.Disk{}, "")
		if err != nil || done.Disposal != kubeconfig.Deleted {
			t.Errorf("%s: it is %s: %s (%v)", r, done.Disposal, done.Said, err)
		}
	case !errors.Is(err, kubeconfig.ErrNoCredential):
		t.Errorf("%s: %v", r, err)
	}
	for _, secret := range []string{token, otherToken} {
		held := slices.DeleteFunc(f.holds(secret), func(name string) bool {
			// the person's own doing: it has lost its link, under its name or aside, and nobody can tell any more whose it was
			return r.target != "" && (r.meanwhile == absent || arrived) && (name == "/"+r.target || name == "/."+r.target+".used")
		})
		if len(held) > 0 {
			t.Errorf("%s: a token is left in %q", r, held)
		}
	}
}

// writer opens the name before one operation and writes there before a later one, or after the last.
type writer struct {
	deletion
	flags        int
	opens, write int
}

func writers(t *testing.T) (all []writer) {
	t.Helper()
	for _, d := range deletions() {
		operations := len(d.operations(t))
		for _, flags := range []int{os.O_TRUNC, 0} { // as a shell's > does, and as rsync --inplace does
			for opens := range operations {
				for write := opens; write <= operations; write++ {
					all = append(all, writer{d, flags, opens, write})
				}
			}
		}
	}
	return all
}

// TestWhatIsWrittenInPlaceSurvivesHoweverLongTheWriterTakes: the file is opened at one moment and filled at another, so that the
// new credential comes to where the old one was, also while that lies aside.
func TestWhatIsWrittenInPlaceSurvivesHoweverLongTheWriterTakes(t *testing.T) {
	t.Parallel()
	busy := 0
	for _, w := range sampled(t, writers(t), 60) {
		name := fmt.Sprintf("%s, flags %#x, opened before %d, written before %d", w.name, w.flags, w.opens, w.write)
		f, b := w.load(t)
		var file *os.File
		fill := func() {
			_, err := file.WriteString(w.holding(otherToken))
			must(t, err)
			must(t, file.Truncate(int64(len(w.holding(otherToken)))))
			must(t, file.Close())
		}
		count := 0
		_, err := b.Dispose(durable.Disk{Before: func(durable.Op) (err error) {
			if count == w.opens {
				file, err = os.OpenFile(f.in(w.file), os.O_WRONLY|os.O_CREATE|w.flags, 0o600)
				must(t, err)
			}
			if count == w.write {
				fill()
			}
			count++
			return nil
		}}, "")
		if err != nil { // the agent tries again later, or when the file has changed
			if !strings.Contains(err.Error(), "open for writing") {
				t.Fatalf("%s: %v", name, err)
			}
			busy++
		}
		if count <= w.opens {
			continue // the disposal had ended before
		}
		if count <= w.write {
			fill()
		}
		settle(t, f)
		newer, err := f.credential()
		if err != nil || newer.Credential.Token != otherToken {
			t.Fatalf("%s: the new credential is not there (%v), the folder holds %q", name, err, f.content())
		}
	}
	t.Logf("%d times the file was found open for writing", busy)
}
