package agent

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

var loopback = []net.IP{net.IPv4(127, 0, 0, 1)}

// disk is one combination of what can be on a node's disk.
type disk struct {
	client, older, clientPending      string
	serving, servingPending           string
	kubeconfig, bootstrap, servingOff bool
	badBootstrap                      bool
}

var (
	clientPairs  = []string{"missing", "good", "expired", "corrupt", "other node"}
	pendings     = []string{"none", "fresh", "sent", "issued", "denied", "damaged", "other wish", "committed"}
	servingPairs = []string{"missing", "placeholder", "issued", "expired", "corrupt", "real", "dangling", "half linked"}
	bootstraps   = []string{"none", "bad", "good"}
	yesNo        = []bool{false, true}
)

// material is what disks are made of, made once.
type material struct {
	endpoint                            apiserver.Endpoint
	client, servingRequest              *csr.Pending
	good, expired, otherNode, older     []byte
	placeholder, issued, servingExpired []byte
	realCert, realKey                   []byte
	pending                             map[csr.Kind]map[string][]byte
}

func newMaterial(t *testing.T) *material {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // nobody answers at its port once it is closed
	must(t, err)
	listener.Close()
	m := &material{endpoint: apiserver.Endpoint{Server: "https://" + listener.Addr().String(), CA: theCA().pem}}
	m.client = m.request(t, csr.Wish{Kind: csr.Client, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256"})
	m.servingRequest = m.request(t, csr.Wish{Kind: csr.Serving, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256", DNSNames: []string{"worker-1"}, IPAddresses: []string{"192.0.2.10"}})
	m.good, m.expired, m.older = m.pair(t, m.client.Wish, 0), m.pair(t, m.client.Wish, -2*time.Hour), m.pair(t, m.client.Wish, -30*time.Minute)
	other := m.client.Wish
	other.NodeName = "worker-9"
	m.otherNode = m.pair(t, other, 0)
	m.issued, m.servingExpired = m.pair(t, m.servingRequest.Wish, 0), m.pair(t, m.servingRequest.Wish, -2*time.Hour)
	m.placeholder, err = serving.Placeholder("worker-1", serving.Names{DNS: []string{"worker-1"}}, noon)
	must(t, err)
	cut := bytes.Index(m.placeholder, []byte("-----BEGIN EC"))
	m.realCert, m.realKey = m.placeholder[:cut], m.placeholder[cut:]
	m.pending = map[csr.Kind]map[string][]byte{csr.Client: m.pendingFiles(t, m.client), csr.Serving: m.pendingFiles(t, m.servingRequest)}
	return m
}

func (m *material) request(t *testing.T, wish csr.Wish) *csr.Pending {
	t.Helper()
	p, err := csr.New(wish, m.endpoint)
	must(t, err)
	return p
}

// pair is one of an hour that begins after.
func (m *material) pair(t *testing.T, wish csr.Wish, after time.Duration) []byte {
	t.Helper()
	p := m.request(t, wish)
	p.CertificatePEM = theCA().issue(p, noon.Add(after-time.Minute))
	return p.PairPEM()
}

func (m *material) pendingFiles(t *testing.T, p *csr.Pending) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	add := func(name string, change func(*csr.Pending)) {
		q := *p
		change(&q)
		content, err := q.Encode()
		must(t, err)
		files[name] = content
	}
	sent := func(p *csr.Pending) { p.UID, p.Accepted = "uid", noon.Add(-time.Minute) }
	add("fresh", func(*csr.Pending) {})
	add("sent", sent)
	add("issued", func(p *csr.Pending) { sent(p); p.CertificatePEM = theCA().issue(p, noon.Add(-time.Minute)) })
	add("denied", func(p *csr.Pending) { sent(p); p.Ended = &csr.Ended{Outcome: csr.Denied, At: noon.Add(-time.Minute)} })
	files["damaged"] = files["fresh"][:len(files["fresh"])/2]
	other := p.Wish
	other.NodeName = "worker-9"
	content, err := m.request(t, other).Encode()
	must(t, err)
	files["other wish"] = content
	return files
}

// furnish puts a disk's files on the machine.
func (m *material) furnish(t *testing.T, on *machine, d disk) {
	t.Helper()
	must(t, os.MkdirAll(on.cfg.CertDir, 0o700))
	if d.older == "good" {
		must(t, on.dir.Commit(certdir.Client, m.older, noon.Add(-30*time.Minute)))
		must(t, os.Remove(on.dir.Current(certdir.Client)))
	}
	m.put(t, on, certdir.Client, map[string][]byte{"good": m.good, "expired": m.expired, "corrupt": m.good[:200], "other node": m.otherNode}[d.client])
	m.putServing(t, on, d.serving)
	m.putPending(t, on, certdir.Client, m.pending[csr.Client], d.clientPending)
	m.putPending(t, on, certdir.Serving, m.pending[csr.Serving], d.servingPending)
	if d.kubeconfig {
		must(t, on.dir.WriteCA(on.dir.ServerCA(), m.endpoint.CA))
		must(t, on.dir.WriteCA(on.dir.ClientCA(), m.endpoint.CA))
		_, err := kubeconfig.WriteKubelet(on.dir.Disk, on.cfg.Kubeconfig, kubeconfig.Kubelet{Endpoint: m.endpoint, CAFile: on.dir.ServerCA(), ClientPEM: on.dir.Current(certdir.Client)})
		must(t, err)
	}
	if d.bootstrap {
		on.write(t, on.cfg.BootstrapKubeconfig, bootstrapKubeconfig(m.endpoint.Server, m.endpoint.CA))
	}
	if d.badBootstrap {
		on.write(t, on.cfg.BootstrapKubeconfig, []byte("half a kube"))
	}
	if d.servingOff {
		on.cfg.Serving = "off"
	}
}

func (m *material) put(t *testing.T, on *machine, kind certdir.Kind, pair []byte) {
	t.Helper()
	if pair != nil {
		must(t, on.dir.Commit(kind, pair, noon))
	}
}

func (m *material) putServing(t *testing.T, on *machine, state string) {
	t.Helper()
	crt, key := filepath.Join(on.cfg.CertDir, "kubelet.crt"), filepath.Join(on.cfg.CertDir, "kubelet.key")
	switch state {
	case "placeholder", "issued", "expired", "corrupt":
		must(t, on.dir.CommitServing(map[string][]byte{"placeholder": m.placeholder, "issued": m.issued, "expired": m.servingExpired, "corrupt": m.issued}[state], noon))
	case "real":
		on.write(t, crt, m.realCert)
		on.write(t, key, m.realKey)
	case "dangling":
		must(t, os.Symlink("nothing", crt))
		must(t, os.Symlink("nothing", key))
	case "half linked":
		must(t, on.dir.CommitServing(m.issued, noon))
		must(t, os.Remove(key))
		on.write(t, key, m.realKey)
	}
	if state == "corrupt" {
		on.write(t, on.dir.Current(certdir.Serving), m.issued[:200])
	}
}

func (m *material) putPending(t *testing.T, on *machine, kind certdir.Kind, files map[string][]byte, state string) {
	t.Helper()
	if state == "committed" {
		p, err := csr.DecodePending(files["issued"])
		must(t, err)
		state = "issued"
		must(t, on.dir.Commit(kind, p.PairPEM(), noon))
	}
	if content := files[state]; content != nil {
		must(t, on.dir.WritePending(kind, content))
	}
}
