package kubeconfig

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Disposal is what became of a bootstrap credential.
type Disposal string

const (
	// Deleted: the secret is gone from the disk.
	Deleted Disposal = "deleted"
	// Kept: it stays, as the kind of credential or the configuration wants it; Said explains.
	Kept Disposal = "kept"
	// Exposed: a secret stays that should not; a person should look. Said explains.
	Exposed Disposal = "exposed"
	// Newer: another credential stands there by now. It was not touched and is to be used.
	Newer Disposal = "newer"
)

// Disposed is the outcome of [Bootstrap.Dispose]: one sentence for the log.
type Disposed struct {
	Disposal Disposal
	File     string
	Said     string
}

// Dispose removes the secret that b was read from, and nothing else: a file is deleted only if it still holds the bytes that
// were used. It must be called only after the identity obtained with it is proved and durable. An error means that the secret
// is still there because the file system would not let it go; trying again later may help.
func (b *Bootstrap) Dispose(disk durable.Disk, credentialsDirectory string) (Disposed, error) {
	secret := cmp.Or(b.SecretFile, b.Path)
	if IsSystemdCredential(secret, credentialsDirectory) {
		return Disposed{Kept, secret, "it is a systemd credential, which only its source can remove (LoadCredential= of the unit)"}, nil
	}
	switch b.Source {
	case InlineToken, EmbeddedKey, DiscoveryToken:
		return b.delete(disk, b.Path)
	case TokenFile:
		return b.disposeTokenFile(disk)
	case KeyFile:
		return Disposed{Exposed, b.SecretFile, "a client key given by path is not ours to delete; remove it if nothing else needs it"}, nil
	default:
		return Disposed{Kept, b.Path, "an exec plugin is no secret, and the way back should the certificate ever expire"}, nil
	}
}

func (b *Bootstrap) disposeTokenFile(disk durable.Disk) (Disposed, error) {
	info, err := os.Lstat(b.SecretFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Disposed{Deleted, b.SecretFile, "it was gone already"}, nil
	}
	if err != nil {
		return Disposed{}, fmt.Errorf("delete the used tokenFile: %w", err)
	}
	if !inFolder(filepath.Dir(b.Path), b.SecretFile) || durable.OwnerOf(info) != 0 && durable.OwnerOf(info) != os.Geteuid() {
		return Disposed{Exposed, b.SecretFile, "a tokenFile outside the kubeconfig's folder is not ours to delete; remove it if nothing else needs it"}, nil
	}
	return b.delete(disk, b.SecretFile)
}

// delete removes path and, if it is a link, the file in the same folder that it leads to.
func (b *Bootstrap) delete(disk durable.Disk, path string) (Disposed, error) {
	target, said, err := deletable(path)
	if err != nil {
		return Disposed{}, fmt.Errorf("delete the used bootstrap credential %s: %w", path, err)
	}
	if said != "" {
		return Disposed{Exposed, path, said}, nil
	}
	link, _ := os.Readlink(path)
	disposal, err := deleteUsed(disk, target, b.used[path])
	if err == nil && disposal == Deleted && target != path {
		disposal, err = deleteIf(disk, path, func(aside string) (bool, error) { return leadsNowhere(aside, link), nil })
	}
	if err != nil {
		return Disposed{}, fmt.Errorf("delete the used bootstrap credential %s: %w", path, err)
	}
	if disposal == Newer {
		return Disposed{Newer, path, "another one was put there while this one was in use"}, nil
	}
	return Disposed{Deleted, path, "the new identity is proved and on disk"}, nil
}

// deletable returns the regular file to delete for path, or why none may be: what somebody else's name leads to stays. An error
// means that it cannot be told now.
//
// What is judged here by its path is changed by its path later. The way there is root's and ours alone (durable.TrustFolder), so
// that nobody else can swap a folder in between.
func deletable(path string) (target, refusal string, err error) {
	target = path
	info, err := os.Lstat(path)
	if err == nil && !inFolder(filepath.Dir(path), path) {
		return "", `its path has ".." behind a link, so that it lies in another folder than it seems to; give it by its plain path`, nil
	}
	if err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if target, err = filepath.EvalSymlinks(path); err == nil {
			info, err = os.Lstat(target)
		}
	}
	real, _ := filepath.EvalSymlinks(filepath.Dir(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return path, "", nil // gone already; deleteUsed finds out
	case err != nil:
		return "", "", err
	case target != path && filepath.Dir(target) != real:
		return "", fmt.Sprintf("it is a link to %s in another folder, which is not ours to delete; remove that file by hand", target), nil
	case !info.Mode().IsRegular():
		return "", fmt.Sprintf("%s is no regular file", target), nil
	case durable.LinksOf(info) != 1:
		return "", fmt.Sprintf("%s has %d names (hard links), so that deleting one would not remove the secret; remove them by hand", target, durable.LinksOf(info)), nil
	case durable.OwnerOf(info) != 0 && durable.OwnerOf(info) != os.Geteuid():
		return "", fmt.Sprintf("%s belongs to user %d; remove it by hand", target, durable.OwnerOf(info)), nil
	}
	return target, "", nil
}

// AsideName is where the credential at path waits while it is looked at for the last time.
func AsideName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".used")
}

// inFolder says whether path lies directly in folder, by its name and in truth: behind a link ".." is another folder than its
// name says.
func inFolder(folder, path string) bool {
	there, err := os.Stat(folder)
	if err != nil || filepath.Dir(path) != folder {
		return false
	}
	dir, _ := filepath.Split(path)
	here, err := os.Stat(cmp.Or(dir, "."))
	return err == nil && os.SameFile(there, here)
}

// errBeingWritten says that somebody has the file open to change it: what arrives there next must not be lost.
var errBeingWritten = errors.New("another program has it open for writing")

// deleteUsed deletes path if it holds the bytes used, and is their only name: a link, or a second name, that was put there since
// path was looked at would leave the secret where it leads.
func deleteUsed(disk durable.Disk, path string, used []byte) (Disposal, error) {
	return deleteIf(disk, path, func(aside string) (bool, error) {
		f, err := os.OpenFile(aside, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
			return false, nil // a link, or a socket: not what was used
		}
		if err != nil {
			return false, err // it may be what was used
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() || durable.LinksOf(info) != 1 {
			return false, err
		}
		if beingWritten(f) {
			return false, errBeingWritten
		}
		data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
		return bytes.Equal(data, used), err
	})
}

// beingWritten says whether anybody has the file open for writing: the kernel grants a read lease only if nobody has. Where a
// file system has no leases nobody can tell. The lease ends when f is closed.
func beingWritten(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	return errors.Is(err, unix.EAGAIN)
}

// leadsNowhere says whether path is still the link, and what it leads to is not there.
func leadsNowhere(path, link string) bool {
	text, notLink := os.Readlink(path)
	_, err := os.Stat(path)
	return notLink == nil && text == link && errors.Is(err, fs.ErrNotExist)
}

// deleteIf deletes path if it is the one. It is moved aside before it is looked at, so that a new one put in its place at any
// moment is never deleted.
func deleteIf(disk durable.Disk, path string, isTheOne func(aside string) (bool, error)) (Disposal, error) {
	aside := AsideName(path)
	if err := disk.Remove(aside); err != nil { // path is there or gone; what lies aside is older than either
		return "", err
	}
	if err := disk.RenameNoReplace(path, aside); errors.Is(err, fs.ErrNotExist) {
		return Deleted, nil
	} else if err != nil {
		return "", err
	}
	it, err := isTheOne(aside)
	if it && err == nil {
		return Deleted, disk.Remove(aside)
	}
	return Newer, errors.Join(err, PutBack(disk, path))
}

// PutBack settles a credential that lies aside, as a crash during its disposal leaves it: it gets its name back, or, when a
// newer one stands there, goes.
func PutBack(disk durable.Disk, path string) error {
	aside := AsideName(path)
	if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	err := disk.RenameNoReplace(aside, path)
	if errors.Is(err, fs.ErrExist) {
		return disk.Remove(aside)
	}
	return err
}

// Aside returns the files, of the bootstrap kubeconfig at path, the tokenFile that it names and what links there lead to, that
// lie aside. What lies so in another folder is not ours.
func (r *Reader) Aside(path string) []string {
	candidates := []string{path}
	if file, err := r.read(path); err == nil {
		if _, user, err := r.current(path, file.Data); err == nil && inFolder(filepath.Dir(path), user.TokenFile) {
			candidates = append(candidates, user.TokenFile)
		}
	}
	return aside(candidates)
}

// AsideToken is [Reader.Aside] for a discovery token's file.
func AsideToken(path string) []string { return aside([]string{path}) }

func aside(candidates []string) []string {
	for _, candidate := range candidates {
		if end := endOf(candidate); end != candidate {
			candidates = append(candidates, end)
		}
	}
	var aside []string
	for _, candidate := range candidates {
		if _, err := os.Lstat(AsideName(candidate)); err == nil {
			aside = append(aside, candidate)
		}
	}
	return aside
}

// endOf follows the links that begin at path to a file in the same folder, which need not be there.
func endOf(path string) string {
	end := path
	for range 8 { // links in a ring have no end
		target, err := os.Readlink(end)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(end), target)
		}
		end = target
	}
	own, _ := filepath.EvalSymlinks(filepath.Dir(path))
	if folder, _ := filepath.EvalSymlinks(filepath.Dir(end)); folder != own {
		return path
	}
	return end
}
