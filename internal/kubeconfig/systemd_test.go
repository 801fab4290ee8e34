package kubeconfig_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func TestTheSystemdCredentialIsUsedWhereNoFileIsAndAFileAlwaysWins(t *testing.T) {
	t.Parallel()
	const aside = ".bootstrap.kubeconfig.used"
	for _, c := range []struct {
		name        string
		files       []string // beside the credential, if it is there
		credential  bool
		none        bool // systemd has no credentials for the unit
		credentials bool // the systemd credential is it
	}{
		{"neither", nil, false, false, false},
		{"only a file", []string{"bootstrap.kubeconfig"}, false, false, false},
		{"only the credential", nil, true, false, true},
		{"both", []string{"bootstrap.kubeconfig"}, true, false, false},
		{"a file that lies aside after a crash", []string{aside}, true, false, false},
		{"other files", []string{"kubelet.kubeconfig", "token"}, true, false, true},
		{"no unit of systemd's", nil, true, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, credentials := newFolder(t), newFolder(t)
			for _, name := range c.files {
				f.write(name, withToken(token))
			}
			if c.credential {
				credentials.bootstrap(withToken(otherToken))
			}
			directory, want := credentials.path, f.bootstrapFile()
			if c.none {
				directory = ""
			}
			if c.credentials {
				want = credentials.bootstrapFile()
			}
			if got := kubeconfig.Where(f.bootstrapFile(), directory); got != want {
				t.Errorf("%s is it, expected %s", got, want)
			}
		})
	}
}

// A link that leads nowhere yet was put there by somebody who means what it will lead to.
func TestALinkThatLeadsNowhereCountsAsAFile(t *testing.T) {
	t.Parallel()
	f, credentials := newFolder(t), newFolder(t)
	credentials.bootstrap(withToken(token))
	f.symlink("not-yet.kubeconfig", "bootstrap.kubeconfig")
	if got := kubeconfig.Where(f.bootstrapFile(), credentials.path); got != f.bootstrapFile() {
		t.Errorf("%s is it", got)
	}
}

func TestWhatASystemdCredentialNamesIsFoundBesideIt(t *testing.T) {
	t.Parallel()
	credentials := newFolder(t)
	credentials.write("token", token)
	credentials.bootstrap(kubeconfigOf(goodCluster(), "tokenFile: token"))
	b, err := kubeconfig.LoadBootstrap(kubeconfig.Where("/nonexistent/bootstrap.kubeconfig", credentials.path))
	must(t, err)
	if b.Credential.Token != token || b.SecretFile != credentials.in("token") {
		t.Errorf("the token is from %s", b.SecretFile)
	}
	done, err := b.Dispose(durable.Disk{Before: func(op durable.Op) error { return errors.New(op.Call) }}, credentials.path)
	if err != nil || done.Disposal != kubeconfig.Kept || done.File != credentials.in("token") {
		t.Errorf("%+v, %v: expected that it is kept, and that nothing is tried", done, err)
	}
}

func TestSystemdsCredentialsAreKnownByWhereTheyLie(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/creds/bootstrap.kubeconfig": true,
		"/creds/a/b":                  true,
		"/run/credentials/bootstrap-agent.service/bootstrap.kubeconfig":  true,
		"/run/credentials/another.service/token":                         true,
		"/creds":                                                         false,
		"/credsx/bootstrap.kubeconfig":                                   false,
		"/creds/../etc/kubernetes/token":                                 false,
		"/run/credentials/../../etc/kubernetes/bootstrap.kubeconfig":     false,
		"/etc/kubernetes/bootstrap.kubeconfig":                           false,
		"/etc/kubernetes/run/credentials/bootstrap-agent.service/a-file": false,
	} {
		for _, directory := range []string{"/creds", "/creds/"} {
			if got := kubeconfig.IsSystemdCredential(path, directory); got != want {
				t.Errorf("%s with $CREDENTIALS_DIRECTORY %s: %v", path, directory, got)
			}
		}
		if got := kubeconfig.IsSystemdCredential(path, ""); got != (want && strings.HasPrefix(path, "/run/")) {
			t.Errorf("%s without a $CREDENTIALS_DIRECTORY: %v", path, got)
		}
	}
}

// What cannot be looked at may be there: the other one must not be used by mistake.
func TestAFileThatCannotBeLookedAtCountsAsThere(t *testing.T) {
	t.Parallel()
	f, credentials := newFolder(t), newFolder(t)
	credentials.bootstrap(withToken(token))
	must(t, os.Symlink("loop", f.in("loop")))
	path := f.in("loop") + "/bootstrap.kubeconfig"
	if got := kubeconfig.Where(path, credentials.path); got != path {
		t.Errorf("%s is it", got)
	}
}
