// Package kubeconfig reads the bootstrap kubeconfig, writes the kubelet's, and disposes of a credential that has done its work.
//
// Neither a token nor a key, nor a part of one, is in any error of this package. Both are put into wrong fields by mistake, so
// errors name the field and do not quote what stands there.
package kubeconfig

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// ErrNoCredential says that there is nothing to bootstrap with: no file, or the file that it names is gone. Everything else
// that is wrong with a bootstrap kubeconfig is an error of its own, for a person to mend.
var ErrNoCredential = errors.New("no bootstrap credential")

// maxSize is far above any kubeconfig; a larger file is a mistake.
const maxSize = 1 << 20

// Source is what kind of credential a bootstrap kubeconfig holds. It decides what becomes of it after use.
type Source string

// The kinds of bootstrap credentials.
const (
	InlineToken Source = "token"
	TokenFile   Source = "tokenFile"
	EmbeddedKey Source = "client-key-data"
	KeyFile     Source = "client-key"
	ExecPlugin  Source = "exec"
	// DiscoveryToken is a file with a token and nothing else ([Reader.LoadToken]).
	DiscoveryToken Source = "discovery token"
)

// Bootstrap is a bootstrap kubeconfig that can be used.
type Bootstrap struct {
	Path       string
	Endpoint   apiserver.Endpoint
	Credential apiserver.Credential
	Source     Source
	// SecretFile is the file other than Path that holds the secret: the tokenFile or the client key.
	SecretFile string
	// Mode of Path, and of SecretFile if there is one: others should read neither ([Bootstrap.Narrow]).
	Mode, SecretMode fs.FileMode

	used map[string][]byte // path → the bytes that were read there, to delete only what was used
}

// Fingerprint tells one credential from another. It says nothing about either.
func (b *Bootstrap) Fingerprint() string {
	sum := sha256.New()
	for _, path := range []string{b.Path, b.SecretFile} {
		sum.Write(b.used[path])
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// LoadBootstrap reads the bootstrap kubeconfig at path. An error that wraps [ErrNoCredential] means that there is none; any
// other names the file, the field and the remedy. Files are read once: what is returned is what was judged.
func (r *Reader) LoadBootstrap(path string) (*Bootstrap, error) {
	file, err := r.read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s does not exist", ErrNoCredential, path)
	}
	if err != nil {
		return nil, fmt.Errorf("bootstrap kubeconfig: %w", err)
	}
	b := &Bootstrap{Path: path, Mode: file.Info.Mode().Perm(), used: map[string][]byte{path: file.Data}}
	cluster, user, err := r.current(path, file.Data)
	if err == nil {
		b.Endpoint, err = endpointOf(cluster)
	}
	if err == nil {
		err = b.readCredential(user)
	}
	if err != nil {
		return nil, fmt.Errorf("bootstrap kubeconfig %s: %w", path, err)
	}
	return b, nil
}

// current returns the cluster and the user of the current context, with relative paths resolved against the file's folder.
func current(path string, data []byte) (*clientcmdapi.Cluster, *clientcmdapi.AuthInfo, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil, errors.New("is empty; is it still being written?")
	}
	config, err := clientcmd.Load(data)
	if err != nil {
		return nil, nil, fmt.Errorf("is not a kubeconfig%s; check it with: kubectl --kubeconfig=%s config view", lineOf(err), path)
	}
	if config.CurrentContext == "" {
		return nil, nil, errors.New("has no current-context; set it with: kubectl config use-context")
	}
	context, ok := config.Contexts[config.CurrentContext]
	if !ok {
		return nil, nil, errors.New("current-context is not among its contexts")
	}
	cluster, ok := config.Clusters[context.Cluster]
	if !ok {
		return nil, nil, errors.New("the cluster of the current context is not there")
	}
	user, ok := config.AuthInfos[context.AuthInfo]
	if !ok {
		return nil, nil, errors.New("the user of the current context is not there")
	}
	cluster.LocationOfOrigin, user.LocationOfOrigin = path, path
	if err := clientcmd.ResolveLocalPaths(&clientcmdapi.Config{
		Clusters:  map[string]*clientcmdapi.Cluster{"": cluster},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"": user},
	}); err != nil {
		return nil, nil, err
	}
	return cluster, user, nil
}

// Named returns the files that the kubeconfig at path names in its current context, as far as it can be read. They need not be there.
func (r *Reader) Named(path string) []string {
	file, err := r.read(path)
	if err != nil {
		return nil
	}
	cluster, user, err := r.current(path, file.Data)
	if err != nil {
		return nil
	}
	named := []string{cluster.CertificateAuthority, user.TokenFile, user.ClientKey, user.ClientCertificate}
	return slices.DeleteFunc(named, func(path string) bool { return path == "" })
}

var errorLine = regexp.MustCompile(`line \d+`)

// lineOf keeps of a parser's error only where it was: the text may quote what stood there, and that may be a token.
func lineOf(err error) string {
	if line := errorLine.FindString(err.Error()); line != "" {
		return " (" + line + ")"
	}
	return ""
}

// readNamed reads the file that a field of a kubeconfig names.
func readNamed(kubeconfig, field, path string) (durable.File, error) {
	file, err := durable.ReadTrusted(path, maxSize)
	var failed *fs.PathError
	switch {
	case errors.As(err, &failed):
		return file, fmt.Errorf("%s cannot be read: %w", calling(kubeconfig, field, path), failed.Err)
	case err != nil:
		return file, fmt.Errorf("%s: %w", field, err)
	}
	return file, nil
}

// calling is what an error calls a file that cannot be read. Its name may be no name but the token itself, written into the
// wrong field: it is quoted only when it leads into another folder, one that is there.
func calling(kubeconfig, field, path string) string {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() || dir == "/" || dir == filepath.Dir(kubeconfig) {
		return "the file that " + field + " names"
	}
	return field + " " + path
}
