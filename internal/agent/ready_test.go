package agent

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// thinker is an agent that decides and does nothing: it has no folder.
func thinker() *Agent {
	a := New(Options{Config: config.Default(), Clock: testingclock.NewFakeClock(noon), Log: slog.New(slog.DiscardHandler)})
	a.started = noon
	return a
}

func TestTheKubeletCanStartWhenAllThatItOpensIsOnTheDisk(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*status.Observed, *Agent)
		can    bool
	}{
		{"all is there", func(*status.Observed, *Agent) {}, true},
		{"a placeholder counts", func(o *status.Observed, _ *Agent) {
			o.Serving.Pair = pairFor("worker-1@bootstrap-agent-placeholder", time.Hour)
		}, true},
		{"a pair of the kubelet's own counts", func(o *status.Observed, _ *Agent) {
			o.Serving = status.Certificate{Adopted: pairFor("worker-1@1772366400", time.Hour)}
		}, true},
		{"expired certificates count: the kubelet starts with them", func(o *status.Observed, _ *Agent) {
			o.Client.Pair, o.Serving.Pair = pairFor(nodeUser, -time.Hour), pairFor(nodeUser, -time.Hour)
		}, true},
		{"no client pair", func(o *status.Observed, _ *Agent) { o.Client.Pair = nil }, false},
		{"no kubeconfig", func(o *status.Observed, _ *Agent) { o.Kubelet = nil }, false},
		{"no CA of its clients", func(o *status.Observed, _ *Agent) { o.ClientCA = nil }, false},
		{"no serving pair", func(o *status.Observed, _ *Agent) { o.Serving.Pair = nil }, false},
		{"a serving pair that it does not find", func(o *status.Observed, _ *Agent) { o.Serving.Linked = false }, false},
		{"no serving pair, which is the kubelet's affair", func(o *status.Observed, a *Agent) { o.Serving.Pair, a.cfg.Serving = nil, "off" }, true},
		{"another name now, and a credential for it", func(o *status.Observed, _ *Agent) { o.Node, o.Bootstrap = "worker-2", &kubeconfig.Bootstrap{} }, false},
		{"another name now, and nothing to get an identity with", func(o *status.Observed, _ *Agent) { o.Node = "worker-2" }, true},
	} {
		a, o := thinker(), member().o
		c.change(&o, a)
		if can := a.kubeletCanStart(o); can != c.can {
			t.Errorf("%s: %v", c.name, can)
		}
	}
}

func TestTheKubeletWaitsForItsFirstServingCertificateOnlyWhileThatMayComeSoon(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*status.Observed, *Agent)
		awaited bool
	}{
		{"the request is on its way", func(*status.Observed, *Agent) {}, true},
		{"the API server has just got it", func(_ *status.Observed, a *Agent) { a.serving.accepted = noon }, true},
		{"the API server has had it for almost --serving-wait", func(_ *status.Observed, a *Agent) { a.serving.accepted = noon.Add(-5*time.Second + 1) }, true},
		{"the API server has had it for --serving-wait", func(_ *status.Observed, a *Agent) { a.serving.accepted = noon.Add(-5 * time.Second) }, false},
		{"the placeholder is of an earlier start: the kubelet may have it", func(_ *status.Observed, a *Agent) { a.stages.placeholderMade = false }, false},
		{"it is there", func(o *status.Observed, _ *Agent) { o.Serving.Pair = pairFor(nodeUser, time.Hour) }, false},
		{"it was denied", func(_ *status.Observed, a *Agent) { a.serving.trouble = "denied" }, false},
		{"nobody knows the address", func(_ *status.Observed, a *Agent) { a.addresses.trouble = "no route" }, false},
		{"it is not to be waited for", func(_ *status.Observed, a *Agent) { a.cfg.ServingWait.Duration, a.serving.accepted = 0, noon }, false},
	} {
		a, o := thinker(), joined().o
		a.stages.placeholderMade = true
		c.change(&o, a)
		if awaited := a.servingAwaited(o); awaited != c.awaited {
			t.Errorf("%s: %v", c.name, awaited)
		}
	}
}

func TestReadyIsSaidAsSoonAsItIsTrueAndNeverLaterThanTheHold(t *testing.T) {
	const complete, nothing, hold = "everything that the kubelet needs is on the disk", "there is nothing to bootstrap with", "--start-hold is over"
	running := func(_ *status.Observed, a *Agent) { a.client.running = true }
	held := func(o *status.Observed, _ *Agent) { o.Now = noon.Add(2 * time.Minute) }
	both := func(first, second func(*status.Observed, *Agent)) func(*status.Observed, *Agent) {
		return func(o *status.Observed, a *Agent) { first(o, a); second(o, a) }
	}
	awaited := func(_ *status.Observed, a *Agent) { a.stages.placeholderMade = true }
	for _, c := range []struct {
		name   string
		from   func() *scene
		change func(*status.Observed, *Agent)
		why    string
	}{
		{"all is there", member, func(*status.Observed, *Agent) {}, complete},
		{"all is there and the hold is over", member, held, complete},
		{"a placeholder of this start", joined, awaited, ""},
		{"a placeholder of this start, and the hold is over", joined, both(awaited, held), hold},
		{"a credential that is to be used", newcomer, func(*status.Observed, *Agent) {}, ""},
		{"a credential in use", newcomer, running, ""},
		{"a credential in use, almost for as long as the hold", newcomer, func(o *status.Observed, _ *Agent) { o.Now = noon.Add(2*time.Minute - 1) }, ""},
		{"a credential in use, and the hold is over", newcomer, held, hold},
		{"no credential", newcomer, func(o *status.Observed, _ *Agent) { o.Bootstrap = nil }, nothing},
		{"the credential went while it was in use", newcomer, both(running, func(o *status.Observed, _ *Agent) { o.Bootstrap = nil }), ""},
		{"the certificate is issued and the credential gone", newcomer, func(o *status.Observed, _ *Agent) {
			o.Bootstrap, o.Client.Pending = nil, request(*newcomer().wish, issued)
		}, ""},
		{"a request of before, and no credential", newcomer, func(o *status.Observed, _ *Agent) {
			o.Bootstrap, o.Client.Pending = nil, request(*newcomer().wish, accepted)
		}, nothing},
		{"an identity without a kubeconfig, and no credential", member, func(o *status.Observed, _ *Agent) { o.Kubelet = nil }, nothing},
		{"an identity, and the serving pair could not be stored just now", member, func(o *status.Observed, _ *Agent) { o.Serving.Pair = nil }, ""},
		{"an identity, and the serving pair cannot be stored for as long as the hold", member, both(held, func(o *status.Observed, _ *Agent) { o.Serving.Pair = nil }), hold},
		{"an identity, and nothing says who may call the kubelet", member, func(o *status.Observed, _ *Agent) { o.ClientCA = nil }, nothing},
		{"another name now, and a credential", member, func(o *status.Observed, _ *Agent) { o.Node, o.Bootstrap = "worker-2", &kubeconfig.Bootstrap{} }, ""},
	} {
		a, o := thinker(), c.from().o
		c.change(&o, a)
		why, ready := a.readyWhy(o)
		if ready != (c.why != "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: ready %v (%s), expected %q", c.name, ready, why, c.why)
		}
	}
}

func TestTheVerdictOfRunOnce(t *testing.T) {
	pending := func(kind csr.Kind, changes ...func(*csr.Pending)) func(*status.Observed, *Agent) {
		return func(o *status.Observed, _ *Agent) {
			p := request(csr.Wish{Kind: kind, NodeName: "worker-1"}, changes...)
			if kind == csr.Client {
				o.Client.Pending = p
			} else {
				o.Serving.Pending = p
			}
		}
	}
	both := func(changes ...func(*status.Observed, *Agent)) func(*status.Observed, *Agent) {
		return func(o *status.Observed, a *Agent) {
			for _, change := range changes {
				change(o, a)
			}
		}
	}
	nothing := func(*status.Observed, *Agent) {}
	late := func(_ *status.Observed, a *Agent) { a.stages.completeAt = noon.Add(-5 * time.Second) }
	credential := func(o *status.Observed, _ *Agent) { o.Bootstrap = &kubeconfig.Bootstrap{Path: "/b"} }
	const open = -1
	for _, c := range []struct {
		name   string
		from   func() *scene
		change func(*status.Observed, *Agent)
		code   int
		says   string
	}{
		{"both certificates are there", member, nothing, 0, ""},
		{"the serving certificate is the kubelet's affair", joined, func(_ *status.Observed, a *Agent) { a.cfg.Serving = "off" }, 0, ""},
		{"the used credential is not deleted yet", member, credential, open, ""},
		{"the used credential cannot be deleted", member, both(credential, late), 0, ""},
		{"the end of a commit is missing", member, pending(csr.Client, issued), open, ""},
		{"a placeholder, and the request has just been sent", joined, pending(csr.Serving, accepted), open, ""},
		{"a placeholder, and nobody approves", joined, both(late, pending(csr.Serving, accepted)), 4, "kubectl certificate approve worker-1-kubelet-serving-"},
		{"a placeholder, approved late", joined, both(late, pending(csr.Serving, accepted), func(_ *status.Observed, a *Agent) { a.serving.accepted = noon.Add(-time.Second) }), open, ""},
		{"a placeholder, and the request was denied", joined, pending(csr.Serving, accepted, ended(csr.Denied, time.Second)), 4, "was denied"},
		{"a placeholder, and the request cannot be sent", joined, both(late, pending(csr.Serving), func(_ *status.Observed, a *Agent) { a.serving.trouble = "unreachable" }), 4, "unreachable"},
		{"a placeholder, and nobody knows the address", joined, both(late, func(_ *status.Observed, a *Agent) { a.addresses.trouble = "no route" }), 4, "no route"},
		{"a placeholder, and the request is still being sent", joined, late, open, ""},
		{"a placeholder, and no answer", joined, func(_ *status.Observed, a *Agent) { a.stages.completeAt = noon.Add(-10 * time.Second) }, 4, "no answer yet"},

		{"a credential, and nothing yet", newcomer, nothing, open, ""},
		{"a request under way", newcomer, both(pending(csr.Client, accepted), func(_ *status.Observed, a *Agent) { a.client.running = true }), open, ""},
		{"a bad credential", newcomer, func(o *status.Observed, _ *Agent) { o.Bootstrap, o.BootstrapErr = nil, errBad }, 2, "damaged"},
		{"no credential", newcomer, func(o *status.Observed, _ *Agent) { o.Bootstrap, o.BootstrapErr = nil, errNone }, 3, "put a bootstrap kubeconfig at"},
		{"nothing says who may call the kubelet", member, func(o *status.Observed, _ *Agent) { o.ClientCA = nil }, 3, "--kubelet-client-ca-file"},
		{"denied just now", newcomer, both(pending(csr.Client, ended(csr.Denied, 0)), func(_ *status.Observed, a *Agent) {
			a.client.ended, a.client.trouble = &csr.Ended{Outcome: csr.Denied}, "was denied"
		}), 3, "was denied"},
		{"denied before this start", newcomer, pending(csr.Client, ended(csr.Denied, time.Minute)), 3, "was denied"},
		{"denied long ago: a new request follows", newcomer, pending(csr.Client, ended(csr.Denied, time.Hour)), open, ""},
		{"deleted: the same is sent again", newcomer, func(_ *status.Observed, a *Agent) { a.client.ended = &csr.Ended{Outcome: csr.Deleted} }, open, ""},
		{"replaced: another follows at once", newcomer, pending(csr.Client, ended(csr.Replaced, 0)), open, ""},
		{"no answer in time", newcomer, func(_ *status.Observed, a *Agent) { a.started = noon.Add(-10 * time.Minute) }, 1, "no identity within 10m0s: no answer yet"},
		{"no approval in time", newcomer, both(pending(csr.Client, accepted), func(_ *status.Observed, a *Agent) {
			a.started, a.client.accepted = noon.Add(-10*time.Minute), noon.Add(-time.Minute)
		}), 1, "is not approved: kubectl certificate approve worker-1-kubelet-client-"},
		{"no name in time", newcomer, func(o *status.Observed, a *Agent) { a.started, o.NodeErr = noon.Add(-10*time.Minute), errBad }, 1, "damaged"},
		{"unreachable for as long as it may take", newcomer, func(_ *status.Observed, a *Agent) {
			a.started, a.client.trouble = noon.Add(-10*time.Minute), "unreachable"
		}, 1, "unreachable"},
		{"an identity, and the serving pair could not be stored just now", member, func(o *status.Observed, a *Agent) {
			o.Serving.Pair, a.serving.trouble = nil, "disk full"
		}, open, ""},
		{"an identity, and the serving pair cannot be stored for as long as it may take", member, func(o *status.Observed, a *Agent) {
			o.Serving.Pair, a.serving.trouble, a.started = nil, "disk full", noon.Add(-10*time.Minute)
		}, 1, "no serving pair within 10m0s: disk full"},
		{"a kubeconfig that was written and cannot be read", member, func(o *status.Observed, a *Agent) {
			o.Kubelet, o.KubeletErr, o.Bootstrap, a.started = nil, errBad, &kubeconfig.Bootstrap{}, noon.Add(-10*time.Minute)
		}, 1, "damaged"},
	} {
		a, o := thinker(), c.from().o
		a.cfg.Once, a.stages.completeAt = true, noon
		c.change(&o, a)
		done, err := a.verdict(o)
		code := open
		if done {
			code = 0
		}
		if exit := new(ExitError); errors.As(err, &exit) {
			code = exit.Code
		}
		if code != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d (%v), expected %d, %q", c.name, code, err, c.code, c.says)
		}
	}
}
