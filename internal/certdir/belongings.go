package certdir

import (
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// What is ours in the folder is told by its name: the kubelet and the agent share the names of the pairs, and nobody else has any of them.
// Only kubelet.crt and kubelet.key are told by what they are: see names.go.

// Requests returns the files that are there of requests under way, with their keys: what asks for a rotation, what is pending, and what a
// crash left unfinished.
func (d Dir) Requests() []string {
	files := []string{d.RotateFile(Client), d.RotateFile(Serving), d.PendingFile(Client), d.PendingFile(Serving)}
	entries, _ := os.ReadDir(d.Path)
	for _, entry := range entries {
		if durable.IsTemp(entry.Name()) {
			files = append(files, filepath.Join(d.Path, entry.Name()))
		}
	}
	return present(files)
}

// CAs returns the CA files that are there.
func (d Dir) CAs() []string { return present([]string{d.ServerCA(), d.ClientCA()}) }

// Pairs returns what is there of a kind of pairs, the current name before what it leads to: every data file, whoever owns it.
func (d Dir) Pairs(kind Kind) []string {
	files := []string{d.Current(kind)}
	entries, _ := os.ReadDir(d.Path)
	for _, entry := range entries {
		if dataFile.MatchString(entry.Name()) && strings.HasPrefix(entry.Name(), string(kind)+"-2") {
			files = append(files, filepath.Join(d.Path, entry.Name()))
		}
	}
	return present(files)
}

// RemovePairs removes what Pairs returns, in that order.
func (d Dir) RemovePairs(kind Kind) error {
	for _, path := range d.Pairs(kind) {
		if err := d.Disk.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// RemoveLock removes the lock file. Whoever holds the lock on it holds nothing any more.
func (d Dir) RemoveLock() error { return d.Disk.Remove(filepath.Join(d.Path, lockName)) }

// Strays returns the files to which a name of ours leads and which are none of ours, in this folder or another one. They may hold a key of
// the node's.
func (d Dir) Strays() []string {
	files := slices.Concat(d.Pairs(Client), d.Pairs(Serving), d.Requests())
	ours := map[string]bool{}
	for _, path := range files {
		if folder, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
			ours[filepath.Join(folder, filepath.Base(path))] = true
		}
	}
	var strays []string
	for _, path := range files {
		end, err := filepath.EvalSymlinks(path)
		if info, statErr := os.Stat(end); err != nil || statErr != nil || !info.Mode().IsRegular() {
			continue
		}
		if !ours[end] && !slices.Contains(strays, end) {
			strays = append(strays, end)
		}
	}
	return strays
}

// Obstacles returns what stands at a name of ours and is neither a file nor a link: a folder, a fifo, a socket, a device.
func (d Dir) Obstacles() []string {
	var obstacles []string
	for _, path := range append(d.Files(), d.originals()...) {
		if info, err := os.Lstat(path); err == nil && !isFileOrLink(info) {
			obstacles = append(obstacles, path)
		}
	}
	return obstacles
}

// present keeps the files and links among paths.
func present(paths []string) []string {
	return slices.DeleteFunc(paths, func(path string) bool {
		info, err := os.Lstat(path)
		return err != nil && !Unread(err) || err == nil && !isFileOrLink(info)
	})
}

func isFileOrLink(info fs.FileInfo) bool {
	return info.Mode().IsRegular() || info.Mode()&fs.ModeSymlink != 0
}

// blocks is what PEM blocks hold.
type blocks map[string]bool

// ourBlocks reads all that is there. What cannot be read knows of no block.
func (d Dir) ourBlocks() blocks {
	found := blocks{}
	for _, path := range slices.Concat(d.Pairs(Client), d.Pairs(Serving), d.Requests()) {
		file, err := durable.ReadFile(path, maxSize)
		if err != nil {
			continue
		}
		found.add(file.Data)
	}
	return found
}

// SharePEM says whether two texts have a PEM block in common: two CA bundles a certificate, for example.
func SharePEM(a, b []byte) bool {
	found := blocks{}
	found.add(a)
	return found.in(b)
}

func (b blocks) add(text []byte) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		b[string(block.Bytes)] = true
	}
}

// in says whether a text holds one of them.
func (b blocks) in(text []byte) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if b[string(block.Bytes)] {
			return true
		}
	}
	return false
}

func gone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
