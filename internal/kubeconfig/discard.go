package kubeconfig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Discardable returns the files that a machine must lose which is to forget its bootstrap credential: the bootstrap kubeconfig at path,
// whatever it holds, its tokenFile, what links there lead to, and what lies aside; a file before the one that tells of it, so that who is
// interrupted finds the rest again. Each is a name to unlink. stays are those that hold a secret, or may, and are not ours to delete; it is
// the same as in [Bootstrap.Dispose]. Nothing is changed.
func Discardable(path string) (files []string, stays []Disposed) {
	return discardable(path, func(found *discarding) {
		for _, root := range []string{path, AsideName(path)} {
			found.named(path, root)
		}
	})
}

// DiscardableToken is [Discardable] for a discovery token's file.
func DiscardableToken(path string) (files []string, stays []Disposed) {
	return discardable(path, func(*discarding) {})
}

func discardable(path string, named func(*discarding)) (files []string, stays []Disposed) {
	if err := durable.TrustFolder(filepath.Dir(path)); errors.Is(err, durable.ErrUntrusted) {
		if _, err := os.Lstat(path); err == nil {
			stays = []Disposed{{Exposed, path, fmt.Sprintf("nothing is deleted in a folder that others can change (%v)", err)}}
		}
		return nil, stays
	}
	var found discarding
	named(&found)
	found.name(path)
	return found.files, found.stays
}

// discarding collects what is found, each file once.
type discarding struct {
	files []string
	stays []Disposed
}

// named adds the secrets that the kubeconfig in file names, which is the one of path or was moved aside from there. One that others may
// have written must not decide what root deletes.
func (d *discarding) named(path, file string) {
	content, err := durable.ReadTrusted(file, maxSize)
	if errors.Is(err, durable.ErrUntrusted) {
		d.stay(file, "others could have changed it, so that the files which it names were not looked at")
	}
	if err != nil {
		return
	}
	_, user, err := current(path, content.Data)
	if err != nil {
		return
	}
	d.tokenFile(path, user)
	if _, err := os.Lstat(user.ClientKey); user.ClientKey != "" && err == nil {
		d.stay(user.ClientKey, "a client key given by path is not ours to delete; remove it if nothing else needs it")
	}
}

func (d *discarding) tokenFile(path string, user *clientcmdapi.AuthInfo) {
	switch {
	case user.TokenFile == "":
	case inFolder(filepath.Dir(path), user.TokenFile):
		d.name(user.TokenFile)
	default:
		if _, err := os.Lstat(user.TokenFile); err == nil {
			d.stay(user.TokenFile, "a tokenFile outside the kubeconfig's folder is not ours to delete; remove it if nothing else needs it")
		}
	}
}

// name adds what a name leads to, the name itself, and what lies aside of both.
func (d *discarding) name(path string) {
	for _, name := range []string{endOf(path), path} {
		d.one(name)
		d.one(AsideName(name))
	}
}

func (d *discarding) one(name string) {
	info, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || slices.Contains(d.files, name) {
		return
	}
	isLink := err == nil && info.Mode()&fs.ModeSymlink != 0
	_, refusal, err := deletable(name)
	switch {
	case err != nil && !isLink: // a link that leads in a ring holds nothing
		d.stay(name, err.Error())
	case err == nil && refusal != "":
		d.stay(name, refusal)
	default:
		d.files = append(d.files, name)
	}
}

func (d *discarding) stay(file, said string) {
	entry := Disposed{Exposed, file, said}
	if !slices.Contains(d.stays, entry) {
		d.stays = append(d.stays, entry)
	}
}

// IsOf says whether the kubeconfig at path leads to pair, by the path of the client certificate in its current context: then it is of no use
// without it. One that cannot be read, or that others could have changed, is none of ours.
func IsOf(path, pair string) bool {
	return slices.Contains(Named(path), pair)
}
