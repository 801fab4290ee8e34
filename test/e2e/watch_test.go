package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

func proveAPIServerRestarted(t *testing.T, row scenarios.Scenario) {
	cp := own(t)
	n, once := newNode(t, cp), newNode(t, cp)
	proxy := n.behind(t) // as a load balancer that asks /readyz: the API server answers 403 while it starts
	for _, each := range []*node{n, once} {
		each.bootstrapVia(proxy.URL(), each.staticToken(controlplane.Unapproved))
	}
	once.approveServing(0)
	d := n.start()
	r := once.meanwhile(func() {
		for _, each := range []*node{n, once} {
			each.expectVerbs(csr.Client, "create", "watch")
		}
		once.secretToken() // something else is stored, so that the requests are older than all that the API server will remember
		proxy.Down()
		must(t, cp.RestartAPIServer(t.Context()))
		restarted := time.Now()
		proxy.Pass()
		d.showsSigns(row)
		for _, each := range []*node{n, once} {
			eventually(t, "a watch that lasts", func() bool { return watchLasts(each, restarted, 2*time.Second) })
			each.approve(csr.Client)
		}
	})
	once.expect(r, row.OnceExit, row.Says)
	n.awaitJoined()
	for _, each := range []*node{n, once} {
		each.csr(csr.Client)
		verbs := each.verbs(csr.Client)
		if count(verbs, "create") != 1 || count(verbs, "watch") > 4 {
			t.Errorf("waiting through a restart of the API server took %v", verbs)
		}
		assertApart(t, "watch", watchTimes(each.asked(csr.Client)), 950*time.Millisecond)
	}
	d.shows(row, scenarios.GoesOn)
}

// watchLasts says whether a watch for the client's request began after a time and goes on since a while.
func watchLasts(n *node, after time.Time, since time.Duration) bool {
	requests := n.asked(csr.Client)
	last := requests[len(requests)-1]
	return last.Verb == "watch" && !last.Complete && last.Time.After(after) && time.Since(last.Time) > since
}

func watchTimes(requests []controlplane.Request) []time.Time {
	var times []time.Time
	for _, r := range requests {
		if r.Verb == "watch" {
			times = append(times, r.Time)
		}
	}
	return times
}

// assertApart shows that between any two consecutive times lies at least the first distance, the second, …; the last one counts
// for all that follow.
func assertApart(t *testing.T, what string, times []time.Time, distances ...time.Duration) {
	t.Helper()
	for i := range len(times) - 1 {
		least := distances[min(i, len(distances)-1)]
		if apart := times[i+1].Sub(times[i]); apart < least {
			t.Errorf("%s %d and %d are %s apart, expected at least %s", what, i+1, i+2, apart, least)
		}
	}
}

func proveWatchForbidden(t *testing.T, row scenarios.Scenario) {
	once := newNode(t, shared(t))
	once.bootstrap(once.staticToken(controlplane.NoWatchApproved))
	once.approveServing(0)
	once.expect(once.once(), row.OnceExit, row.Says, "system:node-bootstrapper")
	once.assertJoined()
	once.csr(csr.Client)

	n := newNode(t, shared(t))
	n.bootstrap(n.staticToken(controlplane.NoWatch))
	d := n.start()
	d.awaitLog(row.Says)
	d.awaitStatus("kubectl certificate approve " + n.csr(csr.Client).Name)
	eventually(t, "it is read", func() bool { return len(n.verbs(csr.Client)) > 2 })
	d.showsSigns(row)
	n.approve(csr.Client)
	n.awaitJoined()
	requests := n.asked(csr.Client)
	if verbs := strings.Join(n.verbs(csr.Client), " "); !strings.HasPrefix(verbs, "create watch get get") || strings.Count(verbs, "get") != len(requests)-2 {
		t.Errorf("the request took %s, expected create, watch, and two times get or, when the approval takes longer, more", verbs)
	}
	var readings []time.Time
	for _, r := range requests[1:] {
		readings = append(readings, r.Time)
	}
	assertApart(t, "reading", readings, 2*time.Second, 4*time.Second)
	d.saidOnce(row.Says)
	d.shows(row, scenarios.GoesOn)
}

func proveWatchEndedAtOnce(t *testing.T, row scenarios.Scenario) {
	once := newNode(t, shared(t))
	endWatches(t, once)
	once.approveServing(0)
	r := once.meanwhile(func() { once.approve(csr.Client) })
	once.expect(r, row.OnceExit, row.Says)
	once.csr(csr.Client)

	n := newNode(t, shared(t))
	watches := endWatches(t, n)
	d := n.start()
	name := n.csr(csr.Client).Name
	d.awaitStatus("kubectl certificate approve " + name)
	eventually(t, "four watches", func() bool { return len(watches()) >= 4 })
	assertApart(t, "watch", watches(), time.Second)
	verbs := n.verbs(csr.Client)
	if count(verbs, "create") != 1 || count(verbs, "get") > len(watches())+1 {
		t.Errorf("%d watches took the requests %v", len(watches()), verbs)
	}
	d.showsSigns(row)
	n.approve(csr.Client)
	n.awaitJoined()
	n.same(csr.Client, name)
	d.shows(row, scenarios.GoesOn)
}

// endWatches bootstraps the node through something that ends every watch as soon as it has begun. It is out of the way once the
// node has its certificate, which cannot pass through it. The function returns when watches came.
func endWatches(t *testing.T, n *node) (watches func() []time.Time) {
	t.Helper()
	proxy := n.behind(t)
	certificate, err := n.cp.ServingCertificate(controlplane.ServingOptions{})
	must(t, err)
	forward, err := proxy.Forward(n.cp.CA())
	must(t, err)
	recording := proxy.Handler(certificate, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Query().Get("watch") == "true":
			w.Header().Set("Content-Type", "application/json")
		case strings.HasSuffix(r.URL.Path, "selfsubjectreviews"):
			proxy.Pass()
		default:
			forward.ServeHTTP(w, r)
		}
	}))
	n.bootstrapVia(proxy.URL(), n.staticToken(controlplane.Unapproved))
	return func() []time.Time {
		var times []time.Time
		for _, r := range recording.Requests() {
			if strings.Contains(r.Query, "watch=true") {
				times = append(times, r.Time)
			}
		}
		return times
	}
}
