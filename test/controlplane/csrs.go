package controlplane

import (
	"context"
	"sync"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	certificates "k8s.io/client-go/kubernetes/typed/certificates/v1"
	"k8s.io/client-go/rest"
)

// csrs lists CSRs cheaply: tests wait for them, and a list has those of all tests. In protobuf, which takes the API server and
// the tests a fraction of the time that JSON takes them, and what a CSR asks for is parsed once.
type csrs struct {
	client certificates.CertificateSigningRequestInterface
	mu     sync.Mutex
	// names has the common name that a CSR asks for; nothing changes it ("" when it cannot be told).
	names map[types.UID]string
}

func (c *csrs) connect(config *rest.Config) error {
	config = rest.CopyConfig(config)
	config.ContentType = runtime.ContentTypeProtobuf
	config.DisableCompression = true
	client, err := certificates.NewForConfig(config)
	if err != nil {
		return err
	}
	c.client, c.names = client.CertificateSigningRequests(), map[types.UID]string{}
	return nil
}

// of returns the CSRs that ask for a certificate with this common name.
func (c *csrs) of(ctx context.Context, name string) ([]certificatesv1.CertificateSigningRequest, error) {
	list, err := c.client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var found []certificatesv1.CertificateSigningRequest
	for i := range list.Items {
		if c.asksFor(&list.Items[i]) == name {
			found = append(found, list.Items[i])
		}
	}
	return found, nil
}

func (c *csrs) asksFor(csr *certificatesv1.CertificateSigningRequest) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, known := c.names[csr.UID]
	if !known {
		if request, err := ParseRequest(csr); err == nil {
			name = request.Subject.CommonName
		}
		c.names[csr.UID] = name
	}
	return name
}
