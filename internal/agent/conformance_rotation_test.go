package agent

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// The cases of client-go's TestRotateCertCreateCSRError and TestRotateCertWaitingForResultError, and every other end that a rotation can
// come to: the certificate in use stays, and what is asked next, and when, is the policy's. client-go asks with a new key each time.
func TestARotationThatComesToNothingLeavesTheCertificateInUseAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	for _, c := range []struct {
		name    string
		outcome csr.Outcome
		err     error
		// most is the longest that may pass until the next attempt; newKey: that is another request.
		most   time.Duration
		newKey bool
	}{
		{"the request cannot be created: not now", csr.Outcome{}, apierrors.NewInternalError(os.ErrDeadlineExceeded), time.Second, false},
		{"the request cannot be created: not by us", csr.Outcome{}, apierrors.NewForbidden(certificatesv1.Resource("certificatesigningrequests"), "it", nil), 30 * time.Second, false},
		{"the certificate is not accepted for asking", csr.Outcome{}, apierrors.NewUnauthorized("who are you?"), time.Second, false},
		{"waiting for the answer breaks off", csr.Outcome{}, context.DeadlineExceeded, time.Second, false},
		{"deleted while it waits", csr.Outcome{Result: csr.Deleted}, nil, time.Minute, false},
		{"denied", csr.Outcome{Result: csr.Denied}, nil, 15 * time.Minute, true},
		{"failed", csr.Outcome{Result: csr.Failed}, nil, 5 * time.Minute, true},
	} {
		s, on := start(t, m, disk{client: "good", older: "missing", clientPending: "none", serving: "issued", servingPending: "none", kubeconfig: true}, durable.Disk{})
		before := rememberDisk(t, on)
		s.clock.SetTime(noon.Add(52 * time.Minute)) // of an hour
		s.rests(s.settle())
		p := s.pending(t)
		if !p.AsNode || p.Wish.NodeName != "worker-1" {
			t.Fatalf("%s: %+v, expected a request by the node itself", c.name, p.Wish)
		}
		s.agent.client.abandon() // nobody answers there: the answer is the test's
		s.agent.client.succeed()
		s.agent.asked(&s.agent.client, c.outcome, c.err)
		after := s.pending(t)
		next := s.agent.client.retryAt
		if after.Ended != nil {
			next = nextKey(after)
		}
		if wait := next.Sub(s.clock.Now()); wait > c.most || (after.Ended != nil) != c.newKey || after.Name != p.Name {
			t.Errorf("%s: the next attempt comes after %s, ended %v, expected %s, %v", c.name, wait, after.Ended != nil, c.most, c.newKey)
		}
		if now := rememberDisk(t, on); now.client != before.client || now.kubeconfig != before.kubeconfig {
			t.Errorf("%s: the certificate in use or the kubeconfig has changed", c.name)
		}
		if o := s.agent.observe(); !o.HasIdentity() || o.Client.Pair.Leaf.Subject.CommonName != nodeUser {
			t.Errorf("%s: the node has no identity any more", c.name)
		}
		s.close()
	}
}

// The cases of client-go's TestStop and TestContext: whatever the agent waits for, it ends, and nothing that it has begun goes on.
func TestNothingOfAnAgentGoesOnAfterItsEnd(t *testing.T) {
	m := newMaterial(t) // whose API server cannot be reached
	for name, d := range map[string]disk{
		"waiting for a credential":      {client: "missing", clientPending: "none", serving: "missing", servingPending: "none"},
		"trying to reach an API server": {client: "missing", clientPending: "sent", serving: "missing", servingPending: "none", bootstrap: true},
		"with a certificate to rotate":  {client: "expired", clientPending: "none", serving: "expired", servingPending: "sent", kubeconfig: true},
		"with nothing to do":            {client: "good", clientPending: "none", serving: "issued", servingPending: "none", kubeconfig: true, servingOff: true},
	} {
		on := newMachine(t)
		m.furnish(t, on, d)
		ctx, cancel := context.WithCancel(t.Context())
		ended, said := make(chan error), make(chan string, 100)
		go func() {
			ended <- New(Options{Config: on.cfg, Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler), Notify: func(state string) { said <- state }}).Run(ctx)
		}()
		<-said
		begin := time.Now()
		cancel()
		if err := <-ended; err != nil || time.Since(begin) > 5*time.Second {
			t.Errorf("%s: ends after %s with %v", name, time.Since(begin), err)
		}
		if left := ours(); left != "" {
			t.Errorf("%s: this goes on after its end:\n%s", name, left)
		}
		if lock, err := on.dir.Lock("another"); err != nil {
			t.Errorf("%s: the cert-dir is still locked: %v", name, err)
		} else {
			lock.Close()
		}
		if _, err := on.dir.Read(certdir.Client); d.client == "good" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// ours are the stacks of goroutines that run code of the agent or wait for it, other than tests.
func ours() string {
	buffer := make([]byte, 1<<20)
	var left []string
	for until := time.Now().Add(2 * time.Second); time.Now().Before(until); time.Sleep(10 * time.Millisecond) {
		left = nil
		for stack := range strings.SplitSeq(string(buffer[:runtime.Stack(buffer, true)]), "\n\n") {
			if (strings.Contains(stack, "bootstrap-agent/internal/") || strings.Contains(stack, "fsnotify")) && !strings.Contains(stack, "testing.tRunner") {
				left = append(left, stack)
			}
		}
		if left == nil {
			break // a goroutine may end a moment after it was told to
		}
	}
	return strings.Join(left, "\n\n")
}
