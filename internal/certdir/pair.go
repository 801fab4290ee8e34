package certdir

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Pair is a certificate with its chain and its key, read from one file.
type Pair struct {
	// File is where the bytes lie: the target of the current link.
	File string
	// PEM is the file's content: leaf, chain, key.
	PEM     []byte
	Leaf    *x509.Certificate
	Key     crypto.PrivateKey
	ModTime time.Time
}

// ErrNoPair says that there is no file.
var ErrNoPair = errors.New("no certificate")

// Read returns the pair in use. [ErrNoPair]: there is none; any other error says what is wrong with the one that is there.
func (d Dir) Read(kind Kind) (*Pair, error) { return d.Known.read(d.Current(kind)) }

// danglingError is a current link whose file is gone.
type danglingError string

func (e danglingError) Error() string { return string(e) }

// Is makes it a kind of [fs.ErrNotExist].
func (e danglingError) Is(target error) bool { return target == fs.ErrNotExist }

// Gone says whether err, of Read, means that there is no pair, and not that the one which is there is of no use.
func Gone(err error) bool { return errors.Is(err, ErrNoPair) || errors.Is(err, fs.ErrNotExist) }

func readPair(path string) (*Pair, error) { return (*Known)(nil).read(path) }

func (k *Known) read(path string) (*Pair, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		if target, linkErr := os.Readlink(path); linkErr == nil {
			return nil, danglingError(fmt.Sprintf("%s leads to %s, which is not there", path, target))
		}
		return nil, fmt.Errorf("%w at %s", ErrNoPair, path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err) // links in a ring: the error does not say where
	}
	file, err := durable.ReadFile(real, maxSize)
	if err != nil {
		return nil, err
	}
	pair, err := k.parse(file.Data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", real, err)
	}
	pair.File, pair.ModTime = real, file.Info.ModTime()
	return pair, nil
}

// ParsePair reads certificate and key from one PEM text. They must belong together.
func ParsePair(text []byte) (*Pair, error) {
	if len(text) == 0 {
		return nil, errors.New("the file is empty")
	}
	pair, err := tls.X509KeyPair(text, text)
	if err != nil {
		return nil, fmt.Errorf("not a certificate with its key: %s", strings.TrimPrefix(err.Error(), "tls: "))
	}
	return &Pair{PEM: text, Leaf: pair.Leaf, Key: pair.PrivateKey}, nil
}

// dataFile matches what FileStore names a pair: prefix and local time.
var dataFile = regexp.MustCompile(`^(kubelet-client|kubelet-server)-\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d\.pem$`)

const dataTime = "2006-01-02-15-04-05"

// dataFiles returns the paths of all data files of a kind.
func (d Dir) dataFiles(kind Kind) []string {
	entries, _ := os.ReadDir(d.Path)
	var files []string
	for _, entry := range entries {
		if dataFile.MatchString(entry.Name()) && strings.HasPrefix(entry.Name(), string(kind)+"-2") && entry.Type().IsRegular() {
			files = append(files, filepath.Join(d.Path, entry.Name()))
		}
	}
	return files
}

// Older returns the pairs that are not current and can be read, the one that began to be valid last first.
func (d Dir) Older(kind Kind) []*Pair {
	current, _ := filepath.EvalSymlinks(d.Current(kind))
	var older []*Pair
	for _, path := range d.dataFiles(kind) {
		if real, err := filepath.EvalSymlinks(path); err != nil || real == current {
			continue
		}
		if pair, err := d.Known.read(path); err == nil {
			older = append(older, pair)
		}
	}
	slices.SortFunc(older, func(a, b *Pair) int { return b.Leaf.NotBefore.Compare(a.Leaf.NotBefore) })
	return older
}

// Use makes an older pair the current one again.
func (d Dir) Use(kind Kind, pair *Pair) error {
	return d.Disk.Symlink(filepath.Base(pair.File), d.Current(kind))
}

// Restore makes a pair that was read earlier the current one again, in the file that it was in and with its time, by which its
// rotation is planned.
func (d Dir) Restore(kind Kind, pair *Pair) error {
	name := filepath.Base(pair.File)
	if !dataFile.MatchString(name) { // it was no file of ours that the link led to
		var err error
		if name, err = d.freeName(kind, pair.ModTime); err != nil {
			return err
		}
	}
	if err := d.Disk.WriteFileOf(filepath.Join(d.Path, name), pair.PEM, 0o600, pair.ModTime); err != nil {
		return err
	}
	return d.Disk.Symlink(name, d.Current(kind))
}

// Commit stores a pair under a name of its own and then makes it the current one in one step.
func (d Dir) Commit(kind Kind, pairPEM []byte, now time.Time) error {
	name, err := d.freeName(kind, now)
	if err != nil {
		return err
	}
	err = d.Disk.WriteFile(filepath.Join(d.Path, name), pairPEM, 0o600)
	if err == nil {
		err = d.Disk.Symlink(name, d.Current(kind))
	}
	if err != nil {
		return errors.Join(err, d.takeBack(kind, name))
	}
	return nil
}

// takeBack removes a pair that did not become the current one, so that attempts on a disk in trouble do not fill it. One that did,
// though it may be lost in a power cut, stays.
func (d Dir) takeBack(kind Kind, name string) error {
	if target, err := os.Readlink(d.Current(kind)); err == nil && target != name || errors.Is(err, fs.ErrNotExist) {
		return d.Disk.Remove(filepath.Join(d.Path, name))
	}
	return nil
}

// freeName returns a name that no file has: the names have a resolution of a second, and FileStore truncates the very file in
// use when two pairs come within one.
func (d Dir) freeName(kind Kind, now time.Time) (string, error) {
	for range 3600 {
		name := fmt.Sprintf("%s-%s.pem", kind, now.Local().Format(dataTime))
		if _, err := os.Lstat(filepath.Join(d.Path, name)); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		} else if err != nil {
			return "", err
		}
		now = now.Add(time.Second)
	}
	return "", fmt.Errorf("%s holds a file for every second of the next hour", d.Path)
}
