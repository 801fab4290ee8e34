package join

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// The files of a folder. Which of them there are depends on how the nodes learn where the cluster is.
const (
	SecretFile     = "secret.yaml"
	KubeconfigFile = "bootstrap.kubeconfig"
	TokenFileName  = "bootstrap.token"
	ConfigFile     = "config.yaml"
	UserDataFile   = "user-data.yaml"
)

// names are all that a folder may have of ours; the first is what two that write at the same time meet at.
var names = []string{SecretFile, KubeconfigFile, TokenFileName, ConfigFile, UserDataFile}

// File is one file of a folder.
type File struct{ Name, Content string }

// Files are what the admin and the nodes need, all of it for one token.
func (i Invitation) Files() ([]File, error) {
	userData, err := i.UserData()
	if err != nil {
		return nil, err
	}
	if i.Discovery {
		settings, err := i.Config()
		return []File{{SecretFile, i.Secret()}, {TokenFileName, i.TokenFile()}, {ConfigFile, settings}, {UserDataFile, userData}}, err
	}
	kubeconfig, err := i.Kubeconfig()
	return []File{{SecretFile, i.Secret()}, {KubeconfigFile, kubeconfig}, {UserDataFile, userData}}, err
}

// Folder is where files are put.
type Folder struct {
	Path string
	Disk durable.Disk
	// Force has files replaced that are there, and those removed that belonged to them.
	Force bool
}

// ErrThere says that there are files already. A Secret may have been made of them, and nodes been given them.
var ErrThere = errors.New("is there already, and a cluster or nodes may have been given it; choose another folder, or replace it with --force")

// Put puts all files there, 0600, or none, as far as the file system lets it: what was begun is taken back when something fails. Files of
// two tokens never lie side by side.
func (f Folder) Put(files []File) (err error) {
	var undo undoing
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.all())
		}
	}()
	if err := f.make(&undo); err != nil {
		return err
	}
	old, err := f.old()
	if err != nil {
		return err
	}
	staged, err := f.stage(files, &undo)
	if err != nil {
		return err
	}
	for _, o := range old {
		undo.with(func() error { return f.Disk.WriteFile(o.Path, o.Data, o.Info.Mode().Perm()) })
		if err := f.Disk.Remove(o.Path); err != nil {
			return err
		}
	}
	for i, file := range files {
		path := filepath.Join(f.Path, file.Name)
		placed, err := f.place(staged[i], path, file)
		if placed {
			undo.with(func() error { return f.Disk.Remove(path) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// make makes the folder, unless it is there. In one in which everybody may change names, files would not stay what they are.
func (f Folder) make(undo *undoing) error {
	info, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		undo.with(f.unmake)
		return f.Disk.MkdirAll(f.Path, 0o700)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a folder", f.Path)
	case info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("everybody may replace files in %s (mode %04o); choose another folder, or: chmod o-w %s", f.Path, info.Mode().Perm(), f.Path)
	}
	return nil
}

// unmake removes the folder, unless somebody else has put something there.
func (f Folder) unmake() error {
	if err := f.Disk.Remove(f.Path); !errors.Is(err, unix.ENOTEMPTY) {
		return err
	}
	return nil
}

// old returns the files that are to be replaced.
func (f Folder) old() ([]durable.File, error) {
	var old []durable.File
	for _, name := range names {
		path := filepath.Join(f.Path, name)
		info, err := os.Lstat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		case !f.Force:
			return nil, fmt.Errorf("%s %w", path, ErrThere)
		case !info.Mode().IsRegular():
			return nil, fmt.Errorf("%s is not a regular file and is not replaced; move it away", path)
		}
		file, err := durable.ReadFile(path, 1<<20)
		if err != nil {
			return nil, err
		}
		old = append(old, file)
	}
	return old, nil
}

// stage writes the files under other names: whether there is room for all is known before anything changes.
func (f Folder) stage(files []File, undo *undoing) ([]string, error) {
	var staged []string
	for _, file := range files {
		path := filepath.Join(f.Path, "."+file.Name+"."+rand.Text()+".tmp") // durable.IsTemp knows it
		undo.with(func() error { return f.Disk.Remove(path) })
		if err := f.Disk.WriteFile(path, []byte(file.Content), 0o600); err != nil {
			return nil, err
		}
		staged = append(staged, path)
	}
	return staged, nil
}

// place gives a staged file its name, unless somebody else has just taken it, and says whether it has it, also beside an error: that the
// folder could not be synced, say. Some network file systems cannot do both in one step.
func (f Folder) place(staged, path string, file File) (placed bool, err error) {
	err = f.Disk.RenameNoReplace(staged, path)
	switch {
	case errors.Is(err, fs.ErrExist), errors.Is(err, unix.EINVAL) && there(path):
		return false, fmt.Errorf("%s %w", path, ErrThere)
	case errors.Is(err, unix.EINVAL):
		return true, errors.Join(f.Disk.WriteFile(path, []byte(file.Content), 0o600), f.Disk.Remove(staged))
	}
	return !there(staged), err
}

func there(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Paths are where the files are, for a person.
func (f Folder) Paths(files []File) string {
	var paths []string
	for _, file := range files {
		paths = append(paths, filepath.Join(f.Path, file.Name))
	}
	return strings.Join(paths, ", ")
}

// undoing is what takes back a change, for each that was begun.
type undoing []func() error

func (u *undoing) with(step func() error) { *u = append(*u, step) }

// all takes the changes back, the last one first.
func (u *undoing) all() error {
	var errs []error
	for _, step := range slices.Backward(*u) {
		errs = append(errs, step())
	}
	return errors.Join(errs...)
}
