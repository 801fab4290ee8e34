package e2e

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/faultproxy"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// chaos is a node on which everything goes wrong, and what was seen meanwhile.
type chaos struct {
	*node
	proxy   *faultproxy.Proxy
	signer  *x509.Certificate
	signers *x509.CertPool
	begin   time.Time
	// ctx ends the chaos, stop does that early.
	ctx  context.Context
	stop context.CancelFunc

	// agent, healed and slowestReady belong to the mishaps.
	agent        *daemon
	healed       map[string]int
	slowestReady time.Duration
	// looks, strays and longestStray belong to those who look on.
	looks        int
	strays       map[string]time.Time
	longestStray time.Duration

	mu         sync.Mutex
	seenAgent  *daemon
	hurt       string
	calm       time.Time
	counts     map[string]int
	gaps       map[string]time.Duration
	found      map[certdir.Kind][]sighting
	peak       int
	violations []string
}

// TestChaosCostsNoIdentityAndNoRequest has everything go wrong for CHAOS_DURATION (20m), in an order that the seed gives. That takes
// SOAK; otherwise it is only drawn.
func TestChaosCostsNoIdentityAndNoRequest(t *testing.T) {
	t.Parallel()
	if os.Getenv("SOAK") == "" {
		assertPlan(t)
		return
	}
	chance := sample.Random(t)
	duration, err := time.ParseDuration(cmp.Or(os.Getenv("CHAOS_DURATION"), "20m"))
	must(t, err)
	cp, err := controlplane.Start(t.Context(), controlplane.Options{SigningDuration: chaosLife})
	must(t, err)
	t.Cleanup(cp.Stop)
	c := &chaos{
		node: newNode(t, cp), signers: x509.NewCertPool(), begin: time.Now(), calm: time.Now(), ctx: t.Context(), stop: func() {},
		healed: map[string]int{}, strays: map[string]time.Time{}, counts: map[string]int{}, gaps: map[string]time.Duration{}, found: map[certdir.Kind][]sighting{},
	}
	block, _ := pem.Decode(cp.SignerCA())
	c.signer, err = x509.ParseCertificate(block.Bytes)
	must(t, err)
	c.signers.AddCert(c.signer)
	c.program = plainProgram(t)
	c.proxy = c.behind(t)
	outages, mishaps := rand.New(rand.NewPCG(chance.Uint64(), 0)), rand.New(rand.NewPCG(chance.Uint64(), 0)) //nolint:gosec // to be repeated
	inMounts(t, func() {
		c.smallDisk("size=256k")
		c.joinForChaos()
		c.ctx, c.stop = context.WithTimeout(t.Context(), duration)
		defer c.stop()
		beside := c.beside(func() { c.outagesInTurn(outages) }, c.lookOn, c.useOn)
		defer beside()
		c.mishapsInTurn(mishaps)
		beside()
		c.settle()
	})
	c.report()
}

// joinForChaos has the node join through the proxy. From then on there is no credential: what is lost stays lost.
func (c *chaos) joinForChaos() {
	c.t.Helper()
	c.flags = append(c.flags, "--kubelet-address="+freeAddress(c.t)) // no kubelet runs
	c.bootstrapVia(c.proxy.URL(), c.secretToken())
	c.approveServing(0)
	c.setAgent(c.start())
	c.awaitJoined()
	c.awaitServing()
	c.assertGone(c.bootstrapFile())
}

// beside runs what goes on beside the mishaps, with the same mounts, and returns how to end and wait for it.
func (c *chaos) beside(all ...func()) (end func()) {
	thread := unix.Gettid() // inMounts has it locked
	var running sync.WaitGroup
	for _, one := range all {
		running.Add(1)
		go func() {
			defer func() { select {} }() // see inMounts
			defer running.Done()
			runtime.LockOSThread()
			if err := enterMounts(thread); err != nil {
				c.violated("%v", err)
				return
			}
			one()
		}()
	}
	return func() {
		c.stop()
		running.Wait()
	}
}

// enterMounts gives this thread, which is locked and not used for anything else afterwards, the mounts of another one.
func enterMounts(thread int) error {
	ns, err := os.Open(fmt.Sprintf("/proc/self/task/%d/ns/mnt", thread))
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("setns: %w", err)
	}
	return nil
}

// pause waits, and says whether the chaos goes on.
func (c *chaos) pause(d time.Duration) bool {
	select {
	case <-c.ctx.Done():
	case <-time.After(d):
	}
	return c.ctx.Err() == nil
}

// settle shows that within a minute of the end everything is as it was at the begin, but for files that a sweep has yet to take.
func (c *chaos) settle() {
	c.t.Helper()
	ended := time.Now()
	var wrong []string
	for wrong = c.unsettled(); len(wrong) > 0 && time.Since(ended) < time.Minute; wrong = c.unsettled() {
		time.Sleep(100 * time.Millisecond)
	}
	if files, expected := c.atRest(); len(wrong) > 0 && !slices.Equal(files, expected) { // swept once a minute, a minute old
		c.count("files left to be swept")
		for ; len(wrong) > 0 && time.Since(ended) < strayKey; wrong = c.unsettled() {
			time.Sleep(100 * time.Millisecond)
		}
	}
	c.log("end", "settled after %s", time.Since(ended).Round(time.Millisecond))
	for _, w := range wrong {
		c.violated("a minute after the end: %s", w)
	}
	c.lookAtTotals()
	if r := c.run([]string{"status"}); r.code != 0 {
		c.violated("status ends with %d: %s", r.code, r.stdout)
	}
	if code, _ := c.agent.stop(); code != 0 {
		c.violated("on SIGTERM the agent ended with %d", code)
	}
}

// unsettled says what is not as it should be once there is peace.
func (c *chaos) unsettled() (wrong []string) {
	c.noteUsed()
	for concern, err := range c.wrong() {
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", concern, err))
		}
	}
	if statuses := c.agent.statuses(); !clean(statuses) {
		wrong = append(wrong, fmt.Sprintf("STATUS= is %q", statuses[max(0, len(statuses)-1):]))
	}
	if files, expected := c.atRest(); !slices.Equal(files, expected) {
		wrong = append(wrong, fmt.Sprintf("the node's folder holds %q, expected %q", files, expected))
	}
	return wrong
}

// lookAtTotals shows that every request has brought a certificate, and every certificate was used.
func (c *chaos) lookAtTotals() {
	c.t.Helper()
	for kind, prefix := range map[csr.Kind]certdir.Kind{csr.Client: certdir.Client, csr.Serving: certdir.Serving} {
		requests, issued := c.csrs(kind), 0
		for _, r := range requests {
			if len(r.Status.Certificate) > 0 {
				issued++
			}
		}
		used, lost := len(c.found[prefix]), c.getCount(lostRequest(kind))
		c.setCount(string(kind)+" requests", len(requests))
		c.setCount(string(kind)+" certificates issued", issued)
		c.setCount(string(kind)+" certificates used", used)
		if len(requests) != issued || issued < used || issued > used+lost {
			c.violated("%d %s requests, %d issued, %d used, %d lost with their file", len(requests), kind, issued, used, lost)
		}
	}
}

// report prints what happened, and fails the test if anything did that should not.
func (c *chaos) report() {
	c.t.Helper()
	var table strings.Builder
	for _, what := range sortedKeys(c.counts) {
		fmt.Fprintf(&table, "%6d  %s\n", c.counts[what], what)
	}
	for _, concern := range sortedKeys(c.gaps) {
		fmt.Fprintf(&table, "%6s  longest time without a %s\n", c.gaps[concern].Round(100*time.Millisecond), concern)
	}
	fmt.Fprintf(&table, "%6s  longest time that a private key lay where nothing needs it\n", c.longestStray.Round(time.Second))
	fmt.Fprintf(&table, "%6s  slowest READY\n", c.slowestReady.Round(10*time.Millisecond))
	fmt.Fprintf(&table, "%6.1f  MB peak memory\n%6d  looks at the files\n", float64(c.peak)/1024, c.looks)
	c.t.Logf("%s of chaos\n%s", time.Since(c.begin).Round(time.Second), table.String())
	if c.peak == 0 || c.peak > 40<<10 {
		c.violated("the agent grew to %d kB", c.peak)
	}
	for _, v := range c.violations {
		c.t.Error(v)
	}
}
