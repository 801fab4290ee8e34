package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"net"
	"sync"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
)

// witness is what the servers on a node's way have been sent.
type witness struct {
	// trusted are the bytes that the server of the kubeconfig got after it had proved itself; others those that anybody else got:
	// proxies, targets of redirects, servers with a bad certificate, and whoever listens on the way.
	trusted, others testimony
}

// testimony is the first of the bytes that somebody was sent.
type testimony struct {
	mu    sync.Mutex
	bytes []byte
	times int
}

// enough is far more than an agent sends in a test.
const enough = 4 << 20

// Write adds to what was sent.
func (s *testimony) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if room := enough - len(s.bytes); room > 0 {
		s.bytes = append(s.bytes, text[:min(room, len(text))]...)
	}
	return len(text), nil
}

// begins counts a request, or the connection of somebody who may not be sent one.
func (s *testimony) begins() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.times++
}

func (s *testimony) holds(secret []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Contains(s.bytes, secret) || bytes.Contains(s.bytes, []byte(base64.StdEncoding.EncodeToString(secret)))
}

func (w *witness) requests() int {
	w.trusted.mu.Lock()
	defer w.trusted.mu.Unlock()
	w.others.mu.Lock()
	defer w.others.mu.Unlock()
	return w.trusted.times + w.others.times
}

// assertSawNoSecret shows that the token went to nobody but the server of the kubeconfig, and the private keys to nobody at all.
func (w *witness) assertSawNoSecret(v *lied) {
	v.t.Helper()
	for _, token := range v.secrets {
		if w.others.holds(token) {
			v.t.Error("the token was sent to somebody who is not the API server, or has not proved it")
		}
	}
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		p := v.pending(kind)
		if p == nil {
			continue
		}
		block, _ := pem.Decode(p.KeyPEM)
		scalar := block.Bytes[7 : 7+32] // of an EC PRIVATE KEY (RFC 5915) on P-256, whatever it is wrapped in
		for _, key := range [][]byte{bytes.TrimSpace(p.KeyPEM), block.Bytes, scalar} {
			if w.trusted.holds(key) || w.others.holds(key) {
				v.t.Errorf("the private key of the %s certificate was sent", kind)
			}
		}
	}
}

// overheard is a connection of which everything that it brings is kept.
type overheard struct {
	net.Conn
	by *testimony
}

func (c overheard) Read(buffer []byte) (int, error) {
	n, err := c.Conn.Read(buffer)
	_, _ = c.by.Write(buffer[:n])
	return n, err
}
