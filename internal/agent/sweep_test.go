package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

// litter is what earlier runs may have left in the cert-dir, and whether a start takes it; the kubelet's own serving pairs are not
// ours to sweep with --serving=off.
var litter = []struct {
	name            string
	goes, goesIfOff bool
}{
	{"kubelet-client-2026-01-01-00-00-00.pem", true, true},
	{"kubelet-client-2026-01-02-00-00-00.pem", false, false}, // the previous one
	{"kubelet-server-2026-01-01-00-00-00.pem", true, false},
	{"kubelet-server-2026-01-02-00-00-00.pem", true, false},
	{".kubelet.crt.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp", true, true},
	{"notes.pem", false, false},
}

func TestAStartSweepsWhatNothingNeedsAndKeepsThePreviousClientPair(t *testing.T) {
	t.Parallel()
	api := newAPIStandIn(t)
	for _, mode := range []string{"before-kubelet", string(serving.Off)} {
		j := newJoiner(t, api, "swept-"+mode, false)
		quiet := func(durable.Op) error { return nil }
		must(t, j.run(quiet, clock.RealClock{}))
		j.cfg.Serving = mode
		must(t, j.run(quiet, clock.RealClock{})) // gives the serving pair to the kubelet, if off
		inUse, err := j.dir.Read(certdir.Client)
		must(t, err)
		j.litter(inUse.PEM)
		must(t, j.run(quiet, clock.RealClock{}))
		for _, l := range litter {
			goes := l.goes
			if mode == string(serving.Off) {
				goes = l.goesIfOff
			}
			if there := j.exists(filepath.Join(j.cfg.CertDir, l.name)); there == goes {
				t.Errorf("--serving=%s: %s is there: %v", mode, l.name, there)
			}
		}
		if pair, err := j.dir.Read(certdir.Client); err != nil || pair.File != inUse.File {
			t.Errorf("--serving=%s: the pair in use is %v (%v)", mode, pair, err)
		}
	}
}

// A daemon that runs for years commits again and again, and starts once.
func TestACommitLeavesOneClientPairBesideTheNewOne(t *testing.T) {
	t.Parallel()
	api := newAPIStandIn(t)
	other := newJoiner(t, api, "swept-other", false)
	must(t, other.run(func(durable.Op) error { return nil }, clock.RealClock{}))
	pair, err := other.dir.Read(certdir.Client)
	must(t, err)
	j := newJoiner(t, api, "swept-commit", false)
	littered := false
	must(t, j.run(func(op durable.Op) error {
		if !littered && strings.HasPrefix(filepath.Base(op.Path), ".kubelet-client-2") { // it commits, and has swept at its start
			littered = true
			j.litter(pair.PEM)
		}
		return nil
	}, clock.RealClock{}))
	if unreadable, previous := litter[0].name, litter[1].name; !littered || j.exists(filepath.Join(j.cfg.CertDir, unreadable)) || !j.exists(filepath.Join(j.cfg.CertDir, previous)) {
		t.Errorf("%s should be gone and %s be there", unreadable, previous)
	}
}

// litter puts an hour-old file at each name: a pair, or in those of the first of January one that cannot be read.
func (j *joiner) litter(pair []byte) {
	j.t.Helper()
	for _, l := range litter {
		path := filepath.Join(j.cfg.CertDir, l.name)
		if strings.Contains(l.name, "-01-01-") {
			j.write(j.t, path, pair[:100])
		} else {
			j.write(j.t, path, pair)
		}
		hourAgo := time.Now().Add(-time.Hour)
		must(j.t, os.Chtimes(path, hourAgo, hourAgo))
	}
}
