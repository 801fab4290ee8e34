package agent

import (
	"strings"
	"syscall"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// Whoever is to approve the request is told its name only when the API server is known to have it.
func TestARequestOfWhichItCannotBeStoredThatItWasAcceptedIsSentAgain(t *testing.T) {
	t.Parallel()
	s, p := asking(t, newMaterial(t), "fresh", nil)
	a := s.agent
	object := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{Name: p.Name, UID: "uid"}}
	waits := func() {
		a.client.running, a.client.cancel = true, func() {}
		a.accepted(&a.client, object)
	}
	a.dir.Disk = durable.Disk{Before: func(durable.Op) error { return syscall.ENOSPC }}
	for failures := 1; failures < 5; failures++ {
		if waits(); a.client.running || a.client.failures != failures || !a.client.retryAt.After(s.clock.Now()) {
			t.Errorf("after %d failures: still waits %v, %d failures, again at %s", failures, a.client.running, a.client.failures, a.client.retryAt)
		}
		s.clock.SetTime(a.client.retryAt)
	}
	if line := a.clientLine(a.observe()); !strings.Contains(line.text, syscall.ENOSPC.Error()) || !strings.Contains(line.text, durable.Remedy(syscall.ENOSPC)) {
		t.Errorf("STATUS= says %q", line.text)
	}
	a.dir.Disk = durable.Disk{}
	if waits(); !a.client.running || a.client.trouble != "" || s.pending(t).UID != "uid" {
		t.Errorf("the disk is mended: waits %v, trouble %q, uid %q", a.client.running, a.client.trouble, s.pending(t).UID)
	}
}

// Neither a changed configuration nor the end of a request makes the attempts on a disk in trouble more frequent.
func TestANewRequestWaitsForTheDiskToo(t *testing.T) {
	for name, change := range map[string]func(*csr.Pending){
		"another wish": func(p *csr.Pending) { otherWish(p); earlier(p) },
		"a denied one": ended(csr.Denied, 24*time.Hour),
	} {
		s := newcomer()
		s.o.Client.Pending = request(*s.wish, change)
		m := memory{failure: rotate.LocalTrouble, retryAt: noon.Add(time.Second)}
		if next := decideClient(s.o, m, s.aim()); next != waitRetry {
			t.Errorf("%s: next %q, expected %q", name, next, waitRetry)
		}
		m.retryAt = noon
		if next := decideClient(s.o, m, s.aim()); next != giveUp && next != makePending {
			t.Errorf("%s: next %q when the pause is over", name, next)
		}
	}
}
