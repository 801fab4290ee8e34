package agent

import (
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/test/powercut"
)

// recording is what an agent did to its disk, in one life or several, and what the API server had been asked by then.
type recording struct {
	*joiner
	api     *apiStandIn
	writing writing
	ops     *powercut.Log
	// asked are the requests that there were before each operation, and at the end.
	asked [][]string
	// first is the first operation after which the power may go.
	first int
	// at is after how many of them it went.
	at int
	// kept is what is remembered of a daemon's node.
	kept keepings
}

func soak() bool { return os.Getenv("SOAK") != "" }

var nodes = struct {
	sync.Mutex
	made int
}{}

// record lets an agent live on a disk that it finds, once for each of the given breaks: nil lets it end by itself.
func record(t *testing.T, api *apiStandIn, w writing, lives ...func(n int, op durable.Op) error) *recording {
	t.Helper()
	nodes.Lock()
	nodes.made++
	node := fmt.Sprintf("cut-%d", nodes.made)
	nodes.Unlock()
	r := &recording{joiner: newJoiner(t, api, node, false), api: api, writing: w}
	t.Cleanup(func() { os.RemoveAll(r.top) })
	w.before(r)
	r.remember()
	var err error
	r.ops, err = powercut.NewLog(r.top)
	must(t, err)
	r.orphans = len(lives) - 1
	for _, breaks := range lives {
		r.first = r.ops.Len()
		r.live(breaks)
		if breaks != nil && w.stays != nil { // somebody looks, before the next one starts
			r.at = r.ops.Len()
			r.expectSafe()
		}
	}
	r.asked = append(r.asked, r.api.names(r.node))
	r.expectExplained()
	return r
}

func (r *recording) live(breaks func(n int, op durable.Op) error) {
	r.t.Helper()
	n, crashed := 0, false
	record := func(op durable.Op) error {
		n++
		r.asked = append(r.asked, r.api.names(r.node))
		r.ops.Record(op)
		return nil
	}
	before := func(op durable.Op) error {
		if crashed {
			return errCrash
		}
		if breaks != nil {
			if err := breaks(n, op); err != nil {
				n++
				crashed = errors.Is(err, errCrash)
				return err
			}
		}
		return record(op)
	}
	if r.writing.stays != nil {
		r.stay(before, record, func() bool { return crashed })
		return
	}
	var with clock.WithTicker = clock.RealClock{}
	if breaks != nil {
		with = hurried(r.t)
	}
	err := r.run(before, with)
	if err != nil && breaks == nil { // a life that something breaks may end anyhow
		r.t.Errorf("ends with %v", err)
		r.report("while recording")
	}
}

// crashAt ends a life before its k-th operation.
func crashAt(k int) func(int, durable.Op) error {
	return func(n int, _ durable.Op) error {
		if n == k {
			return errCrash
		}
		return nil
	}
}

// failAt makes the k-th operation of a life fail.
func failAt(k int) func(int, durable.Op) error {
	return func(n int, _ durable.Op) error {
		if n == k {
			return syscall.EIO
		}
		return nil
	}
}

// expectExplained shows that the model of the disk is right, and that nothing was changed behind its back, but for the lock.
func (r *recording) expectExplained() {
	r.t.Helper()
	_ = os.Remove(r.lockFile())
	found, err := powercut.ReadDisk(r.top)
	must(r.t, err)
	modelled := r.ops.Kill(r.ops.Len()).Disk()
	if found.Same() != modelled.Same() {
		r.t.Fatalf("what was recorded does not explain what is on the disk:\n%s\nrecorded:\n%s", found, modelled)
	}
	for path, expected := range modelled.Times() {
		if info, err := os.Lstat(path); err != nil || !expected.IsZero() && !info.ModTime().Equal(expected) {
			r.t.Errorf("%s is not of %s (%v)", path, expected, err)
		}
	}
}

func (r *recording) lockFile() string { return r.cfg.CertDir + "/.bootstrap-agent.lock" }

// cuts are all ways in which the power can go, without those that leave what another one leaves.
func (r *recording) cuts(random *rand.Rand) []powercut.Cut {
	seen := map[string]bool{}
	var cuts []powercut.Cut
	for after := r.first; after <= r.ops.Len(); after++ {
		for _, cut := range r.ops.Cuts(after, 10_000, random) {
			disk := cut.Disk()
			state := disk.Same() + fmt.Sprint(disk.Times(), r.asked[after], r.hurtAt(after)) // what may be lost differs, too
			if !seen[state] {
				seen[state] = true
				cuts = append(cuts, cut)
			}
		}
	}
	return cuts
}

// after is the machine when the power is back.
func (r *recording) after(cut powercut.Cut) {
	r.t.Helper()
	must(r.t, cut.Disk().LayOut())
	r.api.rewind(r.node, r.asked[cut.After])
	r.at = cut.After
}

// expectSafe looks at the disk before an agent does.
func (r *recording) expectSafe() {
	r.t.Helper()
	if r.writing.credential {
		r.expectWayOn()
	}
	r.expectKeys()
	if r.hurtAt(r.at) { // somebody else has done that
		return
	}
	r.expectKubeconfigLast()
	if !r.writing.harmed {
		expectKubeletUnharmed(r.t, r.machine)
	}
	if r.writing.stays != nil {
		r.expectKept()
	}
	r.expectOriginal()
}

// expectOriginal shows that a pair which was there before us still is, under its own names or as a copy.
func (r *recording) expectOriginal() {
	r.t.Helper()
	if r.writing.original != nil && !r.has("", r.writing.original) && !r.has(".orig", r.writing.original) {
		r.t.Error("the pair that was there before is lost")
	}
}

// expectKeys shows that no request was sent whose key is lost: a second one would be needed.
func (r *recording) expectKeys() {
	r.t.Helper()
	for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
		prefix := prefixOf(kind)
		var keys []any
		if content, err := r.dir.ReadPending(prefix); err == nil {
			if p, err := csr.DecodePending(content); err == nil {
				key, _ := p.PublicKey()
				keys = append(keys, key)
			}
		}
		for _, pair := range append(r.dir.Older(prefix), r.current(prefix)...) {
			keys = append(keys, pair.Leaf.PublicKey)
		}
		for _, name := range r.api.names(r.node) {
			request, ofKind := r.api.request(name, kind)
			if !ofKind || r.writing.gone[kind] {
				continue
			}
			if !slices.ContainsFunc(keys, func(key any) bool { return sameKey(key, request.PublicKey) }) {
				r.t.Errorf("the API server has %s, and its key is lost", name)
			}
		}
	}
}

func (r *recording) current(kind certdir.Kind) []*certdir.Pair {
	if pair, err := r.dir.Read(kind); err == nil {
		return []*certdir.Pair{pair}
	}
	return nil
}

func sameKey(a, b any) bool {
	key, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(b)
}

// expectKubeconfigLast shows that a kubelet which finds a kubeconfig finds all that it names.
func (r *recording) expectKubeconfigLast() {
	r.t.Helper()
	if _, err := os.Lstat(r.cfg.Kubeconfig); err != nil {
		return
	}
	k, err := kubeconfig.LoadKubelet(r.cfg.Kubeconfig)
	if err != nil {
		r.t.Errorf("the kubelet's kubeconfig cannot be used: %v", err)
		return
	}
	if _, err := r.dir.Read(certdir.Client); err != nil && len(r.dir.Older(certdir.Client)) == 0 || k.ClientPEM != r.dir.Current(certdir.Client) {
		r.t.Errorf("the kubelet's kubeconfig names a pair that cannot be used: %v", err)
	}
	if ca, err := r.dir.ReadCA(r.dir.ClientCA()); err != nil || ca == nil {
		r.t.Errorf("the kubelet's kubeconfig is there and kubelet-client-ca.crt is not (%v)", err)
	}
}

// has says whether both of the kubelet's own names, with this ending, hold what they held.
func (r *recording) has(ending string, original map[string]string) bool {
	for name, content := range original {
		path := r.cfg.CertDir + "/" + name
		info, err := os.Lstat(path + ending)
		if found, readErr := os.ReadFile(path + ending); err != nil || readErr != nil || !info.Mode().IsRegular() || string(found) != content {
			return false
		}
	}
	return true
}

// restart is the next life on such a disk: it must end as any other.
func (r *recording) restart() {
	r.t.Helper()
	r.log.Reset()
	if r.writing.stays != nil {
		r.restartToStay()
		return
	}
	if err := r.run(func(durable.Op) error { return nil }, clock.RealClock{}); err != nil {
		r.t.Errorf("a restart ends with %v", err)
	}
	if r.writing.ends != nil {
		r.writing.ends(r)
	} else {
		r.expectJoined(r.api)
	}
	expectKubeletUnharmed(r.t, r.machine)
	r.expectOriginal()
}
