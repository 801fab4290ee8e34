package certdir

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

func TestPairsOfTheSameSecondGetNamesOfTheirOwn(t *testing.T) {
	d := newDir(t)
	var pairs [][]byte
	for i := range 4 {
		pairs = append(pairs, newPair(t, fmt.Sprint(i), noon.Add(time.Duration(i)*time.Minute)))
		must(t, d.Commit(Client, pairs[i], noon.Add(time.Duration(i)*time.Millisecond)))
		d.expectCurrent(t, Client, pairs[i])
	}
	older := d.Older(Client)
	if len(older) != 3 {
		t.Fatalf("%d older pairs, expected 3: one was written over", len(older))
	}
	for i, pair := range older {
		if string(pair.PEM) != string(pairs[2-i]) {
			t.Errorf("older pair %d is %s", i, pair.Leaf.Subject)
		}
	}
}

func TestACommittedPairLiesWhereFileStoreWouldPutIt(t *testing.T) {
	d := newDir(t)
	pair := newPair(t, "good", noon)
	must(t, d.Commit(Client, pair, noon))
	name := "kubelet-client-" + noon.Local().Format("2006-01-02-15-04-05") + ".pem"
	if target, err := os.Readlink(d.Current(Client)); err != nil || target != name {
		t.Errorf("the link leads to %q (%v), expected %q: no folder, so that the cert-dir can be moved", target, err, name)
	}
	if info, err := os.Stat(filepath.Join(d.Path, name)); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	if names := d.names(t); !slices.Equal(names, []string{name, "kubelet-client-current.pem"}) {
		t.Errorf("left in the folder: %q", names)
	}
}

func TestEveryNameThatIsTakenIsLeftAloneEvenIfALinkHasIt(t *testing.T) {
	d := newDir(t)
	taken := "kubelet-client-" + noon.Local().Format(dataTime) + ".pem"
	d.link(t, "gone.pem", taken)
	must(t, d.Commit(Client, newPair(t, "good", noon), noon))
	if target, err := os.Readlink(filepath.Join(d.Path, taken)); err != nil || target != "gone.pem" {
		t.Errorf("%s was replaced (%q, %v)", taken, target, err)
	}
}

func TestAFolderThatIsFullForAnHourIsAnError(t *testing.T) {
	d := newDir(t)
	for i := range 3600 {
		d.write(t, "kubelet-client-"+noon.Add(time.Duration(i)*time.Second).Local().Format(dataTime)+".pem", nil)
	}
	if err := d.Commit(Client, newPair(t, "good", noon), noon); err == nil {
		t.Error("a file was written over")
	}
	if _, err := d.freeName(Client, noon.Add(time.Second)); err != nil {
		t.Errorf("the second after the last is free, and yet: %v", err)
	}
}

// Until the very rename of the link, readers find the previous pair, whole; after it the new one.
func TestThePreviousPairStaysInUseUntilTheSwap(t *testing.T) {
	d := newDir(t)
	first, second := newPair(t, "first", noon), newPair(t, "second", noon)
	must(t, d.Commit(Client, first, noon))
	swapped := false
	d.Disk = durable.Disk{Before: func(op durable.Op) error {
		if swapped {
			d.expectCurrent(t, Client, second)
		} else {
			d.expectCurrent(t, Client, first)
		}
		swapped = swapped || op.Call == "rename" && op.Path == d.Current(Client)
		return nil
	}}
	must(t, d.Commit(Client, second, noon.Add(time.Hour)))
	d.expectCurrent(t, Client, second)
	if !swapped || len(d.Older(Client)) != 1 {
		t.Errorf("swapped %v, %d older pairs", swapped, len(d.Older(Client)))
	}
}

func TestCommitReplacesWhateverStandsAtTheLink(t *testing.T) {
	good := newPair(t, "good", noon)
	for name, furnish := range map[string]func(Dir){
		"a regular file":  func(d Dir) { d.write(t, "kubelet-client-current.pem", []byte("damaged")) },
		"a dangling link": func(d Dir) { d.link(t, "gone.pem", "kubelet-client-current.pem") },
		"a circle":        func(d Dir) { d.link(t, "kubelet-client-current.pem", "kubelet-client-current.pem") },
	} {
		d := newDir(t)
		furnish(d)
		must(t, d.Commit(Client, good, noon))
		if d.expectCurrent(t, Client, good); t.Failed() {
			t.Fatal(name)
		}
	}
	d := newDir(t)
	must(t, os.Mkdir(d.Current(Client), 0o700))
	if err := d.Commit(Client, good, noon); err == nil {
		t.Error("a folder cannot be replaced by a link, and yet that was no error")
	}
}
