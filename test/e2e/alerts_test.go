package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// watchtower is a real Prometheus with the rules that we ship, on some agents of this machine.
type watchtower struct {
	t *testing.T
	*prometheus.Server
}

// alertsWait is how long a condition must hold before an alert fires: minutes for people, too long for a test.
var alertsWait = regexp.MustCompile(`(?m)^( +for: )\S+$`)

// watch starts a Prometheus that scrapes and judges three times a second, with alerts that wait for 2 s.
func watch(t *testing.T, jobs map[string]string) watchtower {
	t.Helper()
	rules, err := os.ReadFile("../../deploy/prometheus/alerts.yaml")
	must(t, err)
	if len(alertsWait.FindAll(rules, -1)) < 10 {
		t.Fatal("the rules do not say how long they wait in the form that is looked for here")
	}
	config := "global: {scrape_interval: 350ms, scrape_timeout: 350ms, evaluation_interval: 350ms}\nrule_files: [rules.yaml]\nscrape_configs:\n"
	for name, address := range jobs {
		config += fmt.Sprintf("- job_name: %s\n  static_configs: [{targets: [%q]}]\n", name, address)
	}
	return watchtower{t, prometheus.New(t, prometheus.Options{Config: config, Files: map[string][]byte{"rules.yaml": alertsWait.ReplaceAll(rules, []byte("${1}2s"))}})}
}

// state is how an alert on a target stands: pending, firing, or nothing. certificate is empty where the alert is not on one.
func (w watchtower) state(alert, instance, certificate string) string {
	w.t.Helper()
	alerts, err := w.Alerts(w.t.Context())
	must(w.t, err)
	at := slices.IndexFunc(alerts, func(a prometheus.Alert) bool {
		return a.Labels["alertname"] == alert && a.Labels["instance"] == instance && a.Labels["certificate"] == certificate
	})
	if at < 0 {
		return ""
	}
	return alerts[at].State
}

func (w watchtower) awaitState(alert, instance, certificate, wanted string) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%s on %s is %q", alert, instance, wanted), func() bool { return w.state(alert, instance, certificate) == wanted })
}

// firing are the alerts on a target.
func (w watchtower) firing(instance string) []string {
	w.t.Helper()
	alerts, err := w.Alerts(w.t.Context())
	must(w.t, err)
	var names []string
	for _, a := range alerts {
		if a.State == "firing" && a.Labels["instance"] == instance {
			names = append(names, a.Labels["alertname"])
		}
	}
	slices.Sort(names)
	return names
}

// TestTheAlertsThatWeShipFireForRealAgentsInTroubleAndEndWithIt has four nodes: one that is well, one whose serving certificate nobody
// approves, one that cannot be rid of its credential, and one that finds no API server.
func TestTheAlertsThatWeShipFireForRealAgentsInTroubleAndEndWithIt(t *testing.T) {
	t.Parallel()
	cp := shared(t)
	well, waiting, keeping, stuck := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	machine := aliveAt(t, "127.0.0.10:0")
	nodes := map[string]*node{}
	for name, address := range map[string]string{"well": well, "waiting": waiting, "keeping": keeping, "stuck": stuck} {
		n := newNode(t, cp)
		n.name += "-" + name
		n.flags = []string{"--hostname-override=" + n.name, "--node-ip=192.0.2.10", "--web.listen-address=" + address}
		nodes[name] = n
	}
	nodes["well"].bootstrap(nodes["well"].secretToken())
	nodes["well"].approveServing(0)
	nodes["waiting"].bootstrap(nodes["waiting"].secretToken())
	nodes["keeping"].bootstrap(nodes["keeping"].secretToken())
	nodes["keeping"].approveServing(0)
	second := nodes["keeping"].path("second") // a file with two names is not ours to delete
	must(t, os.Link(nodes["keeping"].bootstrapFile(), second))
	nodes["keeping"].keeps(second, nodes["keeping"].bootstrapFile())
	nodes["stuck"].bootstrapVia("https://"+freeAddress(t), nodes["stuck"].secretToken())

	w := watch(t, map[string]string{"bootstrap-agent": well, "waiting": waiting, "keeping": keeping, "stuck": stuck, "node": machine})
	daemons := map[string]*daemon{}
	for name, n := range nodes {
		daemons[name] = n.start()
	}
	w.awaitState("BootstrapAgentCSRPending", waiting, "serving", "pending")
	w.awaitState("BootstrapAgentCSRPending", waiting, "serving", "firing")
	w.awaitState("BootstrapAgentServingPlaceholder", waiting, "serving", "firing")
	w.awaitState("BootstrapAgentTokenPresent", keeping, "", "firing")
	w.awaitState("BootstrapAgentBootstrapStuck", stuck, "", "firing")
	w.awaitState("BootstrapAgentServingPlaceholder", stuck, "serving", "firing")
	// how often the stuck one has tried by now, so whether BootstrapAgentErrors fires too, is drawn
	w.expects(map[string][]string{well: nil, waiting: {"BootstrapAgentCSRPending", "BootstrapAgentServingPlaceholder"}, keeping: {"BootstrapAgentTokenPresent"}})

	nodes["waiting"].approve(csr.Serving)
	w.awaitState("BootstrapAgentCSRPending", waiting, "serving", "")
	w.awaitState("BootstrapAgentServingPlaceholder", waiting, "serving", "")
	must(t, os.Remove(second))
	must(t, os.RemoveAll(nodes["keeping"].bootstrapFile()))
	w.awaitState("BootstrapAgentTokenPresent", keeping, "", "")
	nodes["stuck"].bootstrap(nodes["stuck"].secretToken())
	w.awaitState("BootstrapAgentBootstrapStuck", stuck, "", "")
	request := nodes["stuck"].csr(csr.Serving)
	must(t, cp.Deny(t.Context(), request.Name, "Policy", "not in the list"))
	w.awaitState("BootstrapAgentCSRDenied", stuck, "serving", "firing")

	daemons["well"].stop()
	w.awaitState("BootstrapAgentDown", well, "", "pending")
	w.awaitState("BootstrapAgentDown", well, "", "firing")
}

// expects compares the alerts of each target that fire.
func (w watchtower) expects(firing map[string][]string) {
	w.t.Helper()
	for instance, want := range firing {
		if got := w.firing(instance); !slices.Equal(got, want) {
			w.t.Errorf("on %s fire %v, expected were %v", instance, got, want)
		}
	}
}

// aliveAt is something on this machine that Prometheus can scrape, as node_exporter is.
func aliveAt(t *testing.T, address string) string {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	must(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintln(w, "node_boot_time_seconds 1")
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return listener.Addr().String()
}
