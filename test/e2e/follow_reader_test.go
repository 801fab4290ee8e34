package e2e

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// caReader is client-go with the node's kubeconfig, as the kubelet has it, that looks at the CA file every half second in place of every five
// minutes.
type caReader struct {
	t      *testing.T
	cancel context.CancelFunc
	ended  sync.WaitGroup
	mu     sync.Mutex
	// done is how many requests were answered; distrusted is what was said of the API server's certificate.
	done       int
	distrusted []string
}

// readsAsKubelet begins with a request every 50 ms, until stop is called.
func (n *node) readsAsKubelet() *caReader {
	n.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", n.kubeconfig())
	must(n.t, err)
	config.QPS, config.UserAgent = -1, "ca-reader"
	transport, err := rest.HTTPClientFor(config)
	must(n.t, err)
	must(n.t, readCAEvery(transport.Transport, 500*time.Millisecond))
	client, err := kubernetes.NewForConfigAndClient(config, transport)
	must(n.t, err)
	r := &caReader{t: n.t}
	ctx, cancel := context.WithCancel(n.t.Context())
	r.cancel = cancel
	r.ended.Go(func() {
		for ctx.Err() == nil {
			_, err := client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
			r.note(err)
			time.Sleep(50 * time.Millisecond)
		}
	})
	n.t.Cleanup(r.stop)
	return r
}

func (r *caReader) note(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil:
		r.done++
	case strings.Contains(err.Error(), "x509") || strings.Contains(err.Error(), "tls"):
		r.distrusted = append(r.distrusted, err.Error())
	}
}

// goesOn waits for ten more answers, and shows that the API server's certificate was never distrusted.
func (r *caReader) goesOn(when string) {
	r.t.Helper()
	count := func() (int, []string) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.done, r.distrusted
	}
	begin, _ := count()
	eventually(r.t, "the reader goes on "+when, func() bool {
		done, distrusted := count()
		if len(distrusted) > 0 {
			r.t.Fatalf("%s: %s", when, distrusted[0])
		}
		return done >= begin+10
	})
}

func (r *caReader) stop() {
	r.cancel()
	r.ended.Wait()
}

// readCAEvery sets how often client-go reads the CA file again, which it lets nobody set (transport.atomicTransportHolder).
func readCAEvery(transport http.RoundTripper, every time.Duration) error {
	for transport != nil {
		v := reflect.ValueOf(transport)
		if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
			if field := v.Elem().FieldByName("caRefreshDuration"); field.IsValid() {
				*(*time.Duration)(unsafe.Pointer(field.UnsafeAddr())) = every //nolint:gosec // a test of what is behind it
				return nil
			}
		}
		wrapper, ok := transport.(utilnet.RoundTripperWrapper)
		if !ok {
			break
		}
		transport = wrapper.WrappedRoundTripper()
	}
	return fmt.Errorf("this client-go does not read CA files again: %T", transport)
}
