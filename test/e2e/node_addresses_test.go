package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// registered makes a Node as large as a kubelet with nodeStatusMaxImages=-1 does on a machine that has pulled a lot.
func registered(name string, images int, addresses ...corev1.NodeAddress) *corev1.Node {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Addresses: addresses}}
	for i := range images {
		image := fmt.Sprintf("registry.example.com/team/application-%06d", i)
		node.Status.Images = append(node.Status.Images, corev1.ContainerImage{Names: []string{image + "@sha256:" + strings.Repeat("0", 64), image + ":v1.2.3"}, SizeBytes: 1})
	}
	return node
}

func TestANodeReadsItsOwnAddressesAndNoOthers(t *testing.T) {
	t.Parallel()
	cp := shared(t)
	name := nodeName(t)
	certificate, key, err := cp.ClientCertificate("system:node:"+name, "system:nodes")
	must(t, err)
	client, err := apiserver.New(apiserver.Endpoint{Server: cp.Server(), CA: cp.CA()},
		apiserver.Credential{CertificatePEM: certificate, KeyPEM: key}, "bootstrap-agent/addresses", clock.RealClock{})
	must(t, err)
	defer client.Close()

	_, err = client.NodeAddresses(t.Context(), name)
	if !errors.Is(err, apiserver.ErrNotRegistered) || apiserver.ReasonOf(err) != apiserver.NotFound {
		t.Errorf("before the kubelet was there: %v", err)
	}
	_, err = client.NodeAddresses(t.Context(), name+"-other")
	if errors.Is(err, apiserver.ErrNotRegistered) || apiserver.ReasonOf(err) != apiserver.Forbidden {
		t.Errorf("another node's: %v", err)
	}
	want := []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.10"}, {Type: corev1.NodeInternalIP, Address: "2001:db8::10"}, {Type: corev1.NodeHostName, Address: name}}
	nodes := cp.AdminClient().CoreV1().Nodes()
	_, err = nodes.Create(t.Context(), registered(name, 4000, want...), metav1.CreateOptions{})
	must(t, err)
	t.Cleanup(func() {
		must(t, cp.AdminClient().CoreV1().Nodes().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{}))
	})
	got, err := client.NodeAddresses(t.Context(), name)
	must(t, err)
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != (apiserver.NodeAddress{Type: string(want[i].Type), Address: want[i].Address}) {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
}
