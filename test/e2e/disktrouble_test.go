package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// diskProofs are those of the group "the disk".
var diskProofs = map[string]proof{
	"disk-full":                    badDisk{options: "size=128k", begin: (*node).fill}.prove,
	"disk-out-of-inodes":           badDisk{options: "nr_inodes=32", begin: (*node).useUpInodes, midway: true}.prove,
	"disk-read-only":               badDisk{options: "size=1m", begin: (*node).readOnlyCertDir, midway: true}.prove,
	"disk-full-after-the-client":   proveFullAfterClient,
	"kubeconfig-folder-read-only":  badDisk{options: "size=1m", begin: (*node).readOnlyFolder}.prove,
	"bootstrap-folder-read-only":   proveBootstrapFolderReadOnly,
	"open-files-used-up":           processLimit{unix.RLIMIT_NOFILE}.prove,
	"file-size-limited":            processLimit{unix.RLIMIT_FSIZE}.prove,
	"files-unreadable-for-a-while": proveUnreadable,
}

func (n *node) readOnlyCertDir() func() { return n.readOnly(n.certDir().Path) }

// readOnlyFolder is that of both kubeconfigs. The cert-dir is a disk of its own.
func (n *node) readOnlyFolder() func() { return n.readOnly(n.dir) }

// badDisk is trouble with the file system of the cert-dir or of the kubeconfigs.
type badDisk struct {
	options string
	begin   func(*node) (end func())
	// midway: it begins while the daemon waits for its certificate.
	midway bool
}

func (b badDisk) prove(t *testing.T, row scenarios.Scenario) {
	inMounts(t, func() {
		once := b.node(t)
		b.begin(once)
		beside := once.start("--once", "--timeout=1s")

		n := b.node(t)
		n.approveServing(0)
		d, end := b.troubled(n)
		d.inTrouble(row)
		n.assertThere(n.bootstrapFile())
		end()
		n.overcomes(d, row)
		beside.endsIn(row)

		sight, _ := b.troubled(b.node(t)) // another one, for the looks make the pauses longer
		sight.awaitLog(row.Says)
		sight.showsSigns(row)
	})
}

// troubled starts a daemon that is in trouble until end is called.
func (b badDisk) troubled(n *node) (d *daemon, end func()) {
	n.t.Helper()
	if !b.midway {
		end = b.begin(n)
		return n.start(), end
	}
	d = n.start()
	d.awaitLog("the API server has the certificate signing request")
	end = b.begin(n)
	n.approve(csr.Client)
	return d, end
}

// node is one whose cert-dir is a disk of its own, with a credential whose requests somebody must approve if the trouble begins
// midway.
func (b badDisk) node(t *testing.T) *node {
	t.Helper()
	n := newNode(t, shared(t))
	n.keeps(n.bootstrapFile()) // what is deleted in there is not seen outside
	n.smallDisk(b.options)
	must(t, os.WriteFile(filepath.Join(n.certDir().Path, ".bootstrap-agent.lock"), nil, 0o600)) // of an earlier start
	if b.midway {
		n.bootstrap(n.staticToken(controlplane.Unapproved))
	} else {
		n.bootstrap(n.secretToken())
	}
	return n
}

// endsIn shows that run --once ends as the row says, and has kept the credential. A machine that is busy may need more runs to come as
// far as that.
func (d *daemon) endsIn(row scenarios.Scenario) {
	d.t.Helper()
	code, said := d.wait(), d.log()
	for runs := 0; !strings.Contains(said, row.Says) && runs < 10; runs++ {
		r := d.node.once("--timeout=1s")
		code, said = r.code, r.stderr
	}
	d.node.expect(result{code: code, stderr: said}, row.OnceExit, row.Says)
	d.node.assertThere(d.node.bootstrapFile())
}

// refusals are the kernel's errors that the rows are about.
var refusals = []syscall.Errno{syscall.ENOSPC, syscall.EROFS, syscall.EMFILE, syscall.EFBIG}

// inTrouble shows that the daemon says what is wrong and what to do, stays, and does not hurry.
func (d *daemon) inTrouble(row scenarios.Scenario) {
	d.t.Helper()
	d.awaitLog(row.Says)
	since := time.Now()
	before := strings.Count(d.log(), row.Says)
	time.Sleep(time.Second)
	if attempts := strings.Count(d.log(), row.Says) - before; float64(attempts) > 3+2*time.Since(since).Seconds() {
		d.t.Errorf("%d more attempts within %s", attempts, time.Since(since))
	}
	i := slices.IndexFunc(refusals, func(errno syscall.Errno) bool { return errno.Error() == row.Says })
	for line := range strings.Lines(d.log()) {
		if strings.Contains(line, "level=ERROR") && strings.Contains(line, row.Says) && !strings.Contains(line, durable.Remedy(refusals[i])) {
			d.t.Errorf("says no remedy: %s", line)
		}
	}
	if !d.running() {
		d.t.Fatal("the daemon has ended")
	}
}

// overcomes shows that the node joins by itself now, with the one request of each kind.
func (n *node) overcomes(d *daemon, row scenarios.Scenario) {
	n.t.Helper()
	n.awaitJoined()
	n.awaitServing()
	n.awaitRid()
	n.csr(csr.Client)
	n.csr(csr.Serving)
	d.shows(row, scenarios.GoesOn)
	n.assertNoSecretLeft()
}

func proveFullAfterClient(t *testing.T, row scenarios.Scenario) {
	inMounts(t, func() {
		n := newNode(t, shared(t))
		n.keeps(n.bootstrapFile())
		n.smallDisk("size=128k")
		n.bootstrap(n.secretToken())
		n.expect(n.once("--serving-wait=0s"), 4)
		n.assertJoined()
		empty := n.fill()
		n.approve(csr.Serving)
		n.expect(n.once("--serving-wait=1s"), row.OnceExit, row.Says)
		d := n.start()
		d.awaitLog(row.Says)
		d.showsSigns(row)
		d.kill() // the looks make the pauses longer
		d = n.start()
		d.inTrouble(row)
		n.assertJoined()
		empty()
		n.overcomes(d, row)
	})
}

// The credential is used and proved useless; only its file cannot go.
func proveBootstrapFolderReadOnly(t *testing.T, row scenarios.Scenario) {
	inMounts(t, func() {
		n := newNode(t, shared(t))
		n.bootstrap(n.secretToken())
		must(t, os.Mkdir(n.path("boot"), 0o755))
		file := n.path("boot", "bootstrap.kubeconfig")
		n.keeps(file)
		must(t, os.Rename(n.bootstrapFile(), file))
		n.flags = append(n.flags, "--bootstrap-kubeconfig="+file)
		n.approveServing(0)
		writable := n.readOnly(n.path("boot"))
		r := n.once()
		n.expect(r, row.OnceExit, row.Says, "read-only file system", file)
		n.assertThere(file)
		n.expect(n.run([]string{"status"}), 4, file)
		n.assertJoined()
		d := n.start()
		d.awaitLog(row.Says)
		d.awaitStatus("read-only file system")
		d.saidOnce(row.Says)
		d.shows(row, scenarios.GoesOn)
		d.showsSigns(row)
		writable()
		d.stop() // or an hour later: internal/agent's tests have a clock for that
		n.start()
		eventually(t, "the credential is deleted", func() bool { _, err := os.Lstat(file); return os.IsNotExist(err) })
		n.csr(csr.Client)
		n.csr(csr.Serving)
	})
}

// processLimit is the kernel's for a running process.
type processLimit struct{ resource int }

func (l processLimit) prove(t *testing.T, row scenarios.Scenario) {
	var daemons []*daemon
	var lifts []func()
	for _, args := range [][]string{{"--once", "--timeout=5s"}, nil, nil} {
		n := newNode(t, shared(t))
		n.bootstrap(n.staticToken(controlplane.Unapproved))
		n.approveServing(0)
		d := n.start(args...)
		d.awaitLog("the API server has the certificate signing request")
		lifts = append(lifts, d.limited(l.resource))
		n.approve(csr.Client)
		daemons = append(daemons, d)
	}
	once, d, sight := daemons[0], daemons[1], daemons[2] // the last to be looked at, which makes the pauses longer
	once.node.keeps(once.node.bootstrapFile())
	sight.node.keeps(sight.node.bootstrapFile())
	d.inTrouble(row)
	d.node.assertThere(d.node.bootstrapFile())
	lifts[1]()
	d.node.overcomes(d, row)
	once.endsIn(row)
	sight.awaitLog(row.Says)
	sight.showsSigns(row)
}

// limited takes from the running daemon all of a resource, until it is given back.
func (d *daemon) limited(resource int) (lift func()) {
	d.t.Helper()
	var before unix.Rlimit
	must(d.t, unix.Prlimit(d.cmd.Process.Pid, resource, nil, &before))
	none := before
	none.Cur = 0
	must(d.t, unix.Prlimit(d.cmd.Process.Pid, resource, &none, nil))
	return func() { must(d.t, unix.Prlimit(d.cmd.Process.Pid, resource, &before, nil)) }
}

// A node that has everything, whose agent can read nothing of it for a while, keeps it.
func proveUnreadable(t *testing.T, row scenarios.Scenario) {
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	n.expect(n.once(), row.OnceExit)
	client, served, before := n.pairFile(certdir.Client), n.pairFile(certdir.Serving), n.files()
	d := n.start()
	d.awaitStatus("valid until")
	n.bootstrap(n.secretToken()) // or it would have nothing to ask with
	lift := d.limited(unix.RLIMIT_NOFILE)
	must(t, os.Chtimes(n.certDir().Path, time.Now(), time.Now())) // a reason to look
	d.inTrouble(row)
	d.showsSigns(row)
	lift()
	must(t, os.Chtimes(n.certDir().Path, time.Now(), time.Now())) // another one
	n.awaitRid()
	d.awaitStatus("valid until")
	if n.pairFile(certdir.Client) != client || n.pairFile(certdir.Serving) != served {
		t.Error("a pair was replaced")
	}
	if after := n.files(); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("the files are %q, and were %q", after, before)
	}
	n.csr(csr.Client)
	n.csr(csr.Serving)
	d.shows(row, scenarios.GoesOn)
}

// pairFile is what a current link leads to.
func (n *node) pairFile(kind certdir.Kind) string {
	n.t.Helper()
	file, err := filepath.EvalSymlinks(n.certDir().Current(kind))
	must(n.t, err)
	return file
}
