package boot

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// TestTheKubeletConfigurationDropInIsInForce lays the shipped file over a configuration that has the kubelet rotate and no CA for its
// clients, as an installer may leave it.
func TestTheKubeletConfigurationDropInIsInForce(t *testing.T) {
	t.Parallel()
	shipped, err := os.ReadFile("../../../deploy/kubelet/20-bootstrap-agent.conf")
	must(t, err)
	const config = "/var/lib/kubelet/config.yaml"
	n := newNode(t, options{
		kubeletConfig: "rotateCertificates: true\nserverTLSBootstrap: true\n", kubeletArgs: "--config-dir=/etc/kubernetes/kubelet.conf.d",
		prepare: func(n *node) {
			n.giveCredential()
			n.Write("/etc/kubernetes/kubelet.conf.d/20-bootstrap-agent.conf", string(shipped), 0o644)
			before, after, found := strings.Cut(n.Read(config), ", x509: {clientCAFile: "+certDir+"/kubelet-client-ca.crt}")
			if !found {
				t.Fatalf("no client CA in:\n%s", n.Read(config))
			}
			n.Write(config, before+after, 0o644)
		},
	})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(time.Minute)
	n.awaitReady()

	answer := "" // the API server logs in to the kubelet for it
	eventually(t, "the kubelet tells its configuration", func() bool {
		answer, err = n.cp.Kubectl("get", "--raw=/api/v1/nodes/"+n.Name+"/proxy/configz")
		return err == nil
	})
	var inForce struct {
		KubeletConfig struct {
			RotateCertificates, ServerTLSBootstrap bool
			Authentication                         struct{ X509 struct{ ClientCAFile string } }
		}
	}
	must(t, json.Unmarshal([]byte(answer), &inForce))
	got := inForce.KubeletConfig
	if got.RotateCertificates || got.ServerTLSBootstrap || got.Authentication.X509.ClientCAFile != certDir+"/kubelet-client-ca.crt" {
		t.Errorf("in force is %+v", got)
	}
	if client, serving := n.requests(); len(client) != 1 || len(serving) != 1 {
		t.Errorf("%d client and %d serving requests: the kubelet asks too", len(client), len(serving))
	}
}
