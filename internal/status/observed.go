// Package status is what can be seen of a node's certificates: one Observed value, read from the files, on which the agent
// decides and from which the status command and the log speak. It changes nothing and asks no API server.
package status

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

// Observed is everything on the disk that matters, at one moment.
type Observed struct {
	Now time.Time

	Node    string
	NodeErr error

	Client, Serving Certificate

	// Kubelet is the kubelet's kubeconfig.
	Kubelet    *kubeconfig.Kubelet
	KubeletErr error
	// ServerCA and ClientCA are the contents of the two CA files; nil: not there, or of no use.
	ServerCA, ClientCA []byte

	// Bootstrap is what BootstrapFile holds: the file that the settings name, or the systemd credential in its place.
	Bootstrap     *kubeconfig.Bootstrap
	BootstrapFile string
	BootstrapErr  error
	// Undiscovered is a discovery token of which it is not known yet where its cluster is; Bootstrap is nil then, and BootstrapErr is
	// [ErrUndiscovered]. DiscoveryFile is where the file that the settings name says it is, if they name one.
	Undiscovered  *kubeconfig.Bootstrap
	DiscoveryFile *apiserver.Endpoint
	// IdleToken is the file of a discovery token that is not looked at: a bootstrap kubeconfig wins, or nothing says where the token's
	// cluster is. It holds a secret all the same.
	IdleToken string
	// Aside are the files that lie aside, as a crash during the disposal of a credential leaves them.
	Aside []string

	// Kubelets are those that run, with what they were told; for whoever observes to fill in, with [node.Kubelets], as often as is fit.
	Kubelets []node.Kubelet
	// Asker is what the status command knows beside the files; nil: it is not a command that looks.
	Asker *Asker
}

// Certificate is one of the node's two certificates on the disk.
type Certificate struct {
	Kind csr.Kind
	// Pair is what the current link leads to; PairErr says why there is none to use.
	Pair    *certdir.Pair
	PairErr error
	// Older is the newest other pair that is still valid, for when Pair is of no use.
	Older *certdir.Pair
	// Pending is the request under way; PendingErr says what is wrong with its file.
	Pending    *csr.Pending
	PendingErr error
	// Adopted is a pair under the kubelet's own names that is not ours; it serves as the placeholder.
	Adopted *certdir.Pair
	// RotateNow: somebody asks for another certificate now ([certdir.Dir.AskToRotate]).
	RotateNow bool
	// Linked: the kubelet finds Pair under its own names.
	Linked bool
	// Unread is why one of the certificate's files cannot be read now; of the client's also the kubelet's kubeconfig and the CA
	// files, which are stored with it. What the other fields say is then not the whole, and nothing follows from what they lack.
	Unread error
}

// Observer is for whoever observes again and again: what has not changed meanwhile is read again and not parsed again. The zero
// value is ready. It is not for several goroutines at once.
type Observer struct {
	Kubeconfigs kubeconfig.Reader
	pairs       certdir.Known
}

// Observe reads the files that the settings name, once.
func Observe(cfg config.Config, now time.Time) Observed { return new(Observer).Observe(cfg, now) }

// Observe reads the files that the settings name.
func (w *Observer) Observe(cfg config.Config, now time.Time) Observed {
	dir := certdir.Dir{Path: cfg.CertDir, Known: &w.pairs}
	o := Observed{Now: now}
	o.Node, o.NodeErr = node.Name(cfg.HostnameOverride)
	o.Client = observe(dir, csr.Client, certdir.Client, now)
	o.Serving = observe(dir, csr.Serving, certdir.Serving, now)
	o.Serving.Linked = dir.Linked()
	adopted, err := dir.RealPair(now)
	if err == nil {
		o.Serving.Adopted = adopted
	}
	o.Serving.unread(err)
	o.Kubelet, o.KubeletErr = w.Kubeconfigs.LoadKubelet(cfg.Kubeconfig)
	o.Client.unread(o.KubeletErr)
	o.ServerCA, err = readCA(dir, dir.ServerCA())
	o.Client.unread(err)
	o.ClientCA, err = readCA(dir, dir.ClientCA())
	o.Client.unread(err)
	o.BootstrapFile = kubeconfig.Where(cfg.BootstrapKubeconfig, cfg.CredentialsDirectory)
	o.Bootstrap, o.BootstrapErr = w.Kubeconfigs.LoadBootstrap(o.BootstrapFile)
	o.Aside = w.Kubeconfigs.Aside(cfg.BootstrapKubeconfig)
	w.observeToken(cfg, &o)
	return o
}

// ErrUndiscovered says that there is a discovery token, and that it is not known yet where its cluster is.
var ErrUndiscovered = errors.New("where the cluster of the discovery token is has not been found out yet")

// observeToken looks at the discovery token where there is no bootstrap kubeconfig, which always wins.
func (w *Observer) observeToken(cfg config.Config, o *Observed) {
	if cfg.DiscoveryTokenFile != "" {
		o.Aside = append(o.Aside, kubeconfig.AsideToken(cfg.DiscoveryTokenFile)...)
	}
	path := kubeconfig.WhereToken(cfg.DiscoveryTokenFile, cfg.CredentialsDirectory)
	if path == "" {
		return
	}
	if !o.NoCredential() || !cfg.Discovers() {
		o.idleToken(path)
		return
	}
	token, err := w.Kubeconfigs.LoadToken(path)
	if errors.Is(err, kubeconfig.ErrNoCredential) {
		o.BootstrapErr = fmt.Errorf("%w, nor does %s", o.BootstrapErr, path)
		return
	}
	o.BootstrapFile = path
	if err == nil && cfg.DiscoveryFile != "" {
		var endpoint apiserver.Endpoint
		if endpoint, err = w.Kubeconfigs.LoadDiscovery(cfg.DiscoveryFile); err == nil {
			o.DiscoveryFile = &endpoint
		}
	}
	if o.BootstrapErr = err; err == nil {
		o.Undiscovered, o.BootstrapErr = token, ErrUndiscovered
	}
}

// idleToken notes a token that nothing is done with, and why if nothing else can be.
func (o *Observed) idleToken(path string) {
	if _, err := os.Lstat(path); err != nil {
		return
	}
	o.IdleToken = path
	if o.NoCredential() {
		o.BootstrapErr = fmt.Errorf("%w; nothing says where the cluster of the token in %s is: give --api-server with --discovery-ca-cert-hash, or --discovery-file", o.BootstrapErr, path)
	}
}

// readCA returns a bundle that can be used. The kubelet does not start with one that holds no certificate.
func readCA(dir certdir.Dir, path string) ([]byte, error) {
	bundle, err := dir.ReadCA(path)
	if err != nil || !x509.NewCertPool().AppendCertsFromPEM(bundle) {
		return nil, err
	}
	return bundle, nil
}

// unread notes an error if it says that a file cannot be read now. The first one stays.
func (c *Certificate) unread(err error) {
	if c.Unread == nil && certdir.Unread(err) {
		c.Unread = err
	}
}

func observe(dir certdir.Dir, kind csr.Kind, prefix certdir.Kind, now time.Time) Certificate {
	c := Certificate{Kind: kind, RotateNow: dir.AskedToRotate(prefix)}
	c.Pair, c.PairErr = dir.Read(prefix)
	if !c.Usable(now) {
		for _, older := range dir.Older(prefix) {
			if now.Before(older.Leaf.NotAfter) {
				c.Older = older
				break
			}
		}
	}
	file, err := dir.ReadPending(prefix)
	if err == nil && file != nil {
		if c.Pending, err = csr.DecodePending(file); err != nil {
			err = fmt.Errorf("%s: %w", dir.PendingFile(prefix), err)
		}
	}
	if err != nil {
		c.Pending, c.PendingErr = nil, err
	}
	c.unread(c.PairErr)
	c.unread(c.PendingErr)
	return c
}

// Usable says whether the pair can be used. Not yet valid is no reason against it: the clock may be what is wrong.
func (c Certificate) Usable(now time.Time) bool {
	return c.Pair != nil && now.Before(c.Pair.Leaf.NotAfter)
}

// Issued says whether the pair in use came through a request to the cluster and is no placeholder.
func (c Certificate) Issued() bool {
	return c.Pair != nil && (c.Kind == csr.Client || !serving.SelfSigned(c.Pair.Leaf))
}

// Committed says whether the pending request's certificate is the one in use, so that only the end of its commit is missing.
func (c Certificate) Committed() bool {
	if c.Pending == nil || c.Pair == nil {
		return false
	}
	public, err := c.Pending.PublicKey()
	if err != nil {
		return false
	}
	used, ok := c.Pair.Leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
	return ok && used.Equal(public)
}

// ForOtherNode says whether the identity names another node than this machine is now. It stays in use, for the old name is what
// the API server knows.
func (o Observed) ForOtherNode() bool {
	return o.Client.Pair != nil && o.Node != "" && o.Client.Pair.Leaf.Subject.CommonName != "system:node:"+o.Node
}

// HasIdentity says whether the node can act as itself: a client pair that can be used and a kubeconfig that says where.
func (o Observed) HasIdentity() bool {
	return o.Client.Usable(o.Now) && o.Kubelet != nil
}

// NoCredential says whether there is no bootstrap kubeconfig, or the file that it names is gone.
func (o Observed) NoCredential() bool { return errors.Is(o.BootstrapErr, kubeconfig.ErrNoCredential) }

// BadCredential says whether a credential is there that cannot be used as it is, so that a person must mend it.
func (o Observed) BadCredential() bool {
	return o.Bootstrap == nil && o.Undiscovered == nil && !o.NoCredential()
}

// SecretFiles returns the files that hold, or must be taken to hold, a bootstrap secret.
func (o Observed) SecretFiles(cfg config.Config) []string {
	var files []string
	switch b := o.Bootstrap; {
	case b != nil && b.SecretFile != "":
		files = append(files, b.SecretFile)
	case b != nil && b.Source != kubeconfig.ExecPlugin, b == nil && !o.NoCredential():
		files = append(files, cmp.Or(o.BootstrapFile, cfg.BootstrapKubeconfig))
	}
	if o.IdleToken != "" && !slices.Contains(files, o.IdleToken) {
		files = append(files, o.IdleToken)
	}
	for _, path := range o.Aside {
		files = append(files, kubeconfig.AsideName(path))
	}
	return files
}

// Stamp is a cheap sign of change: it differs when one of the files, or what it leads to if it is a link, was written, replaced, made
// or removed, or its mode or owner changed. It takes the time of the last change of the inode, which a copy that keeps the old file's mtime cannot keep.
func Stamp(paths ...string) string {
	var stamp []byte
	for _, path := range paths {
		info, err := os.Lstat(path)
		stamp = appendStamp(stamp, info, err)
		if err == nil && info.Mode()&os.ModeSymlink != 0 {
			info, err = os.Stat(path)
			stamp = appendStamp(stamp, info, err)
		}
	}
	return string(stamp)
}

func appendStamp(stamp []byte, info os.FileInfo, err error) []byte {
	if err != nil {
		return append(stamp, '-')
	}
	stat := info.Sys().(*syscall.Stat_t)
	return fmt.Appendf(stamp, "%d %d %d %d;", stat.Ino, stat.Size, stat.Ctim.Sec, stat.Ctim.Nsec)
}
