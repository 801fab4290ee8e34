package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

// writing is one way in which the agent comes to write.
type writing struct {
	name string
	// before makes the disk that it finds.
	before func(*recording)
	// credential: there is one, so that there must be a way on at every moment.
	credential bool
	// original is a pair under the kubelet's own names that is to be kept.
	original map[string]string
	// harmed: it finds links that lead nowhere.
	harmed bool
	// gone are the requests whose certificate is given up on purpose.
	gone map[csr.Kind]bool
	// ends is how it must end, if not as a node that has joined.
	ends func(*recording)
	// stays, of a daemon, which rotates and heals: not of run --once.
	stays *stay
}

// writings are all of them.
func writings(t *testing.T) []writing {
	t.Helper()
	original := kubeletsOwn(t)
	return []writing{
		{name: "folders of their own, the cert-dir to be made", credential: true, before: (*recording).spreadOut}, // first: every folder is synced for itself
		{name: "a new node", credential: true, before: func(*recording) {}},
		{name: "a token in a file", credential: true, before: (*recording).tokenInFile},
		{name: "a discovery token", credential: true, before: (*recording).discoveryToken},
		{name: "a discovery token that was moved aside", credential: true, before: func(r *recording) { r.discoveryToken(); r.aside() }},
		{name: "a link to the bootstrap kubeconfig", credential: true, before: (*recording).linkedCredential},
		{name: "a credential that others can read", credential: true, before: (*recording).readable},
		{name: "a credential that was moved aside", credential: true, before: (*recording).aside},
		{name: "a pair of the kubelet's own", credential: true, original: original, before: func(r *recording) { r.kubeletsOwn(original) }},
		{name: "dangling links", harmed: true, credential: true, before: (*recording).danglingLinks},
		{name: "half a pair linked", before: (*recording).halfLinked},
		{name: "a request that was denied long ago", credential: true, before: (*recording).denied},
		{name: "a request for what is not wanted any more", credential: true, before: (*recording).otherWish},
		{name: "an issued certificate and no credential", before: (*recording).onlyIssued},
		{name: "a pair of which nothing is left", before: (*recording).olderPair},
		{name: "a request that nothing needs", before: (*recording).needless},
		{name: "a placeholder", before: (*recording).placeholderAgain, gone: map[csr.Kind]bool{csr.Serving: true}},
		{name: "a kubeconfig that was lost, and a new credential", before: (*recording).sameCluster},
		{name: "a serving certificate that is given back", before: (*recording).releasing, gone: map[csr.Kind]bool{csr.Serving: true}, ends: (*recording).expectReleased},
		{name: "one that is given back beside a pair that was kept", before: func(r *recording) { r.kubeletsOwn(original); r.releasing() }, original: original, gone: map[csr.Kind]bool{csr.Serving: true}, ends: (*recording).expectReleased},
	}
}

// joined lets the node join before anything is recorded.
func (r *recording) joined() {
	r.t.Helper()
	must(r.t, r.run(func(durable.Op) error { return nil }, clock.RealClock{}))
	r.expectJoined(r.api)
	must(r.t, os.Remove(r.lockFile()))
}

func (r *recording) spreadOut() {
	content, err := os.ReadFile(r.cfg.BootstrapKubeconfig)
	must(r.t, err)
	must(r.t, os.Remove(r.cfg.BootstrapKubeconfig))
	r.cfg.CertDir = filepath.Join(r.top, "var", "lib", "kubelet", "pki")
	r.dir.Path = r.cfg.CertDir
	for name, path := range map[string]*string{"etc": &r.cfg.Kubeconfig, "boot": &r.cfg.BootstrapKubeconfig} {
		*path = filepath.Join(r.top, name, filepath.Base(*path))
		must(r.t, os.Mkdir(filepath.Dir(*path), 0o755))
	}
	r.credential = r.cfg.BootstrapKubeconfig
	r.write(r.t, r.credential, content)
}

func (r *recording) tokenInFile() {
	r.credential = filepath.Join(r.top, "token")
	r.write(r.t, r.credential, []byte(token+"\n"))
	content := bytes.Replace(bootstrapKubeconfig(r.api.url, theCA().pem), []byte("token: "+token), []byte("tokenFile: token"), 1)
	r.write(r.t, r.cfg.BootstrapKubeconfig, content)
}

// discoveryToken leaves a token and the file that says where its cluster is.
func (r *recording) discoveryToken() {
	r.cfg.DiscoveryTokenFile, r.cfg.DiscoveryFile = filepath.Join(r.top, "discovery.token"), filepath.Join(r.top, "cluster.kubeconfig")
	r.credential = r.cfg.DiscoveryTokenFile
	r.write(r.t, r.credential, []byte(token+"\n"))
	r.write(r.t, r.cfg.DiscoveryFile, bytes.Replace(bootstrapKubeconfig(r.api.url, theCA().pem), []byte("{token: "+token+"}"), []byte("{}"), 1))
	must(r.t, os.Remove(r.cfg.BootstrapKubeconfig))
}

func (r *recording) linkedCredential() {
	r.credential = r.cfg.BootstrapKubeconfig + ".1"
	must(r.t, os.Rename(r.cfg.BootstrapKubeconfig, r.credential))
	must(r.t, os.Symlink(filepath.Base(r.credential), r.cfg.BootstrapKubeconfig))
}

func (r *recording) readable() { must(r.t, os.Chmod(r.credential, 0o644)) }

func (r *recording) aside() {
	must(r.t, os.Rename(r.credential, kubeconfig.AsideName(r.credential)))
}

// kubeletsOwn is a pair as a kubelet makes it for itself.
func kubeletsOwn(t *testing.T) map[string]string {
	t.Helper()
	pair, err := serving.Placeholder("worker-1", serving.Names{DNS: []string{"worker-1"}}, time.Now())
	must(t, err)
	cut := bytes.Index(pair, []byte("-----BEGIN EC"))
	return map[string]string{"kubelet.crt": string(pair[:cut]), "kubelet.key": string(pair[cut:])}
}

func (r *recording) kubeletsOwn(pair map[string]string) {
	must(r.t, os.Mkdir(r.cfg.CertDir, 0o700))
	for name, content := range pair {
		r.write(r.t, filepath.Join(r.cfg.CertDir, name), []byte(content))
	}
	r.mayKeep = []string{"kubelet.crt.orig", "kubelet.key.orig"}
}

func (r *recording) danglingLinks() {
	must(r.t, os.Mkdir(r.cfg.CertDir, 0o700))
	for _, name := range []string{"kubelet.crt", "kubelet.key"} {
		must(r.t, os.Symlink("kubelet-server-current.pem", filepath.Join(r.cfg.CertDir, name)))
	}
}

func (r *recording) halfLinked() {
	r.joined()
	key := filepath.Join(r.cfg.CertDir, "kubelet.key")
	must(r.t, os.Remove(key))
	r.write(r.t, key, []byte("not ours"))
	r.mayKeep = []string{"kubelet.key.orig"}
}

// pending puts a request on the disk that was never sent.
func (r *recording) pending(wish csr.Wish, change func(*csr.Pending)) {
	r.t.Helper()
	p, err := csr.New(wish, apiserver.Endpoint{Server: r.api.url, CA: theCA().pem})
	must(r.t, err)
	change(p)
	content, err := p.Encode()
	must(r.t, err)
	must(r.t, os.MkdirAll(r.cfg.CertDir, 0o700))
	must(r.t, r.dir.WritePending(prefixOf(wish.Kind), content))
}

func (r *recording) clientWish() csr.Wish {
	return csr.Wish{Kind: csr.Client, NodeName: r.node, KeyAlgorithm: "ecdsa-p256"}
}

func (r *recording) denied() {
	r.pending(r.clientWish(), func(p *csr.Pending) {
		p.UID, p.Ended = "uid-gone", &csr.Ended{Outcome: csr.Denied, At: time.Now().Add(-24 * time.Hour)}
	})
}

func (r *recording) otherWish() {
	wish := r.clientWish()
	wish.KeyAlgorithm = "ecdsa-p384"
	r.pending(wish, func(p *csr.Pending) { p.Settings = "others" })
}

// onlyIssued is a node that was stopped when its certificate had come, and whose credential somebody took away.
func (r *recording) onlyIssued() {
	_ = r.run(func(op durable.Op) error {
		if strings.HasPrefix(filepath.Base(op.Path), ".kubelet-client-2") { // it begins to commit
			return errCrash
		}
		return nil
	}, clock.RealClock{})
	if !r.needsNoCredential() {
		r.t.Fatal("no certificate was issued")
	}
	must(r.t, os.Remove(r.credential))
	must(r.t, os.Remove(r.lockFile()))
}

// olderPair is a node whose current client pair was lost: there is one from before.
func (r *recording) olderPair() {
	r.joined()
	must(r.t, r.dir.Commit(certdir.Client, []byte("nothing"), time.Now().Add(time.Minute)))
}

func (r *recording) needless() {
	r.joined()
	r.pending(r.clientWish(), func(*csr.Pending) {})
}

// placeholderAgain is a node whose serving certificate was lost, so that another one is asked for.
func (r *recording) placeholderAgain() {
	r.joined()
	pair, err := serving.Placeholder(r.node, serving.Names{DNS: []string{r.node}}, time.Now())
	must(r.t, err)
	must(r.t, r.dir.CommitServing(pair, time.Now().Add(time.Minute)))
	r.api.forget(r.node, csr.Serving)
}

// sameCluster is a node whose kubeconfig and CA files were lost: any credential for its cluster brings them back.
func (r *recording) sameCluster() {
	r.joined()
	for _, path := range []string{r.cfg.Kubeconfig, r.dir.ServerCA(), r.dir.ClientCA()} {
		must(r.t, os.Remove(path))
	}
	r.write(r.t, r.cfg.BootstrapKubeconfig, bootstrapKubeconfig(r.api.url, theCA().pem))
}

func (r *recording) releasing() {
	r.joined()
	r.cfg.Serving = string(serving.Off)
}

func (r *recording) expectReleased() {
	r.t.Helper()
	if !r.complete() {
		r.t.Error("the identity is lost")
	}
	if _, err := r.dir.RealPair(time.Now()); err != nil {
		r.t.Errorf("the kubelet has no pair of its own: %v", err)
	}
	for _, path := range []string{r.dir.Current(certdir.Serving), r.dir.PendingFile(certdir.Serving)} {
		if r.exists(path) {
			r.t.Errorf("%s is left", path)
		}
	}
}
