package certdir

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// The kubelet serves kubelet.crt and kubelet.key when its configuration names no pair. Here both are links to the current
// serving pair, so that a kubelet needs no configuration for it. They must never dangle: through a dangling link the kubelet
// writes a key of its own, readable for all, and does not start again.

// servingNames returns the two names, the certificate's first: the order in which they are switched.
func (d Dir) servingNames() [2]string {
	return [2]string{filepath.Join(d.Path, servingCert), filepath.Join(d.Path, servingKey)}
}

func (d Dir) isOurLink(path string) bool {
	target, err := os.Readlink(path)
	current := d.Current(Serving)
	return err == nil && (target == filepath.Base(current) || target == current)
}

// RepairLinks settles what a crash or a person left: links to a pair that cannot be read are taken away, and when one of the
// two is ours the other becomes ours too. It says what it did.
func (d Dir) RepairLinks() (done []string, err error) {
	_, pairErr := d.Read(Serving)
	names := d.servingNames()
	ours := 0
	for _, path := range names {
		switch {
		case d.isOurLink(path):
			ours++
		case dangling(path):
			if err := d.Disk.Remove(path); err != nil {
				return done, err
			}
			done = append(done, "removed dangling link "+path)
		}
	}
	if Unread(pairErr) {
		return done, pairErr // it may well be whole: without the links the kubelet would make a pair of its own
	}
	if pairErr != nil {
		removed, err := d.unlinkServing()
		return append(done, removed...), err
	}
	if ours == 1 {
		if err := d.LinkServing(); err != nil {
			return done, err
		}
		done = append(done, "completed the links "+strings.Join(names[:], " and "))
	}
	return done, nil
}

// unlinkServing takes away our links to a pair that cannot be read, in the reverse of the order in which they are made.
func (d Dir) unlinkServing() (done []string, err error) {
	names := d.servingNames()
	for _, path := range []string{names[1], names[0]} {
		if !d.isOurLink(path) {
			continue
		}
		if err := d.Disk.Remove(path); err != nil {
			return done, err
		}
		done = append(done, "removed link to an unusable pair "+path)
	}
	return done, nil
}

func dangling(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		return false
	}
	_, err = os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// Linked says whether the kubelet finds the current serving pair under both of its own names.
func (d Dir) Linked() bool {
	names := d.servingNames()
	return d.isOurLink(names[0]) && d.isOurLink(names[1])
}

// LinkServing makes both names lead to the current serving pair, which must be readable. What stood there and was not ours is copied
// first: a copy is a new inode, for a hard link would keep the kubelet's watch on the old one.
func (d Dir) LinkServing() error {
	pair, err := d.Read(Serving)
	if err != nil {
		return fmt.Errorf("link the kubelet's serving pair: %w", err)
	}
	cert, key := splitPair(pair.PEM)
	names, ours := d.servingNames(), [2][]byte{cert, key}
	var before [2][]byte
	for i, path := range names {
		if before[i], err = d.keepOriginal(path, ours[i]); err != nil {
			return err
		}
	}
	wasOurs := d.isOurLink(names[0])
	for i, path := range names {
		if d.isOurLink(path) {
			continue
		}
		err := d.Disk.Symlink(filepath.Base(d.Current(Serving)), path)
		if err != nil && i == 1 && !wasOurs {
			err = errors.Join(err, d.putBack(names[0], before[0])) // the old key and the new certificate are no pair
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// putBack makes path hold again what stood there before it became a link of ours; nil: nothing.
func (d Dir) putBack(path string, content []byte) error {
	if content == nil {
		return d.Disk.Remove(path)
	}
	return d.Disk.WriteFile(path, content, 0o600)
}

// keepOriginal copies what stands at path, and returns it; nil: nothing that is not ours. A copy of our own pair, as a release that was
// cut off leaves it, is no original, and must not take the place of one.
func (d Dir) keepOriginal(path string, ours []byte) ([]byte, error) {
	if d.isOurLink(path) {
		return nil, nil
	}
	file, err := durable.ReadFile(path, maxSize)
	switch {
	case errors.Is(err, fs.ErrNotExist), err != nil && holdsNothing(path):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("keep a copy of %s: %w; move it away", path, err)
	case bytes.Equal(file.Data, ours):
		return file.Data, nil
	}
	return file.Data, d.Disk.WriteFile(path+originSuffix, file.Data, 0o600)
}

// holdsNothing says whether what stands at path has no bytes of its own to lose: a link, a fifo, a socket, a device.
func holdsNothing(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && !info.IsDir() && !info.Mode().IsRegular()
}

// RealPair returns the pair under the kubelet's own names when both are files that are not ours: one that the kubelet or a
// person made. An error says why there is none to use; an expired one is none.
func (d Dir) RealPair(now time.Time) (*Pair, error) {
	names := d.servingNames()
	for _, path := range names {
		if d.isOurLink(path) {
			return nil, ErrNoPair
		}
	}
	cert, err := durable.ReadFile(names[0], maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w at %s", ErrNoPair, names[0])
	}
	if err != nil {
		return nil, err
	}
	key, err := durable.ReadFile(names[1], maxSize)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert.Data, key.Data)
	if err != nil {
		return nil, fmt.Errorf("%s and %s do not make a pair: %s", names[0], names[1], strings.TrimPrefix(err.Error(), "tls: "))
	}
	if now.After(pair.Leaf.NotAfter) {
		return nil, fmt.Errorf("%s expired at %s", names[0], pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return &Pair{File: names[0], Leaf: pair.Leaf, Key: pair.PrivateKey, ModTime: cert.Info.ModTime()}, nil
}

// CommitServing is Commit for the serving pair: the links follow, and then the previous pair is deleted, for the kubelet
// watches its inode and reads the new one only when that goes.
func (d Dir) CommitServing(pairPEM []byte, now time.Time) error {
	if err := d.Commit(Serving, pairPEM, now); err != nil {
		return err
	}
	return d.FinishServing()
}

// FinishServing is the second half of CommitServing, which a crash may have cut off: the links, and the end of all pairs but
// the current one.
func (d Dir) FinishServing() error {
	if err := d.LinkServing(); err != nil {
		return err
	}
	unused, err := d.unused(Serving, 0)
	if err != nil {
		return err
	}
	for _, path := range unused {
		if err := d.Disk.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// Releasable says whether there is anything for ReleaseServing to do.
func (d Dir) Releasable() bool { return d.anyLinked() || len(d.copied()) > 0 }

// ReleaseServing gives the kubelet's own names back: links to our pair become real copies of it, or go if it cannot be read, and
// what only served them goes.
func (d Dir) ReleaseServing() error {
	if d.anyLinked() {
		if err := d.copyServing(); err != nil {
			return err
		}
	}
	copied := d.copied()
	if len(copied) == 0 {
		return nil
	}
	for _, path := range append([]string{d.PendingFile(Serving), d.Current(Serving)}, copied...) {
		if err := d.Disk.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// anyLinked says whether at least one of the kubelet's own names is a link of ours.
func (d Dir) anyLinked() bool {
	names := d.servingNames()
	return d.isOurLink(names[0]) || d.isOurLink(names[1])
}

// copyServing turns the kubelet's names into real files, the certificate's first.
func (d Dir) copyServing() error {
	pair, err := d.Read(Serving)
	if Unread(err) {
		return err
	}
	if err != nil { // nothing to copy
		_, err := d.unlinkServing()
		return err
	}
	if err := d.FinishServing(); err != nil { // both names, so that a crash in between is one that RepairLinks knows
		return err
	}
	return d.writeNames(splitPair(pair.PEM))
}

// copied returns the pair of which the kubelet's own names are copies, if that is the current one or there is no current one: what
// a release leaves that was cut off. A pair that the kubelet keeps for itself in files of such names is another one.
func (d Dir) copied() []string {
	names := d.servingNames()
	cert, certErr := durable.ReadFile(names[0], maxSize)
	key, keyErr := durable.ReadFile(names[1], maxSize)
	if certErr != nil || keyErr != nil {
		return nil
	}
	inUse, _ := filepath.EvalSymlinks(d.Current(Serving))
	var files []string
	for _, path := range d.dataFiles(Serving) {
		pair, err := readPair(path)
		if err != nil || inUse != "" && inUse != pair.File {
			continue
		}
		if ofCert, ofKey := splitPair(pair.PEM); bytes.Equal(ofCert, cert.Data) && bytes.Equal(ofKey, key.Data) {
			files = append(files, path)
		}
	}
	return files
}

func splitPair(text []byte) (cert, key []byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			cert = append(cert, pem.EncodeToMemory(block)...)
		} else {
			key = append(key, pem.EncodeToMemory(block)...)
		}
	}
	return cert, key
}
