package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// reader is a program that reads the node's files as a kubelet does that does not rotate by itself: client-go, with the kubeconfig read
// once and the certificate by its path, again and again.
type reader struct {
	kubernetes.Interface
	t      *testing.T
	name   string
	cancel context.CancelFunc
	ended  sync.WaitGroup
	mu     sync.Mutex
	// done is how many requests were answered, again how many of them had to be sent a second time, since client-go had closed their
	// connection to use the new certificate.
	done, again int
}

// reader begins with a request every 20 ms for the node's own object, until stop is called.
func (n *node) reader() *reader {
	n.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", n.kubeconfig())
	must(n.t, err)
	config.UserAgent = "reader-" + n.name
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	must(n.t, err)
	_, err = n.cp.AdminClient().CoreV1().Nodes().Create(n.t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.name}}, metav1.CreateOptions{})
	must(n.t, err)
	r := &reader{Interface: client, t: n.t, name: n.name}
	ctx, cancel := context.WithCancel(n.t.Context())
	r.cancel = cancel
	r.ended.Go(func() {
		for ctx.Err() == nil {
			r.ask(ctx)
			time.Sleep(20 * time.Millisecond)
		}
	})
	n.t.Cleanup(r.stop)
	return r
}

func (r *reader) stop() {
	r.cancel()
	r.ended.Wait()
}

func (r *reader) ask(ctx context.Context) {
	get := func() error {
		_, err := r.CoreV1().Nodes().Get(ctx, r.name, metav1.GetOptions{})
		return err
	}
	err := get()
	var answer apierrors.APIStatus
	closed := err != nil && !errors.As(err, &answer)
	if closed {
		err = get()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.t.Errorf("after %d good requests: %v", r.done, err)
	default:
		r.done++
		if closed {
			r.again++
		}
	}
}

func (r *reader) counts() (done, again int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done, r.again
}

// credentialOf is how the API server's audit log names a certificate.
func credentialOf(leaf *x509.Certificate) string {
	return fmt.Sprintf("X509SHA256=%x", sha256.Sum256(leaf.Raw))
}

// usedBy says whether a request of a program, of a verb if one is given, came with a certificate.
func (n *node) usedBy(program, verb string, leaf *x509.Certificate) bool {
	n.t.Helper()
	requests, err := n.cp.Requests("system:node:"+n.name, controlplane.ByUserAgent(program))
	must(n.t, err)
	return slices.ContainsFunc(requests, func(r controlplane.Request) bool {
		return r.CredentialID == credentialOf(leaf) && (verb == "" || r.Verb == verb)
	})
}

// leaf is the client certificate in use.
func (n *node) leaf() *x509.Certificate {
	n.t.Helper()
	pair, err := n.certDir().Read(certdir.Client)
	must(n.t, err)
	return pair.Leaf
}

// What client-go's integration tests TestCertRotation and TestCertRotationContinuousRequests and the kubelet's
// TestRotateShutsDownConnections show of client-go, with the files that the agent writes: over two rotations no request fails, watches
// end when the new certificate is seen, and from then on it is used. The agent's own watch for its serving certificate goes on with it.
func TestNoRequestFailsAcrossARotationAndWatchesGoOnWithTheNewCertificate(t *testing.T) {
	t.Parallel()
	if transport.CertCallbackRefreshDuration > time.Second {
		t.Fatal("client-go looks at the files too seldom for this test: see TestMain")
	}
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	d := n.start()
	n.awaitJoined()
	waiting := n.csr(csr.Serving).Name
	r := n.reader()
	for i := range 2 {
		before := n.leaf()
		eventually(t, "the certificate is in use", func() bool { return n.usedBy("reader-", "get", before) })
		watch, err := r.CertificatesV1().CertificateSigningRequests().Watch(t.Context(), metav1.SingleObject(metav1.ObjectMeta{Name: waiting}))
		must(t, err)
		n.age(certdir.Client)
		must(t, n.certDir().AskToRotate(certdir.Client))
		n.awaitRotated(csr.Client, certdir.Client, before.SerialNumber.String(), i+2)
		after := n.leaf()
		eventually(t, "the reader's watch ends", func() bool {
			select {
			case _, more := <-watch.ResultChan():
				return !more
			default:
				return false
			}
		})
		eventually(t, "the reader uses the new certificate", func() bool { return n.usedBy("reader-", "get", after) })
		eventually(t, "the agent waits for its serving certificate with the new one", func() bool { return n.usedBy("bootstrap-agent/", "watch", after) })
		n.same(csr.Serving, waiting)
	}
	r.stop()
	done, again := r.counts()
	if done < 50 {
		t.Errorf("only %d requests were made", done)
	}
	n.approve(csr.Serving)
	n.awaitServing()
	d.awaitStatus("serving: valid until")
	t.Logf("2 rotations, %d requests, %d of them sent again by the reader when client-go closed its connection", done, again)
}
