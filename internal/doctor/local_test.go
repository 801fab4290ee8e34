package doctor

import (
	"context"
	"encoding/base64"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
)

func base64Of(text []byte) string { return base64.StdEncoding.EncodeToString(text) }

// examine runs the local checks.
func (n *sick) examine() Report {
	n.t.Helper()
	return Examine(context.Background(), n.patient(), Local())
}

func (r Report) of(check string) []Result {
	var found []Result
	for _, result := range r.Results {
		if result.Check == check {
			found = append(found, result)
		}
	}
	return found
}

// optional are the checks of what not every node has: a bootstrap kubeconfig, a discovery token, a CA that follows something.
var optional = []string{"own-endpoint", "discovery-token", "ca-following"}

func TestEverythingIsWellOnANodeThatIs(t *testing.T) {
	t.Parallel()
	n := wellNode(t)
	n.serves(n.current(certdir.Serving))
	r := n.examine()
	for _, result := range r.Results {
		if result.Verdict != OK || result.Remedy+result.Command != "" {
			t.Errorf("%+v", result)
		}
	}
	if r.Verdict != OK || r.ExitCode() != 0 {
		t.Errorf("the node is %s, exit code %d", r.Verdict, r.ExitCode())
	}
	for _, check := range Local() {
		if !slices.Contains(optional, check.Name) && len(r.of(check.Name)) == 0 {
			t.Errorf("%s says nothing of a node that is well", check.Name)
		}
	}
}

// illness is a node that something is the matter with.
type illness struct {
	name string
	// make changes a node that is well.
	make func(n *sick)
	// check is the one that finds it, with the verdict and words of the text, the remedy and the command.
	check   string
	verdict Verdict
	says    []string
	// mends: the command is run, and then the check has nothing worse than ok to say.
	mends bool
}

// illnesses are all of them, by subject.
func illnesses() []illness {
	var all []illness
	for _, subject := range [][]illness{settingIllnesses(), identityIllnesses(), fileIllnesses(), serviceIllnesses(), kubeletIllnesses(), copyIllnesses(), discoveryIllnesses(), followingIllnesses()} {
		all = append(all, subject...)
	}
	return all
}

func TestEachCheckFindsWhatIsTheMatterAndSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for _, i := range illnesses() {
		t.Run(i.check+" "+string(i.verdict)+": "+i.name, func(t *testing.T) {
			t.Parallel()
			n := wellNode(t)
			i.make(n)
			p := n.patient()
			before := n.listing()
			r := Examine(context.Background(), p, Local())
			if after := n.listing(); after != before {
				t.Errorf("doctor has changed something: before\n%s\nafter\n%s", before, after)
			}
			n.keepsSecrets(r)
			found := i.find(r.of(i.check))
			if found == nil {
				t.Fatalf("%s is not %s with the words %q:\n%+v", i.check, i.verdict, i.says, r.of(i.check))
			}
			for _, result := range r.Results {
				if result.Verdict != OK && result.Remedy == "" {
					t.Errorf("no remedy: %+v", result)
				}
			}
			if i.mends {
				n.mend(i, *found)
			}
		})
	}
}

// find returns the result that is meant.
func (i illness) find(results []Result) *Result {
	for _, r := range results {
		all := r.Text + "\n" + r.Remedy + "\n" + r.Command
		if r.Verdict == i.verdict && !lacks(all, i.says) {
			return &r
		}
	}
	return nil
}

func lacks(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// mend runs the command as it is printed; then the check finds nothing.
func (n *sick) mend(i illness, r Result) {
	n.t.Helper()
	if output, err := exec.Command("sh", "-c", r.Command).CombinedOutput(); err != nil || r.Command == "" {
		n.t.Fatalf("the command %q ends with %v: %s", r.Command, err, output)
	}
	for _, again := range n.examine().of(i.check) {
		if rank[again.Verdict] > rank[OK] && again.Text == r.Text {
			n.t.Errorf("%q mends nothing: %+v", r.Command, again)
		}
	}
}
