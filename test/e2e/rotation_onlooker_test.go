package e2e

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
)

// onlooker uses what the node's agent has put on the disk, every second, as a person with kubectl and a caller of the kubelet would.
type onlooker struct {
	*node
	daemon *daemon
	// port is where the kubelet's certificate is served.
	port string

	looks  int
	failed []string
	// found are the certificates in use, in the order in which they were first seen.
	found map[certdir.Kind][]sighting
	taken []usage
	// goroutines are counted at an agent inside the test.
	counted    *node
	goroutines []int
}

// sighting is a certificate that was found in use, and since when it is.
type sighting struct {
	at   time.Time
	leaf *x509.Certificate
}

// credential is how the API server's audit log names it.
func (s sighting) credential() string {
	sum := sha256.Sum256(s.leaf.Raw)
	return "X509SHA256=" + hex.EncodeToString(sum[:])
}

// look on every second until ctx ends.
func (o *onlooker) lookOn(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for ctx.Err() == nil {
		o.look()
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}

func (o *onlooker) look() {
	o.looks++
	o.expect("kubectl as the node", o.kubectl())
	o.expect("a call of the kubelet's port", o.call())
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		pair, err := o.certDir().Read(kind)
		o.expect("reading the pair of "+string(kind), err)
		if err == nil {
			o.note(kind, pair)
		}
	}
	if u, ok := o.daemon.usage(); ok {
		o.taken = append(o.taken, u)
	} else {
		o.expect("looking at the agent", fmt.Errorf("there is no process %d", o.daemon.cmd.Process.Pid))
	}
	o.goroutines = append(o.goroutines, o.counted.goroutines())
}

func (o *onlooker) expect(what string, err error) {
	if err != nil {
		o.failed = append(o.failed, fmt.Sprintf("%s: %s: %v", time.Now().Format(time.TimeOnly), what, err))
	}
}

func (o *onlooker) note(kind certdir.Kind, pair *certdir.Pair) {
	if !slices.ContainsFunc(o.found[kind], func(s sighting) bool { return s.leaf.Equal(pair.Leaf) }) {
		o.found[kind] = append(o.found[kind], sighting{pair.ModTime, pair.Leaf})
	}
}

// kubectl reads the node's own Node: the node authorizer lets nobody else that is a node.
func (o *onlooker) kubectl() error {
	name, err := o.cp.KubectlWith(o.kubeconfig(), "get", "node", o.name, "-o", "name")
	if err == nil && name != "node/"+o.name+"\n" {
		err = fmt.Errorf("it says %q", name)
	}
	return err
}

// call is the API server's of a kubelet, or Prometheus': the certificate must be of the cluster's CA and for the node's name.
func (o *onlooker) call() error {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(o.cp.SignerCA())
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	connection, err := tls.DialWithDialer(dialer, "tcp", o.port, &tls.Config{RootCAs: roots, ServerName: o.name})
	if err != nil {
		return err
	}
	return connection.Close()
}

// serve stands in for the kubelet's port: each caller is shown what lies under the kubelet's own names at that moment.
func (n *node) serve() (address string) {
	n.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(n.t, err)
	n.t.Cleanup(func() { listener.Close() })
	certificate := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(filepath.Join(n.certDir().Path, "kubelet.crt"), filepath.Join(n.certDir().Path, "kubelet.key"))
		return &pair, err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				_ = connection.SetDeadline(time.Now().Add(5 * time.Second))
				_ = tls.Server(connection, &tls.Config{GetCertificate: certificate}).Handshake() // the caller says what is wrong
			}()
		}
	}()
	return listener.Addr().String()
}
