// Package certdir is the folder that holds the node's certificates, in the kubelet's own layout (client-go's FileStore), so that
// agent and kubelet can each take over from the other: what is in it, how a new pair becomes the current one, and what may be
// swept.
//
// A reader of a current name finds the old pair or the new one, whole, at every moment and after every crash. What a request under
// way or a certificate means is for others to know.
package certdir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Kind is the prefix of one certificate's files.
type Kind string

// The kinds of pairs, named as the kubelet names them.
const (
	Client  Kind = "kubelet-client"
	Serving Kind = "kubelet-server"
)

// Names of files that are not of one kind.
const (
	lockName      = ".bootstrap-agent.lock"
	serverCAName  = "kubelet-apiserver-ca.crt"
	clientCAName  = "kubelet-client-ca.crt"
	servingCert   = "kubelet.crt"
	servingKey    = "kubelet.key"
	originSuffix  = ".orig"
	rotateClient  = ".rotate-client"
	rotateServing = ".rotate-serving"
	pendingSuffix = ".pending.pem"
)

// maxSize is far above any pair, bundle or pending file.
const maxSize = 1 << 20

// Dir is one cert-dir.
type Dir struct {
	Path string
	Disk durable.Disk
	// Known is what Read and Older remember; nil: nothing.
	Known *Known
}

// Current returns the path of the link to the pair in use.
func (d Dir) Current(kind Kind) string { return filepath.Join(d.Path, string(kind)+"-current.pem") }

// PendingFile returns the path of the request under way.
func (d Dir) PendingFile(kind Kind) string { return filepath.Join(d.Path, string(kind)+pendingSuffix) }

// ServerCA returns the path of the bundle that verifies the API server.
func (d Dir) ServerCA() string { return filepath.Join(d.Path, serverCAName) }

// ClientCA returns the path of the bundle that verifies clients of the kubelet.
func (d Dir) ClientCA() string { return filepath.Join(d.Path, clientCAName) }

// Open makes the folder if it is not there and checks that nobody else can change it and that we can. Not being able to is an
// error that only a person can mend.
func (d Dir) Open() error {
	if err := durable.TrustFolder(d.Path); errors.Is(err, durable.ErrUntrusted) {
		return err // also when it is the way to a folder that is not there yet
	}
	if err := d.Disk.MkdirAll(d.Path, 0o700); err != nil {
		return durable.WithRemedy(err)
	}
	return d.check()
}

// Sync makes durable what is in the folder, and the way to it, which a start that was killed may have made.
func (d Dir) Sync() error {
	if err := d.Disk.SyncFolder(d.Path); err != nil {
		return err
	}
	return d.Disk.SyncWay(d.Path)
}

// Check says what Open would, and makes nothing: a folder that is not there is fine.
func (d Dir) Check() error {
	if _, err := os.Lstat(d.Path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return d.check()
}

func (d Dir) check() error {
	info, err := os.Stat(d.Path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder; move it away or give another --cert-dir", d.Path)
	}
	if err := durable.TrustFolder(d.Path); err != nil {
		return err
	}
	if err := unix.Access(d.Path, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("%s is not writable: %w", d.Path, durable.WithRemedy(d.Disk.Explain(d.Path, err)))
	}
	return nil
}

// Lock makes this process the only agent of the cert-dir until the returned file is closed. See [durable.LockedError].
func (d Dir) Lock(holder string) (*os.File, error) {
	return d.Disk.Lock(filepath.Join(d.Path, lockName), holder)
}

// Holds says whether lock, of [Dir.Lock], is the lock of the folder that is there now.
func (d Dir) Holds(lock *os.File) bool {
	held, err := lock.Stat()
	there, thereErr := os.Lstat(filepath.Join(d.Path, lockName))
	return err == nil && thereErr == nil && os.SameFile(held, there)
}

// Files returns the paths whose change matters to anybody who looks at the folder; they need not be there.
func (d Dir) Files() []string {
	files := []string{d.ServerCA(), d.ClientCA(), filepath.Join(d.Path, lockName)}
	for _, kind := range []Kind{Client, Serving} {
		files = append(files, d.Current(kind), d.PendingFile(kind), d.RotateFile(kind))
	}
	names := d.servingNames()
	return append(files, names[:]...)
}

// ReadPending returns the content of a pending file, nil when there is none.
func (d Dir) ReadPending(kind Kind) ([]byte, error) {
	return readOptional(d.PendingFile(kind))
}

// WritePending stores a request under way, whole.
func (d Dir) WritePending(kind Kind, content []byte) error {
	return d.Disk.WriteFile(d.PendingFile(kind), content, 0o600)
}

// RemovePending forgets a request.
func (d Dir) RemovePending(kind Kind) error { return d.Disk.Remove(d.PendingFile(kind)) }

// RotateFile returns the path of the file whose being there asks for another certificate of a kind now.
func (d Dir) RotateFile(kind Kind) string {
	if kind == Client {
		return filepath.Join(d.Path, rotateClient)
	}
	return filepath.Join(d.Path, rotateServing)
}

// AskToRotate asks for another certificate of a kind now.
func (d Dir) AskToRotate(kind Kind) error { return d.Disk.WriteFile(d.RotateFile(kind), nil, 0o600) }

// AskedToRotate says whether another certificate of a kind is asked for.
func (d Dir) AskedToRotate(kind Kind) bool {
	_, err := os.Lstat(d.RotateFile(kind))
	return err == nil
}

// ForgetRotate takes back what AskToRotate did.
func (d Dir) ForgetRotate(kind Kind) error { return d.Disk.Remove(d.RotateFile(kind)) }

// ReadCA returns the content of a CA file of this folder, nil when there is none.
func (d Dir) ReadCA(path string) ([]byte, error) { return readOptional(path) }

// WriteCA makes path hold the bundle. An equal file that only we can change is left alone, for the kubelet re-reads what changes.
func (d Dir) WriteCA(path string, bundle []byte) error {
	if existing, err := durable.ReadTrusted(path, maxSize); err == nil && string(existing.Data) == string(bundle) {
		return nil
	}
	return d.Disk.WriteFile(path, bundle, 0o644)
}

func readOptional(path string) ([]byte, error) {
	file, err := durable.ReadFile(path, maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return file.Data, err
}
