package kubeconfig

import (
	"crypto/sha256"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Reader reads kubeconfigs for whoever looks at the same ones again and again: a file is read each time, and parsed only when
// its bytes have changed, since parsing YAML takes many times as long. What stood in a file that cannot be read any more is
// forgotten. The zero value is ready. It is not for several goroutines at once.
type Reader struct{ parsed map[string]parsed }

// parsed is what a file says in its current context, and the sum of the bytes that say so.
type parsed struct {
	sum     [sha256.Size]byte
	cluster *clientcmdapi.Cluster
	user    *clientcmdapi.AuthInfo
	err     error
}

func (r *Reader) read(path string) (durable.File, error) {
	file, err := durable.ReadTrusted(path, maxSize)
	if err != nil {
		delete(r.parsed, path)
	}
	return file, err
}

// current is the function of that name, with its answers remembered; each caller gets copies of his own.
func (r *Reader) current(path string, data []byte) (*clientcmdapi.Cluster, *clientcmdapi.AuthInfo, error) {
	return r.remembered(path, data, current)
}

// place is the function of that name, likewise.
func (r *Reader) place(path string, data []byte) (*clientcmdapi.Cluster, error) {
	cluster, _, err := r.remembered(path, data, place)
	return cluster, err
}

func (r *Reader) remembered(path string, data []byte, parse func(string, []byte) (*clientcmdapi.Cluster, *clientcmdapi.AuthInfo, error)) (*clientcmdapi.Cluster, *clientcmdapi.AuthInfo, error) {
	sum := sha256.Sum256(data)
	last, known := r.parsed[path]
	if !known || last.sum != sum {
		last = parsed{sum: sum}
		last.cluster, last.user, last.err = parse(path, data)
		if r.parsed == nil {
			r.parsed = map[string]parsed{}
		}
		r.parsed[path] = last
	}
	return last.cluster.DeepCopy(), last.user.DeepCopy(), last.err
}

// LoadBootstrap reads the bootstrap kubeconfig at path, once; see [Reader.LoadBootstrap].
func LoadBootstrap(path string) (*Bootstrap, error) { return new(Reader).LoadBootstrap(path) }

// LoadKubelet reads the kubelet's kubeconfig at path, once; see [Reader.LoadKubelet].
func LoadKubelet(path string) (*Kubelet, error) { return new(Reader).LoadKubelet(path) }

// Named returns the files that the kubeconfig at path names, once; see [Reader.Named].
func Named(path string) []string { return new(Reader).Named(path) }

// NamedByDiscovery returns the files that the discovery file at path names, once; see [Reader.NamedByDiscovery].
func NamedByDiscovery(path string) []string { return new(Reader).NamedByDiscovery(path) }

// Aside returns the files of the bootstrap kubeconfig at path that lie aside, once; see [Reader.Aside].
func Aside(path string) []string { return new(Reader).Aside(path) }

// LoadToken reads the discovery token at path, once; see [Reader.LoadToken].
func LoadToken(path string) (*Bootstrap, error) { return new(Reader).LoadToken(path) }

// LoadDiscovery reads the discovery file at path, once; see [Reader.LoadDiscovery].
func LoadDiscovery(path string) (apiserver.Endpoint, error) { return new(Reader).LoadDiscovery(path) }
