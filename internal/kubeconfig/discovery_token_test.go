package kubeconfig_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func TestATokenFileHoldsATokenAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, says string }{
		{"a token", token, ""},
		{"a token and a line feed", token + "\n", ""},
		{"a token and white space around it", " \t" + token + "\r\n\n", ""},
		{"nothing", "", "still being written"},
		{"white space", " \n", "still being written"},
		{"the first half", "q7xz9k", "malformed"},
		{"cut off", token[:20], "malformed"},
		{"one character more", token + "x", "malformed"},
		{"capital letters", strings.ToUpper(token), "malformed"},
		{"two tokens", token + "\n" + otherToken, "malformed"},
		{"a comment", "# mine\n" + token, "malformed"},
		{"a field", "token: " + token, "malformed"},
		{"a kubeconfig", withToken(token), "malformed"},
		{"a byte order mark", "\ufeff" + token, "malformed"},
		{"a zero byte", token + "\x00", "malformed"},
		{"more than is read", token + strings.Repeat(" ", 2<<20), "larger than"},
	} {
		f := newFolder(t)
		f.write(tokenName, c.text)
		b, err := kubeconfig.LoadToken(f.in(tokenName))
		if c.says == "" {
			if err != nil || b.Credential.Token != token || b.Source != kubeconfig.DiscoveryToken || b.Endpoint.Server != "" {
				t.Errorf("%s: %+v, %v", c.name, b, err)
			}
			continue
		}
		if err == nil || errors.Is(err, kubeconfig.ErrNoCredential) || !strings.Contains(err.Error(), f.in(tokenName)) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, expected %q", c.name, err, c.says)
			continue
		}
		for secret := range strings.SplitSeq(token+"."+otherToken+"."+strings.ToUpper(token), ".") {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error quotes what stands there: %v", c.name, err)
			}
		}
		assertContent(t, f, f.content())
		if !exists(f.in(tokenName)) {
			t.Errorf("%s: it was deleted", c.name)
		}
	}
}

func TestATokenFileIsReadOnlyIfNobodyElseCouldHaveWrittenIt(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(f folder){
		"another user's":        func(f folder) { f.giveAway(tokenName) },
		"writable by others":    func(f folder) { must(f.t, os.Chmod(f.in(tokenName), 0o606)) },
		"in a folder of others": func(f folder) { must(f.t, os.Chmod(f.path, 0o777)) },
		"a folder": func(f folder) {
			must(f.t, os.Remove(f.in(tokenName)))
			must(f.t, os.Mkdir(f.in(tokenName), 0o700))
		},
		"a fifo": func(f folder) {
			must(f.t, os.Remove(f.in(tokenName)))
			must(f.t, syscall.Mkfifo(f.in(tokenName), 0o600))
		},
	} {
		f := newFolder(t)
		discoveryToken(f, f)
		change(f)
		if _, err := kubeconfig.LoadToken(f.in(tokenName)); err == nil || errors.Is(err, kubeconfig.ErrNoCredential) || !strings.Contains(err.Error(), "discovery token") {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := newFolder(t)
	if _, err := kubeconfig.LoadToken(f.in(tokenName)); !errors.Is(err, kubeconfig.ErrNoCredential) || !strings.Contains(err.Error(), f.in(tokenName)) {
		t.Errorf("none: %v", err)
	}
}

func TestTwoTokensAreToldApartAndWhereTheClusterIsDoesNotMatter(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	discoveryToken(f, f)
	first, err := kubeconfig.LoadToken(f.in(tokenName))
	must(t, err)
	found := first.At(apiserver.Endpoint{Server: "https://a:6443"})
	if found.Fingerprint() != first.Fingerprint() || first.Endpoint.Server != "" || found.Endpoint.Server != "https://a:6443" {
		t.Error("it is another one when it is known where its cluster is, or the first one has changed")
	}
	f.rename(tokenName, otherToken)
	second, err := kubeconfig.LoadToken(f.in(tokenName))
	must(t, err)
	if second.Fingerprint() == first.Fingerprint() {
		t.Error("another token looks the same")
	}
	done, err := found.Dispose(durable.Disk{}, "")
	if err != nil || done.Disposal != kubeconfig.Newer || len(f.holds(otherToken)) != 1 {
		t.Errorf("%v, %v: the new token must stay", done, err)
	}
}

func TestWhichFileIsTheTokenNow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                   string
		file, aside, no, noSet bool // what is there; no systemd credential; no setting
		credential             bool // the systemd credential is it
	}{
		{"only the credential", false, false, false, false, true},
		{"both: a file that a person has put there wins", true, false, false, false, false},
		{"a file that lies aside after a crash", false, true, false, false, false},
		{"the credential, and no file is set", false, false, false, true, true},
		{"neither", false, false, true, false, false},
		{"neither, and no file is set", false, false, true, true, false},
	} {
		f, credentials := newFolder(t), newFolder(t)
		path := f.in("t")
		if c.file {
			f.write("t", token)
		}
		if c.aside {
			f.write(".t.used", token)
		}
		if !c.no {
			credentials.write(kubeconfig.SystemdTokenCredential, token)
		}
		if c.noSet {
			path = ""
		}
		want := path
		if c.credential {
			want = credentials.in("discovery.token")
		}
		if got := kubeconfig.WhereToken(path, credentials.path); got != want {
			t.Errorf("%s: %q, expected %q", c.name, got, want)
		}
		if got := kubeconfig.WhereToken(path, ""); got != path {
			t.Errorf("%s, no unit of systemd's: %q", c.name, got)
		}
	}
}

func TestAResetDiscardsTheTokenWhateverItHolds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		make func(f, elsewhere folder)
		gone []string
		stay string
	}{
		{"nothing", func(folder, folder) {}, nil, ""},
		{"a token", discoveryToken, []string{tokenName}, ""},
		{"nonsense", func(f, _ folder) { f.write(tokenName, "nonsense") }, []string{tokenName}, ""},
		{"a kubeconfig in its place, whose tokenFile is none of ours", func(f, elsewhere folder) {
			tokenFile("token")(f, elsewhere)
			must(f.t, os.Rename(f.bootstrapFile(), f.in(tokenName)))
		}, []string{tokenName}, ""},
		{"a link", linkedDiscoveryToken, []string{"real", tokenName}, ""},
		{"what lies aside", func(f, _ folder) { f.write(".discovery.token.used", token) }, []string{".discovery.token.used"}, ""},
		{"a link elsewhere", func(f, elsewhere folder) {
			elsewhere.write("shared", token)
			f.symlink(elsewhere.in("shared"), tokenName)
		}, nil, "another folder"},
	} {
		f, elsewhere := newFolder(t), newFolder(t)
		c.make(f, elsewhere)
		files, stays := kubeconfig.DiscardableToken(f.in(tokenName))
		var gone []string
		for _, file := range files {
			gone = append(gone, filepath.Base(file))
		}
		if !slices.Equal(gone, c.gone) || (len(stays) > 0) != (c.stay != "") || c.stay != "" && !strings.Contains(stays[0].Said, c.stay) {
			t.Errorf("%s: %q go, %v stay", c.name, gone, stays)
		}
	}
}
