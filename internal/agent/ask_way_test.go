package agent

import (
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// A node's request goes on where the API server is now. With another CA alone it is the same object, which is read and not sent again.
func TestARequestUnderWayIsSentAgainOnlyWhereTheAPIServerIsAnother(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	for _, c := range []struct {
		name   string
		asked  func(*apiserver.Endpoint)
		forgot bool
	}{
		{"the same way", func(*apiserver.Endpoint) {}, false},
		{"another CA", func(e *apiserver.Endpoint) { e.CA = bundleOf("new") }, false},
		{"another server", func(e *apiserver.Endpoint) { e.Server = "https://192.0.2.77:6443" }, true},
		{"another name in its certificate, and another CA", func(e *apiserver.Endpoint) { e.TLSServerName, e.CA = "elsewhere", bundleOf("new") }, true},
		{"another proxy", func(e *apiserver.Endpoint) { e.ProxyURL = "http://192.0.2.77:3128" }, true},
	} {
		s, _ := start(t, m, disk{client: "good", older: "missing", clientPending: "sent", serving: "missing", servingPending: "none", kubeconfig: true}, durable.Disk{})
		p := s.pending(t)
		uid := p.UID
		p.AsNode = true
		c.asked(&p.Endpoint)
		must(t, s.agent.store(p))
		o := s.agent.observe()
		for s.agent.askAsNode(t.Context(), &s.agent.client, o, o.Client.Pending) {
			o = s.agent.observe()
		}
		s.agent.client.abandon()
		p = s.pending(t)
		if uid == "" || (p.UID == "") != c.forgot || !sameEndpoint(p.Endpoint, o.Kubelet.Endpoint) {
			t.Errorf("%s: the uid was %q and is %q, the endpoint %+v", c.name, uid, p.UID, p.Endpoint.Server)
		}
		s.close()
	}
}
