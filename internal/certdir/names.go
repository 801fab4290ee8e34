package certdir

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Names is what stands under the kubelet's own two names, as far as somebody has to decide about it who takes away what is ours. Each
// list begins with the key's: the reverse of the order in which they are made.
type Names struct {
	// Ours are links to our pair, links that lead nowhere, and copies of a key or certificate of ours.
	Ours []string
	// Foreign are somebody else's; Strays, among them, lead to or hold a key or certificate of ours all the same; Unread may.
	Foreign, Strays, Unread []string
	// Original: the pair that stood there before us is kept, and can be put back.
	Original bool
	// Kept are the copies of it that are there; Needless, among them, are those of what stands there still, or again.
	Kept, Needless []string
}

// Names looks at the kubelet's own two names.
func (d Dir) Names() Names {
	names, kept := d.servingNames(), d.originals()
	ours := d.ourBlocks()
	n := Names{Kept: present([]string{kept[1], kept[0]})}
	for _, i := range []int{1, 0} {
		if keeps(names[i], kept[i]) {
			n.Needless = append(n.Needless, kept[i])
			continue
		}
		d.judge(&n, names[i], ours)
	}
	_, _, err := d.original()
	n.Original = err == nil && len(n.Needless) < len(names) && len(n.Foreign) == 0
	return n
}

// judge says whose a name is.
func (d Dir) judge(n *Names, path string, ours blocks) {
	info, err := os.Lstat(path)
	isLink := err == nil && info.Mode()&os.ModeSymlink != 0
	switch {
	case err != nil && gone(path):
		return
	case err == nil && (d.isOurLink(path) || dangling(path)):
		n.Ours = append(n.Ours, path)
		return
	}
	file, err := durable.ReadFile(path, maxSize)
	mine := err == nil && ours.in(file.Data)
	switch {
	case mine && !isLink:
		n.Ours = append(n.Ours, path)
		return
	case mine:
		n.Strays = append(n.Strays, path)
	case Unread(err):
		n.Unread = append(n.Unread, path)
	}
	n.Foreign = append(n.Foreign, path)
}

// keeps says whether path is a file that holds what its copy does.
func keeps(path, copied string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	file, err := durable.ReadFile(path, maxSize)
	kept, keptErr := durable.ReadFile(copied, maxSize)
	return err == nil && keptErr == nil && bytes.Equal(file.Data, kept.Data)
}

// originals returns the paths of the copies of the pair that stood there before us, the certificate's first.
func (d Dir) originals() []string {
	names := d.servingNames()
	return []string{names[0] + originSuffix, names[1] + originSuffix}
}

// original reads that pair, whose validity does not matter: it stood there.
func (d Dir) original() (cert, key []byte, err error) {
	var halves [2][]byte
	for i, path := range d.originals() {
		file, err := durable.ReadTrusted(path, maxSize)
		if err != nil {
			return nil, nil, err
		}
		halves[i] = file.Data
	}
	if _, err := tls.X509KeyPair(halves[0], halves[1]); err != nil {
		return nil, nil, fmt.Errorf("what was kept of the pair before ours is none: %w", err)
	}
	return halves[0], halves[1], nil
}

// RestoreOriginal puts the pair back, as files, that stood under the kubelet's own names before ours did. It becomes the current one
// first, by one swap, so that a kubelet finds the one pair or the other at every moment, and never a half. Links and copies are left for
// the caller to remove. It can be made again at any point.
func (d Dir) RestoreOriginal(now time.Time) error {
	cert, key, err := d.original()
	if err != nil {
		return fmt.Errorf("put back the pair that was there before: %w", err)
	}
	if err := d.removeCopies(); err != nil { // or they would be kept as the original
		return err
	}
	both := append(append(bytes.Clone(cert), '\n'), key...)
	if current, err := d.Read(Serving); err != nil || !bytes.Equal(current.PEM, both) {
		if err := d.Commit(Serving, both, now); err != nil {
			return err
		}
	}
	if err := d.FinishServing(); err != nil { // both names, so that each can be switched for itself
		return err
	}
	return d.writeNames(cert, key)
}

// CopyServing makes real files of the kubelet's own names if they are links of ours, for a kubelet that is to be without us: copies of the
// current pair, which stays, or nothing where that cannot be read. It can be made again at any point.
func (d Dir) CopyServing() error {
	if !d.anyLinked() {
		return nil
	}
	return d.copyServing()
}

// writeNames makes files of the kubelet's names, which are links to a pair with these halves: whichever of them is read in between, they
// belong together.
func (d Dir) writeNames(halves ...[]byte) error {
	for i, path := range d.servingNames() {
		if err := d.Disk.WriteFile(path, halves[i], 0o600); err != nil {
			return err
		}
	}
	return nil
}

// removeCopies takes real copies of our pair away from the kubelet's names.
func (d Dir) removeCopies() error {
	for _, path := range d.Names().Ours {
		if d.isOurLink(path) || dangling(path) {
			continue
		}
		if err := d.Disk.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// Releasing says whether CopyServing, after RepairLinks, has something to do.
func (d Dir) Releasing(n Names) bool {
	for _, path := range n.Ours {
		if d.isOurLink(path) || dangling(path) {
			return true
		}
	}
	return false
}
