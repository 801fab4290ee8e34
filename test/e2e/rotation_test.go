package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// rotationLife is what a certificate lives: it is followed by another after 45 to 54 s.
const rotationLife = 90 * time.Second

// TestBothCertificatesRotateAgainAndAgain watches an ordinary node for three minutes, or twenty, in which nothing goes wrong. It begins
// before the tests that run side by side, and takes the place of none of them while it only looks on.
func TestBothCertificatesRotateAgainAndAgain(t *testing.T) {
	cp, err := controlplane.Start(t.Context(), controlplane.Options{SigningDuration: rotationLife})
	must(t, err)
	t.Cleanup(cp.Stop)
	n := newNode(t, cp)
	n.program = plainProgram(t) // its memory is measured
	temporary := t.TempDir()
	n.through = []string{"/usr/bin/env", "TMPDIR=" + temporary}
	o := &onlooker{node: n, port: n.serve(), counted: newNode(t, cp), found: map[certdir.Kind][]sighting{}}
	n.flags = append(n.flags, "--kubelet-address="+o.port)
	o.daemon = n.joinAndStay()
	o.counted.name += "-inside"
	o.counted.flags = []string{"--hostname-override=" + o.counted.name, "--node-ip=192.0.2.11", "--kubelet-address=" + o.counted.serve()}
	inside := o.counted.joinInside()
	n.register()

	var took time.Duration
	code, ended := -1, make(chan struct{})
	go func() {
		defer close(ended)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), trialTime(3*time.Minute, 20*time.Minute))
		defer cancel()
		o.lookOn(ctx)
		o.awaitRest()
		took = time.Since(begin)
		code, _ = o.daemon.stop()
		inside.end()
	}()
	t.Parallel()
	<-ended

	t.Logf("%s, %d looks, each with kubectl, TLS and the files; %d client and %d serving certificates in use",
		took.Round(time.Second), o.looks, len(o.found[certdir.Client]), len(o.found[certdir.Serving]))
	if code != 0 || len(o.failed) > 0 {
		t.Errorf("the agent ended with %d; %d looks in vain, the first of them:\n%s", code, len(o.failed), strings.Join(o.failed[:min(5, len(o.failed))], "\n"))
	}
	o.assertRotated(took)
	o.assertNothingLeft(temporary)
	o.assertFlat()
	o.assertRequests()
	o.assertTalk()
}

// trialTime is how long a test goes on: longer with SOAK.
func trialTime(short, long time.Duration) time.Duration {
	if os.Getenv("SOAK") != "" {
		return long
	}
	return short
}

// joinAndStay has the node join and its agent stay.
func (n *node) joinAndStay() *daemon {
	n.t.Helper()
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	d := n.start()
	n.awaitJoined()
	n.awaitServing()
	return d
}

// joinInside is joinAndStay with an agent whose goroutines can be counted.
func (n *node) joinInside() hurriedDaemon {
	n.t.Helper()
	n.bootstrap(n.secretToken())
	n.approveServing(0)
	d := n.startCounted()
	n.awaitJoined()
	n.awaitServing()
	return d
}

// register makes the Node, as the kubelet would.
func (n *node) register() {
	n.t.Helper()
	_, err := n.cp.AdminClient().CoreV1().Nodes().Create(n.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}}, metav1.CreateOptions{})
	must(n.t, err)
}

// awaitRest looks on until nothing is under way, so that what was made can be counted.
func (o *onlooker) awaitRest() {
	o.t.Helper()
	for begin := time.Now(); o.pending(certdir.Client) != nil || o.pending(certdir.Serving) != nil; o.look() {
		if time.Since(begin) > 30*time.Second {
			o.t.Error("requests are under way without end")
			return
		}
	}
	o.look()
}

// assertRotated shows that each certificate was followed in time by the next one, and each by one request.
func (o *onlooker) assertRotated(took time.Duration) {
	o.t.Helper()
	least := max(3, int(took/(rotationLife*6/10+2*time.Second)))
	for kind, prefix := range map[csr.Kind]certdir.Kind{csr.Client: certdir.Client, csr.Serving: certdir.Serving} {
		found, issued, requests := o.found[prefix], 0, o.csrs(kind)
		for _, r := range requests {
			if len(r.Status.Certificate) > 0 {
				issued++
			}
		}
		if len(found)-1 < least || len(requests) != len(found) || issued != len(found) {
			o.t.Errorf("%s: %d certificates in use one after the other, %d requests, %d issued; expected at least %d and the same of each",
				kind, len(found), len(requests), issued, least+1)
		}
		var lasted []string
		for i := 1; i < len(found); i++ {
			passed := found[i].at.Sub(found[i-1].at).Round(100 * time.Millisecond) // between two looks, each up to a second or two late
			lasted = append(lasted, passed.String())
			if passed < rotationLife*5/10-2*time.Second || passed > rotationLife*6/10+3*time.Second {
				o.t.Errorf("%s: number %d came %s after the one before", kind, i+1, passed)
			}
		}
		o.t.Logf("%s: %d requests = %d issued; they were in use for %s", kind, len(requests), issued, strings.Join(lasted, ", "))
	}
}

// atRest returns what lies in the node's folder, and what is needed there: one older client pair too, for when the current one is
// damaged.
func (n *node) atRest() (files, expected []string) {
	n.t.Helper()
	expected = []string{
		"kubelet.kubeconfig", "pki", "pki/.bootstrap-agent.lock", "pki/kubelet-apiserver-ca.crt", "pki/kubelet-client-ca.crt",
		"pki/kubelet-client-current.pem", "pki/kubelet-server-current.pem", "pki/kubelet.crt", "pki/kubelet.key",
	}
	kept := n.certDir().Older(certdir.Client)
	for _, pair := range kept[:min(1, len(kept))] {
		expected = append(expected, strings.TrimPrefix(pair.File, n.dir+"/"))
	}
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		if file, err := filepath.EvalSymlinks(n.certDir().Current(kind)); err == nil {
			expected = append(expected, strings.TrimPrefix(file, n.dir+"/"))
		}
	}
	files = n.files()
	slices.Sort(expected)
	slices.Sort(files)
	return files, expected
}

// assertNothingLeft shows that the folders hold what is needed and nothing more.
func (o *onlooker) assertNothingLeft(temporary string) {
	o.t.Helper()
	if files, expected := o.atRest(); !slices.Equal(files, expected) {
		o.t.Errorf("the node's folder holds %q, expected %q", files, expected)
	}
	before := o.found[certdir.Client][max(0, len(o.found[certdir.Client])-2)]
	if older := o.certDir().Older(certdir.Client); len(older) != 1 || !older[0].Leaf.Equal(before.leaf) {
		o.t.Errorf("%d older client pairs are kept, expected the one before the current one", len(older))
	}
	left, err := os.ReadDir(temporary)
	must(o.t, err)
	if len(left) > 0 {
		o.t.Errorf("left in the folder for temporary files: %v", left)
	}
}

// assertTalk shows that there was no trouble, and that the kubelet's port was found to serve each new certificate.
func (o *onlooker) assertTalk() {
	o.t.Helper()
	warnings := map[string]int{}
	for line := range strings.Lines(o.daemon.log()) {
		if strings.Contains(line, "level=ERROR") {
			o.t.Errorf("an error: %s", line)
		}
		if _, message, ok := strings.Cut(line, "level=WARN msg="); ok {
			warnings[message[:min(len(message), 80)]]++
		}
	}
	served := strings.Count(o.daemon.log(), "the kubelet serves the new certificate")
	if served < len(o.found[certdir.Serving])-1 || served > len(o.found[certdir.Serving])+1 { // and perhaps the placeholder
		o.t.Errorf("%d times the kubelet's port was found to serve the new one of %d certificates", served, len(o.found[certdir.Serving]))
	}
	o.t.Logf("warnings: %v; %d times the kubelet's port was seen to serve the new certificate", fmt.Sprint(warnings), served)
}
