package kubeconfig_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// Each row makes files in a folder that holds the bootstrap kubeconfig, or not, and lists what a reset unlinks, in order, and what it names.
func TestWhatHoldsACredentialIsDiscardedBeforeWhatTellsOfItAndWhatIsNotOursIsNamed(t *testing.T) {
	t.Parallel()
	const name = "bootstrap.kubeconfig"
	with := func(user string) string {
		return "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: https://a}}]\nusers: [{name: u, user: {" + user +
			"}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
	}
	for _, c := range []struct {
		what string
		// files by name; a text that begins with -> is a link.
		files map[string]string
		gone  []string
		stays []string // name: what is said
	}{
		{"nothing", nil, nil, nil},
		{"a token", map[string]string{name: with("token: a")}, []string{name}, nil},
		{"an exec plugin: it would bring the node back", map[string]string{name: with("exec: {command: a}")}, []string{name}, nil},
		{"nonsense", map[string]string{name: "nonsense"}, []string{name}, nil},
		{"what lies aside", map[string]string{"." + name + ".used": with("token: a")}, []string{"." + name + ".used"}, nil},
		{"both", map[string]string{name: "", "." + name + ".used": ""}, []string{name, "." + name + ".used"}, nil},
		{"a tokenFile", map[string]string{name: with("tokenFile: token"), "token": "a"}, []string{"token", name}, nil},
		{"a tokenFile aside", map[string]string{name: with("tokenFile: token"), ".token.used": "a"}, []string{".token.used", name}, nil},
		{"a tokenFile of a kubeconfig aside", map[string]string{"." + name + ".used": with("tokenFile: token"), "token": "a"}, []string{"token", "." + name + ".used"}, nil},
		{"a tokenFile elsewhere", map[string]string{name: with("tokenFile: below/token"), "below/token": "a"}, []string{name}, []string{"below/token: outside the kubeconfig's folder"}},
		{"a tokenFile elsewhere that is gone", map[string]string{name: with("tokenFile: below/token")}, []string{name}, nil},
		{"a key by path", map[string]string{name: with("client-key: key"), "key": "a"}, []string{name}, []string{"key: given by path"}},
		{"a link", map[string]string{name: "->real", "real": with("token: a")}, []string{"real", name}, nil},
		{"a link, its end aside", map[string]string{name: "->real", ".real.used": with("token: a")}, []string{".real.used", name}, nil},
		{"a link to a tokenFile", map[string]string{name: with("tokenFile: token"), "token": "->real", "real": "a"}, []string{"real", "token", name}, nil},
		{"a link elsewhere", map[string]string{name: "->below/real", "below/real": with("token: a")}, nil, []string{name + ": in another folder"}},
		{"a link that leads nowhere", map[string]string{name: "->nothing"}, []string{name}, nil},
		{"a link in a ring", map[string]string{name: "->" + name}, []string{name}, nil},
		{"a folder", map[string]string{name + "/x": ""}, nil, []string{name + ": no regular file"}},
	} {
		dir := t.TempDir()
		for file, text := range c.files {
			path := filepath.Join(dir, file)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			if target, isLink := strings.CutPrefix(text, "->"); isLink {
				must(t, os.Symlink(target, path))
				continue
			}
			must(t, os.WriteFile(path, []byte(text), 0o600))
		}
		files, stays := kubeconfig.Discardable(filepath.Join(dir, name))
		var gone []string
		for _, file := range files {
			gone = append(gone, strings.TrimPrefix(file, dir+"/"))
		}
		if !slices.Equal(gone, c.gone) {
			t.Errorf("%s: %q are discarded, expected %q", c.what, gone, c.gone)
		}
		if len(stays) != len(c.stays) {
			t.Errorf("%s: %v stay, expected %q", c.what, stays, c.stays)
			continue
		}
		for i, expected := range c.stays {
			file, said, _ := strings.Cut(expected, ": ")
			if stays[i].File != filepath.Join(dir, file) || !strings.Contains(stays[i].Said, said) {
				t.Errorf("%s: %v stays, expected %q", c.what, stays[i], expected)
			}
		}
	}
}

func TestAHardLinkIsNamedForUnlinkingItRemovesNoSecret(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "bootstrap.kubeconfig")
	must(t, os.WriteFile(path, nil, 0o600))
	must(t, os.Link(path, path+".copy"))
	if files, stays := kubeconfig.Discardable(path); len(files) > 0 || len(stays) != 1 || !strings.Contains(stays[0].Said, "2 names") {
		t.Errorf("%q, %v", files, stays)
	}
}

func TestInAFolderThatOthersCanChangeNothingIsDiscarded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "open")
	path := filepath.Join(dir, "bootstrap.kubeconfig")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chmod(dir, 0o777))
	if files, stays := kubeconfig.Discardable(path); len(files) > 0 || len(stays) > 0 {
		t.Errorf("of nothing: %q, %v", files, stays)
	}
	must(t, os.WriteFile(path, nil, 0o600))
	if files, stays := kubeconfig.Discardable(path); len(files) > 0 || len(stays) != 1 {
		t.Errorf("%q, %v", files, stays)
	}
}

// Else whoever can write the kubeconfig has root delete what it names.
func TestWhatAKubeconfigNamesThatOthersCanChangeIsNotDiscarded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "bootstrap.kubeconfig")
	must(t, os.WriteFile(path, []byte("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: https://a}}]\nusers: [{name: u, user: {tokenFile: other}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "other"), nil, 0o600))
	must(t, os.Chmod(path, 0o666))
	files, stays := kubeconfig.Discardable(path)
	if !slices.Equal(files, []string{path}) || len(stays) != 1 || !strings.Contains(stays[0].Said, "not looked at") {
		t.Errorf("%q, %v", files, stays)
	}
}
