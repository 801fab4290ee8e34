package e2e

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// seen is what scripts read of the JSON form; the names are a promise.
type seen struct {
	Level        string `json:"level"`
	Node         string `json:"node"`
	Server       string `json:"server"`
	Certificates []struct {
		Certificate string   `json:"certificate"`
		State       string   `json:"state"`
		Subject     string   `json:"subject"`
		DNSNames    []string `json:"dnsNames"`
		IPAddresses []string `json:"ipAddresses"`
		NotAfter    string   `json:"notAfter"`
		RotateAt    string   `json:"rotateAt"`
		Pending     *struct {
			Name    string `json:"name"`
			Since   string `json:"since"`
			Approve string `json:"approve"`
		} `json:"pending"`
	} `json:"certificates"`
	BootstrapSecrets []string `json:"bootstrapSecrets"`
	Findings         []struct {
		Level, Text, Remedy, Command string
	} `json:"findings"`
}

// status runs the status command in both forms, which must agree on the exit code, and checks what is always so.
func (n *node) status(code int, level string, states ...string) (s seen, text string) {
	n.t.Helper()
	r := n.run([]string{"status", "-o", "json"})
	n.expect(r, code)
	must(n.t, json.Unmarshal([]byte(r.stdout), &s))
	if s.Level != level || s.Node != n.name {
		n.t.Errorf("status is %s of node %s, expected %s of %s", s.Level, s.Node, level, n.name)
	}
	var found []string
	for _, c := range s.Certificates {
		found = append(found, c.State)
	}
	if !reflect.DeepEqual(found, states) {
		n.t.Errorf("client and serving certificate are %q, expected %q", found, states)
	}
	if (code == 0) != (len(s.Findings) == 0) {
		n.t.Errorf("exit code %d with the findings %v", code, s.Findings)
	}
	r = n.run([]string{"status"})
	n.expect(r, code, n.name, level, states[0])
	return s, r.stdout
}

func TestStatusSaysWhatIsThereAndWhatIsMissing(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	s, text := n.status(3, "broken", "missing", "missing")
	says(t, text, "put a bootstrap kubeconfig at "+n.bootstrapFile())
	expectFiles(t, s.BootstrapSecrets)

	n.bootstrap(n.staticToken(controlplane.Unapproved))
	s, text = n.status(1, "waiting", "missing", "missing")
	says(t, text, "the node has no client certificate yet", n.bootstrapFile())
	expectFiles(t, s.BootstrapSecrets, n.bootstrapFile())

	n.expect(n.once("--timeout=3s"), 1)
	approve := "kubectl certificate approve " + n.csr(csr.Client).Name
	s, text = n.status(1, "waiting", "missing", "placeholder")
	says(t, text, approve)
	if p := s.Certificates[0].Pending; p == nil || p.Approve != approve || p.Since == "" {
		t.Errorf("the pending client request is %+v", p)
	}

	n.approve(csr.Client)
	n.expect(n.once("--serving-wait=2s"), 4)
	approve = "kubectl certificate approve " + n.csr(csr.Serving).Name
	s, text = n.status(4, "attention", "valid", "placeholder")
	says(t, text, approve, "self-signed placeholder")
	expectFiles(t, s.BootstrapSecrets)
	if p := s.Certificates[1].Pending; p == nil || p.Approve != approve || s.Certificates[0].Pending != nil {
		t.Errorf("the pending requests are %+v and %+v", s.Certificates[0].Pending, p)
	}

	n.approve(csr.Serving)
	n.expect(n.once(), 0)
	n.expectWell()
	_, text = n.status(4, "attention", "valid", "valid")
	says(t, text, "no agent runs on "+n.certDir().Path, "\n    systemctl start bootstrap-agent\n")
	d := n.start()
	d.awaitReady()
	s, text = n.status(0, "well", "valid", "valid")
	says(t, text, fmt.Sprintf("running (pid %d)", d.cmd.Process.Pid))
	client, serving := s.Certificates[0], s.Certificates[1]
	says(t, text, client.Subject, client.NotAfter, client.RotateAt, serving.NotAfter, n.cp.Server())
	if client.Subject != "CN=system:node:"+n.name+",O=system:nodes" || s.Server != n.cp.Server() {
		t.Errorf("subject %s at server %s", client.Subject, s.Server)
	}
	if !reflect.DeepEqual(serving.DNSNames, []string{n.name}) || !reflect.DeepEqual(serving.IPAddresses, []string{"192.0.2.10"}) {
		t.Errorf("the serving certificate is for %v %v", serving.DNSNames, serving.IPAddresses)
	}
}

// expectWell shows that nothing is wrong with the node, apart from that no agent runs: run --once has ended.
func (n *node) expectWell(args ...string) {
	n.t.Helper()
	n.expectNothingButNoAgent(n.run([]string{"status", "-o", "json"}, args...))
}

func (n *node) expectNothingButNoAgent(r result) {
	n.t.Helper()
	var s seen
	must(n.t, json.Unmarshal([]byte(r.stdout), &s))
	if r.code != 4 || len(s.Findings) != 1 || s.Findings[0].Command != "systemctl start bootstrap-agent" {
		n.t.Fatalf("exit code %d, expected 4 for no more than that no agent runs:\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// says fails the test unless text holds all the parts.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if part == "" || !strings.Contains(text, part) {
			t.Errorf("does not say %q:\n%s", part, text)
		}
	}
}

func expectFiles(t *testing.T, found []string, expected ...string) {
	t.Helper()
	if found == nil || !slices.Equal(found, expected) {
		t.Errorf("bootstrap secrets are said to be in %#v, expected %v", found, expected)
	}
}
