package agent

import (
	"bytes"
	"encoding/pem"
	"os"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// A certificate of which one byte has changed can often still be read, and nobody accepts it. It is not somebody else's new pair.
func TestACertificateOfWhichAByteHasChangedIsHealedAndNotAdopted(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	readable := 0
	for at := 0; at < 2000; at += 13 {
		s, _ := start(t, m, disk{client: "good", older: "missing", clientPending: "none", serving: "issued", servingPending: "none", kubeconfig: true}, durable.Disk{})
		before := s.agent.observe().Client.Pair
		block, rest := pem.Decode(before.PEM)
		if at >= len(block.Bytes) {
			s.close()
			break
		}
		block.Bytes[at] ^= 1
		rotten := append(pem.EncodeToMemory(block), rest...)
		must(t, os.WriteFile(before.File, rotten, 0o600))
		if _, err := certdir.ParsePair(rotten); err == nil {
			readable++
		}
		s.agent.observe()
		s.clock.Step(settlesIn)
		s.settle()
		if after := s.agent.observe().Client.Pair; after == nil || !bytes.Equal(after.PEM, before.PEM) {
			t.Errorf("byte %d: not healed", at)
		}
		s.close()
	}
	if readable < 5 {
		t.Errorf("only %d changes left it readable", readable)
	}
	t.Logf("%d changes left it readable", readable)
}

func TestAKubeletFindsItsServingPairWhateverARequestWaitsFor(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*memory){
		"a request is under way":      func(m *memory) { m.running = true },
		"the next attempt has a time": func(m *memory) { m.failure, m.retryAt = rotate.NoAnswer, noon.Add(time.Hour) },
	} {
		s := joined()
		s.o.Serving.Linked = false
		s.o.Serving.Pending = request(*s.wish, accepted)
		change(&s.m)
		if found := decideServing(s.o, s.m, s.joining, s.aim()); found != link {
			t.Errorf("%s: %q", name, found)
		}
	}
	s := joined()
	s.o.Serving.Linked = false
	s.m.failure, s.m.retryAt = rotate.LocalTrouble, noon.Add(time.Second)
	if found := decideServing(s.o, s.m, s.joining, s.aim()); found != waitRetry {
		t.Errorf("the disk is in trouble: %q", found)
	}
}

// An outage that ends before the certificate does must not cost it.
func TestNoPauseIsLongerThanATenthOfWhatIsLeftOfTheCertificate(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	for _, left := range []time.Duration{3 * time.Second, time.Minute, 10 * time.Minute, 30 * time.Minute} {
		s, _ := start(t, m, disk{client: "missing", older: "missing", clientPending: "none", serving: "missing", servingPending: "none"}, durable.Disk{})
		a := s.agent
		a.keep.client.pair = pairFor(nodeUser, left)
		for range 20 {
			a.retry(&a.client, rotate.NoAnswer, "unreachable", errBad, "")
			if wait := a.client.retryAt.Sub(noon); wait > max(left/10, time.Second) {
				t.Errorf("%s left: tried again after %s", left, wait)
			}
		}
		s.close()
	}
}
