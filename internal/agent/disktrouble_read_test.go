package agent

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

const (
	unreadLasts = 30 * time.Second
	// mostLooks is far more than the five or six that the retry policy makes within that time.
	mostLooks = 15
)

// unreadable is a way in which a file cannot be read for a while, though nothing is wrong with it.
type unreadable struct {
	errno syscall.Errno
	// hide makes it so; what it returns ends it.
	hide func(t *testing.T, top, path string) (show func())
}

var unreadables = []unreadable{
	{syscall.EIO, failingDisk},
	{syscall.EACCES, forbidden},
}

// failingDisk puts in the file's place what every read of fails with EIO: the memory of a process at an address where it has none.
func failingDisk(t *testing.T, top, path string) func() {
	t.Helper()
	held := filepath.Join(top, "held-"+filepath.Base(path)) // the cert-dir must not hold it
	must(t, os.Rename(path, held))
	must(t, os.Symlink("/proc/self/mem", path))
	return func() { must(t, os.Rename(held, path)) }
}

func forbidden(t *testing.T, _, path string) func() {
	t.Helper()
	info, err := os.Stat(path)
	must(t, err)
	must(t, os.Chmod(path, 0))
	return func() { must(t, os.Chmod(path, info.Mode())) }
}

// withoutPrivileges runs f as somebody for whom the modes of files count, as they do not for root: on a thread of its own, which
// ends with it.
func withoutPrivileges(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			t.Errorf("capget: %v", err)
			return
		}
		data[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Errorf("capset: %v", err)
			return
		}
		f()
	}()
	<-done
}

// found is a disk on which files cannot be read, one at a time.
type found struct {
	writing
	files []func(*troubled) string
}

// founds are nodes for which a file that passes for missing or damaged would be the reason to do something.
func founds(t *testing.T) []found {
	t.Helper()
	type files = []func(*troubled) string
	inUse := func(kind certdir.Kind) func(*troubled) string {
		return func(tr *troubled) string {
			target, err := filepath.EvalSymlinks(tr.dir.Current(kind))
			must(t, err)
			return target
		}
	}
	pending := func(kind certdir.Kind) files {
		return files{func(tr *troubled) string { return tr.dir.PendingFile(kind) }}
	}
	inCertDir := func(name string) func(*troubled) string {
		return func(tr *troubled) string { return filepath.Join(tr.cfg.CertDir, name) }
	}
	client := files{
		inUse(certdir.Client), inCertDir("kubelet-apiserver-ca.crt"), inCertDir("kubelet-client-ca.crt"),
		func(tr *troubled) string { return tr.cfg.Kubeconfig },
	}
	served := files{inUse(certdir.Serving)}
	credential := files{func(tr *troubled) string { return tr.credential }}
	return []found{
		{writing{name: "a node that has joined", before: (*recording).joined}, append(client, served...)},
		{writing{name: "a node that has joined, with a credential beside", before: (*recording).joinedWithCredential}, client},
		{writing{name: "a node that has joined, with an older pair", before: (*recording).joinedWithOlder}, client[:1]},
		{writing{name: "a serving certificate to be given back", before: (*recording).releasing, ends: (*recording).expectReleased}, served},
		{writing{name: "an issued certificate and no credential", before: (*recording).onlyIssued}, pending(certdir.Client)},
		{writing{name: "an issued certificate with its credential", credential: true, before: (*recording).issuedWithCredential}, pending(certdir.Client)},
		{writing{name: "a request that was sent", credential: true, before: (*recording).sent}, pending(certdir.Client)},
		{writing{name: "a serving request under way", before: (*recording).askingToServe}, pending(certdir.Serving)},
		{writing{name: "a new node", credential: true, before: func(*recording) {}}, credential},
		{writing{name: "a token in a file", credential: true, before: (*recording).tokenInFile}, credential},
		{
			writing{name: "a pair of the kubelet's own", before: func(r *recording) { r.joined(); r.unlinked(kubeletsOwn(t)) }},
			files{inCertDir("kubelet.crt"), inCertDir("kubelet.key")},
		},
	}
}

func (r *recording) joinedWithCredential() {
	r.joined()
	r.write(r.t, r.cfg.BootstrapKubeconfig, bootstrapKubeconfig(r.api.url, theCA().pem))
}

// joinedWithOlder is a node that has the pair from before its current one, which nothing but a current one that is lost brings back.
func (r *recording) joinedWithOlder() {
	r.joined()
	pair, err := r.dir.Read(certdir.Client)
	must(r.t, err)
	must(r.t, r.dir.Commit(certdir.Client, pair.PEM, time.Now().Add(time.Minute)))
}

func (r *recording) issuedWithCredential() {
	content, err := os.ReadFile(r.credential)
	must(r.t, err)
	r.onlyIssued()
	r.write(r.t, r.credential, content)
}

// sent is a node that was stopped when the API server had its request.
func (r *recording) sent() {
	for k := 0; r.crash(k) && len(r.api.names(r.node)) == 0; k++ {
		continue
	}
	_ = os.Remove(r.lockFile())
}

// askingToServe is a node on a placeholder, with a request under way.
func (r *recording) askingToServe() {
	r.placeholderAgain()
	r.pending(csr.Wish{
		Kind: csr.Serving, NodeName: r.node, KeyAlgorithm: "ecdsa-p256", DNSNames: []string{r.node}, IPAddresses: []string{"192.0.2.10"},
	}, func(*csr.Pending) {})
}

// unlinked puts a pair of somebody else's under the kubelet's own names of a node that has an issued one.
func (r *recording) unlinked(pair map[string]string) {
	for name, content := range pair {
		must(r.t, os.Remove(filepath.Join(r.cfg.CertDir, name)))
		r.write(r.t, filepath.Join(r.cfg.CertDir, name), []byte(content))
	}
	r.mayKeep = []string{"kubelet.crt.orig", "kubelet.key.orig"}
}

// tree is every name below the node's folder with what it is, but for the lock, what cannot be read, and what a crash left for a sweep.
func (tr *troubled) tree(t *testing.T, but string) map[string]string {
	t.Helper()
	tree := map[string]string{}
	must(t, filepath.WalkDir(tr.top, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == but || path == tr.lockFile() || entry.IsDir() || durable.IsTemp(entry.Name()) {
			return err
		}
		what, linkErr := os.Readlink(path)
		if linkErr != nil {
			content, err := os.ReadFile(path)
			must(t, err)
			what = string(content)
		}
		tree[path] = what
		return nil
	}))
	return tree
}

// endures starts an agent that cannot read the file, now or a moment later, and lets it be for minutes; then it can.
func (tr *troubled) endures(t *testing.T, u unreadable, path string, atStart bool) {
	t.Helper()
	clock := testingclock.NewFakeClock(time.Now())
	tr.settler = newSettlerAt(t, tr.joiner, clock, func(op durable.Op) error { tr.joiner.expectSafe(op); return nil })
	tr.ctx = t.Context()
	begin := func() {
		must(t, tr.agent.open())
		t.Cleanup(func() { tr.agent.lock.Close() })
	}
	if !atStart {
		begin()
	}
	show := u.hide(t, tr.top, path)
	if atStart {
		begin()
	}
	before, asked := tr.tree(t, path), tr.api.names(tr.node)
	tr.rests(tr.settle())
	tr.agent.sweep(tr.agent.observe())
	for n := 0; clock.Since(tr.agent.started) < unreadLasts; n++ {
		if tr.rests(tr.nextAttempt()); n > 3*mostLooks {
			t.Fatalf("looks %d times within %s", n, clock.Since(tr.agent.started))
		}
	}
	if after := tr.tree(t, path); !maps.Equal(after, before) {
		t.Errorf("files were changed, though one of them could not be read:\n%v\nwas\n%v", paths(after), paths(before))
	}
	if now := tr.api.names(tr.node); len(now) != len(asked) {
		t.Errorf("asked for %q, though a file could not be read; before that there was %q", now, asked)
	}
	tr.expectUnreadSaid(t, u, path)
	show()
	for ended := clock.Now(); !tr.finished(); tr.rests(tr.nextAttempt()) {
		if clock.Since(ended) > 2*time.Minute || t.Failed() {
			t.Errorf("%s after the file can be read again the node has not what it should", clock.Since(ended))
			return
		}
	}
	tr.agent.tasks.Wait()
	for _, m := range []memory{tr.agent.client, tr.agent.serving} {
		if m.trouble != "" {
			t.Errorf("the files can be read again, and STATUS= may still say %q", m.trouble)
		}
	}
	tr.expectEnd(t)
}

// paths are the names in a tree; contents may be secret.
func paths(tree map[string]string) map[string]int {
	lengths := map[string]int{}
	for path, content := range tree {
		lengths[path] = len(content)
	}
	return lengths
}

// expectUnreadSaid shows that a line says which file cannot be read, why, and what to do.
func (tr *troubled) expectUnreadSaid(t *testing.T, u unreadable, path string) {
	t.Helper()
	said := 0
	for line := range strings.Lines(tr.log.String()) {
		if !strings.Contains(line, u.errno.Error()) {
			continue
		}
		said++
		names := strings.Contains(line, path) || strings.Contains(line, "/mem: ") || strings.Contains(line, "the file that tokenFile names")
		if !strings.Contains(line, "level=ERROR") && !strings.Contains(line, "level=WARN") || !names || !strings.Contains(line, durable.Remedy(u.errno)) {
			t.Errorf("says neither path nor remedy: %s", line)
		}
	}
	if said == 0 || said > mostLooks {
		t.Errorf("it is said %d times that %s cannot be read", said, path)
	}
}

// What cannot be seen is not gone: a file that cannot be read for a while is no reason to ask for anything, nor to put anything in its
// place.
func TestAFileThatCannotBeReadForAWhileIsNotTakenForMissing(t *testing.T) {
	t.Parallel()
	api := newAPIStandIn(t)
	api.validity = 24 * time.Hour
	runs, random := 0, sample.Random(t)
	for _, f := range founds(t) {
		for _, file := range f.files {
			if !soak() && random.IntN(2) > 0 {
				continue
			}
			sooner := random.IntN(2)
			for i, u := range unreadables {
				for _, atStart := range yesNo {
					if !soak() && atStart != (i == sooner) { // one at the start and one later
						continue
					}
					tr := newTroubled(t, api, fmt.Sprintf("unread-%d", runs), diskTrouble{writing: f.writing})
					path := file(tr)
					withoutPrivileges(t, func() { tr.endures(t, u, path, atStart) })
					tr.report(fmt.Sprintf("%s: %s of %s, at start %v", f.name, u.errno, path, atStart))
					os.RemoveAll(tr.top)
					runs++
				}
			}
		}
	}
	if runs == 0 {
		t.Error("nothing was tried")
	}
	t.Logf("%d runs", runs)
}

// A link that cannot be followed for a while does not make the pair that it leads to one that nothing needs.
func TestNothingIsSweptWhileItCannotBeToldWhatIsInUse(t *testing.T) {
	t.Parallel()
	tr := newTroubled(t, newAPIStandIn(t), "unswept", diskTrouble{writing: writing{before: (*recording).joined}})
	way := filepath.Join(tr.top, "way")
	must(t, os.Mkdir(way, 0o700))
	must(t, os.Symlink(tr.cfg.CertDir, filepath.Join(way, "pki")))
	kinds := []certdir.Kind{certdir.Client, certdir.Serving}
	for _, kind := range kinds {
		pair, err := tr.dir.Read(kind)
		must(t, err)
		must(t, os.Remove(tr.dir.Current(kind)))
		must(t, os.Symlink(filepath.Join(way, "pki", filepath.Base(pair.File)), tr.dir.Current(kind)))
	}
	before := tr.tree(t, "")
	for _, mode := range []fs.FileMode{0, 0o700} {
		must(t, os.Chmod(way, mode))
		withoutPrivileges(t, func() {
			if _, err := tr.dir.Sweep(kinds, 0, time.Now().Add(time.Hour)); (err == nil) != (mode != 0) {
				t.Errorf("with mode %o the sweep ends with %v", mode, err)
			}
		})
	}
	if after := tr.tree(t, ""); !maps.Equal(after, before) {
		t.Errorf("swept:\n%v\nof\n%v", paths(after), paths(before))
	}
}
