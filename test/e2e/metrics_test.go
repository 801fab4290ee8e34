package e2e

import (
	"net/http"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// walk is a node on its way through what can happen to it, with a real Prometheus that looks on.
type walk struct {
	eyes
	n *node
}

// Every series is there from the first scrape, moves when it should, and no other is there at the end.
func TestARealPrometheusSeesANodeJoinRotateAndGetIntoTrouble(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	e := eyesOn(t, nil, job{name: "node", address: address})
	w := walk{e, newNode(t, own(t))}
	w.n.flags = append(w.n.flags, "--web.listen-address="+address)
	w.n.start()
	w.seesNothingYet()
	w.seesTheClientCertificateWaitForApproval()
	w.seesTheServingCertificateWaitForApproval()
	w.seesRotations()
	w.seesADenial()
	w.seesAnOutage()
	w.assertAll("node", "bootstrap_agent_")
	status, page := w.n.fetch("http://" + address + "/metrics")
	if err := prometheus.CheckMetrics(t.Context(), page); err != nil || status != http.StatusOK {
		t.Errorf("promtool check metrics: %d, %v", status, err)
	}
	for _, series := range []string{"kubelet_certificate_manager_client_ttl_seconds", "go_goroutines"} {
		if found, err := w.Query(t.Context(), series); err != nil || len(found) > 0 {
			t.Errorf("%s, which nobody asked for, is %v (%v)", series, found, err)
		}
	}
}

func (w walk) seesNothingYet() {
	w.see("ready", 0)
	w.assertAll("node", "bootstrap_agent_")
	for _, rest := range []string{
		`certificate_expiration_timestamp_seconds{certificate="client"}`, `certificate_expiration_timestamp_seconds{certificate="serving"}`,
		`certificate_signing_request_pending_timestamp_seconds{certificate="client"}`, "bootstrap_token_present",
		`last_rotation_success_timestamp_seconds{certificate="client"}`,
	} {
		w.see(rest, 0)
	}
	w.seeOne("the process is seen", "process_resident_memory_bytes > 1e6 and process_cpu_seconds_total > 0")
}

func (w walk) seesTheClientCertificateWaitForApproval() {
	w.n.bootstrap(w.n.staticToken(controlplane.Unapproved))
	w.seeTime(`certificate_signing_request_pending_timestamp_seconds{certificate="client"}`, w.n.csr(csr.Client).CreationTimestamp.Time)
	w.see("bootstrap_token_present", 1)
	w.see(`certificate_signing_requests_total{certificate="client",result="created"}`, 1)
	w.see("ready", 0)
	w.see("clock_skew_seconds", 0)

	w.n.approve(csr.Client)
	w.n.awaitJoined()
	w.see(`certificate_signing_requests_total{certificate="client",result="issued"}`, 1)
	w.seesCertificate(certdir.Client)
	w.see(`certificate_signing_request_pending_timestamp_seconds{certificate="client"}`, 0)
	w.see(`certificate_signing_request_duration_seconds_count{certificate="client"}`, 1)
	w.see(`certificate_signing_request_duration_seconds_bucket{certificate="client",le="+Inf"}`, 1)
	w.seeThat("the wait is above 0 and below a minute", `certificate_signing_request_duration_seconds_sum{certificate="client"}`,
		func(s float64) bool { return s >= 0 && s < 60 })
	w.see("bootstrap_token_present", 0)
	w.see("ready", 1)
	w.see(`rotations_total{certificate="client",result="success"}`, 0) // there was nothing to replace
	// POST, WATCH, and POST for the proof; more for the serving certificate's request
	w.seeThat("requests were answered", `api_requests_total{verb="POST",code="201"}`, func(n float64) bool { return n >= 2 })
	w.seeThat("requests were answered", `api_requests_total{verb="WATCH",code="200"}`, func(n float64) bool { return n >= 1 })
}

// seesCertificate: the times are those of the certificate on the disk.
func (w walk) seesCertificate(kind certdir.Kind) {
	w.t.Helper()
	label := map[certdir.Kind]string{certdir.Client: `{certificate="client"}`, certdir.Serving: `{certificate="serving"}`}[kind]
	pair, err := w.n.certDir().Read(kind)
	must(w.t, err)
	w.seeTime("certificate_expiration_timestamp_seconds"+label, pair.Leaf.NotAfter)
	w.seeTime("certificate_not_before_timestamp_seconds"+label, pair.Leaf.NotBefore)
	w.seeTime("last_rotation_success_timestamp_seconds"+label, pair.ModTime)
	w.see("certificate_self_signed"+label, 0)
	w.see("certificate_short_lived"+label, 0)
	w.seeThat("the rotation is planned before the expiry", "certificate_rotation_timestamp_seconds"+label,
		func(at float64) bool {
			return at > float64(pair.ModTime.Unix()) && at < float64(pair.Leaf.NotAfter.Unix())
		})
}

func (w walk) seesTheServingCertificateWaitForApproval() {
	w.see(`certificate_self_signed{certificate="serving"}`, 1)
	w.seeTime(`certificate_signing_request_pending_timestamp_seconds{certificate="serving"}`, w.n.csr(csr.Serving).CreationTimestamp.Time)
	w.see(`last_rotation_success_timestamp_seconds{certificate="serving"}`, 0)
	w.see("ready", 1)
	w.n.approve(csr.Serving)
	w.see(`certificate_self_signed{certificate="serving"}`, 0)
	w.seesCertificate(certdir.Serving)
	w.see(`certificate_signing_request_pending_timestamp_seconds{certificate="serving"}`, 0)
	w.see(`certificate_signing_request_duration_seconds_count{certificate="serving"}`, 1)
	w.see(`rotations_total{certificate="serving",result="success"}`, 0)
}

func (w walk) seesRotations() {
	for _, c := range []struct {
		kind  csr.Kind
		files certdir.Kind
	}{{csr.Client, certdir.Client}, {csr.Serving, certdir.Serving}} {
		label := `certificate="` + string(c.kind) + `"`
		w.n.age(c.files)
		w.seesCertificate(c.files)
		before := w.n.serial(c.files)
		w.n.expect(w.n.rotate(string(c.kind)), 0)
		if c.kind == csr.Serving { // the other is approved by itself
			must(w.t, w.n.cp.Approve(w.t.Context(), w.n.requested(c.files)))
		}
		w.n.awaitRotated(c.kind, c.files, before, 2)
		w.see(`rotations_total{`+label+`,result="success"}`, 1)
		w.see(`certificate_signing_requests_total{`+label+`,result="issued"}`, 2)
		w.see(`certificate_signing_request_duration_seconds_count{`+label+`}`, 2)
		w.seesCertificate(c.files)
	}
	w.see(`rotations_total{certificate="client",result="success"}`, 1)
}

// requested waits until the API server has the request under way, and returns its name.
func (n *node) requested(kind certdir.Kind) string {
	n.t.Helper()
	var name string
	eventually(n.t, "a request is under way", func() bool {
		p := n.pending(kind)
		if p != nil && p.UID != "" && p.Ended == nil {
			name = p.Name
		}
		return name != ""
	})
	return name
}

func (w walk) seesADenial() {
	w.n.age(certdir.Serving)
	w.n.expect(w.n.rotate("serving"), 0)
	must(w.t, w.n.cp.Deny(w.t.Context(), w.n.requested(certdir.Serving), "Because", "of this"))
	w.see(`certificate_signing_requests_total{certificate="serving",result="denied"}`, 1)
	w.see(`errors_total{phase="serving",reason="denied"}`, 1)
	w.see(`rotations_total{certificate="serving",result="failure"}`, 1)
	w.see(`certificate_signing_request_pending_timestamp_seconds{certificate="serving"}`, 0)
	w.see(`rotations_total{certificate="serving",result="success"}`, 1)
	w.see("ready", 1)
}

func (w walk) seesAnOutage() {
	must(w.t, w.n.cp.StopAPIServer())
	w.n.age(certdir.Client)
	before := w.n.serial(certdir.Client)
	w.n.expect(w.n.rotate("client"), 0)
	w.seeThat("the API server is not reached", `errors_total{phase="client",reason="unreachable"}`, func(n float64) bool { return n >= 1 })
	w.seeThat("requests are not answered", `api_requests_total{verb="POST",code="none"}`, func(n float64) bool { return n >= 1 })
	w.see("ready", 1) // the identity is as good as it was
	w.see(`rotations_total{certificate="client",result="success"}`, 1)
	must(w.t, w.n.cp.StartAPIServer(w.t.Context()))
	w.n.awaitRotated(csr.Client, certdir.Client, before, 3)
	w.see(`rotations_total{certificate="client",result="success"}`, 2)
	w.seesCertificate(certdir.Client)
}
