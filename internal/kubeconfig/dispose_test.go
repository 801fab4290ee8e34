package kubeconfig_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// layout is a bootstrap kubeconfig and where its secret lies.
type layout struct {
	name string
	// make puts the files there; elsewhere is another folder.
	make func(f, elsewhere folder)
	// after happens once the kubeconfig was loaded, before it is disposed of.
	after func(f, elsewhere folder)
	// credentials is $CREDENTIALS_DIRECTORY: "here" is the kubeconfig's folder, "elsewhere" the other one.
	credentials string

	want kubeconfig.Disposal
	// gone are the names that go from the kubeconfig's folder; all else stays.
	gone []string
	// says is part of the sentence for the log.
	says string
}

func inline(f, _ folder) { f.bootstrap(withToken(token)) }

func tokenFile(path string) func(f, elsewhere folder) {
	return func(f, elsewhere folder) {
		f.bootstrap(kubeconfigOf(goodCluster(), "tokenFile: "+strings.ReplaceAll(path, "ELSEWHERE", elsewhere.path)))
		if strings.HasPrefix(path, "ELSEWHERE") {
			elsewhere.write("token", token)
		} else {
			f.write("token", token)
		}
	}
}

func embedded(f, _ folder) {
	f.bootstrap(kubeconfigOf(goodCluster(), "client-certificate-data: "+b64(client().certificate)+"\nclient-key-data: "+b64(client().key)))
}

func keyFile(f, _ folder) {
	f.write("client.key", client().key)
	f.bootstrap(kubeconfigOf(goodCluster(), "client-certificate-data: "+b64(client().certificate)+"\nclient-key: client.key"))
}

func execPlugin(f, _ folder) {
	f.bootstrap(kubeconfigOf(goodCluster(), "exec: {apiVersion: client.authentication.k8s.io/v1, command: plugin, interactiveMode: Never}"))
}

// linked has the bootstrap kubeconfig in the same folder, under another name.
func linked(f, _ folder) {
	f.write("node-7.kubeconfig", withToken(token))
	f.symlink("node-7.kubeconfig", "bootstrap.kubeconfig")
}

func linkedElsewhere(f, elsewhere folder) {
	elsewhere.write("shared.kubeconfig", withToken(token))
	f.symlink(elsewhere.in("shared.kubeconfig"), "bootstrap.kubeconfig")
}

// layouts is the table of what becomes of a credential once the node has its identity.
func layouts() []layout {
	hardLink := func(f, _ folder) { must(f.t, os.Link(f.bootstrapFile(), f.in("second"))) }
	return []layout{
		{name: "an inline token", make: inline, want: kubeconfig.Deleted, gone: []string{"bootstrap.kubeconfig"}},
		{name: "an embedded client key", make: embedded, want: kubeconfig.Deleted, gone: []string{"bootstrap.kubeconfig"}},
		{name: "a tokenFile in the folder", make: tokenFile("token"), want: kubeconfig.Deleted, gone: []string{"token"}},
		{name: "a tokenFile in another folder", make: tokenFile("ELSEWHERE/token"), want: kubeconfig.Exposed, says: "outside the kubeconfig's folder"},
		{
			name: "a tokenFile in a folder below", want: kubeconfig.Exposed, says: "outside the kubeconfig's folder",
			make: func(f, elsewhere folder) {
				tokenFile("sub/token")(f, elsewhere)
				must(f.t, os.Mkdir(f.in("sub"), 0o700))
				must(f.t, os.Rename(f.in("token"), f.in("sub/token")))
			},
		},
		{name: "a tokenFile of another user", make: tokenFile("token"), after: func(f, _ folder) { f.giveAway("token") }, want: kubeconfig.Exposed, says: "not ours"},
		{
			name: "a tokenFile that is a link in the folder", want: kubeconfig.Deleted, gone: []string{"token", "real-token"},
			make: func(f, elsewhere folder) {
				tokenFile("token")(f, elsewhere)
				must(f.t, os.Rename(f.in("token"), f.in("real-token")))
				f.symlink("real-token", "token")
			},
		},
		{
			name: "a tokenFile that is a link into another folder", want: kubeconfig.Exposed, says: "link to ",
			make: func(f, elsewhere folder) {
				tokenFile("token")(f, elsewhere)
				elsewhere.write("token", token)
				must(f.t, os.Remove(f.in("token")))
				f.symlink(elsewhere.in("token"), "token")
			},
		},
		{name: "a tokenFile that has gone by itself", make: tokenFile("token"), after: func(f, _ folder) { must(f.t, os.Remove(f.in("token"))) }, want: kubeconfig.Deleted, says: "gone already"},
		{name: "an exec plugin", make: execPlugin, want: kubeconfig.Kept, says: "exec plugin"},
		{name: "a client key by its path", make: keyFile, want: kubeconfig.Exposed, says: "remove it"},
		{name: "a systemd credential", make: inline, credentials: "here", want: kubeconfig.Kept, says: "LoadCredential="},
		{name: "a tokenFile that is a systemd credential", make: tokenFile("ELSEWHERE/token"), credentials: "elsewhere", want: kubeconfig.Kept, says: "LoadCredential="},
		{name: "a tokenFile in the folder while systemd has other credentials", make: tokenFile("token"), credentials: "elsewhere", want: kubeconfig.Deleted, gone: []string{"token"}},
		{name: "a link in the same folder", make: linked, want: kubeconfig.Deleted, gone: []string{"bootstrap.kubeconfig", "node-7.kubeconfig"}},
		{name: "a link into another folder", make: linkedElsewhere, want: kubeconfig.Exposed, says: "another folder"},
		{name: "a file with a second name", make: inline, after: hardLink, want: kubeconfig.Exposed, says: "hard links"},
		{
			name: "a link to a file with a second name", make: linked, want: kubeconfig.Exposed, says: "hard links",
			after: func(f, _ folder) { must(f.t, os.Link(f.in("node-7.kubeconfig"), f.in("second"))) },
		},
		{name: "a file that became another user's", make: inline, after: func(f, _ folder) { f.giveAway("bootstrap.kubeconfig") }, want: kubeconfig.Exposed, says: "belongs to user 12345"},
		{name: "a link to what became another user's", make: linked, after: func(f, _ folder) { f.giveAway("node-7.kubeconfig") }, want: kubeconfig.Exposed, says: "belongs to user 12345"},
		{
			name: "a folder that took its place", make: inline, want: kubeconfig.Exposed, says: "no regular file",
			after: func(f, _ folder) {
				must(f.t, os.Remove(f.bootstrapFile()))
				must(f.t, os.Mkdir(f.bootstrapFile(), 0o700))
			},
		},
		{
			name: "a link into another folder that took its place", make: inline, want: kubeconfig.Exposed, says: "another folder",
			after: func(f, elsewhere folder) {
				must(f.t, os.Remove(f.bootstrapFile()))
				linkedElsewhere(f, elsewhere)
			},
		},
		{name: "a file that somebody deleted", make: inline, after: func(f, _ folder) { must(f.t, os.Remove(f.bootstrapFile())) }, want: kubeconfig.Deleted},
		{name: "a newer credential in its place", make: inline, after: func(f, _ folder) { f.rename("bootstrap.kubeconfig", withToken(otherToken)) }, want: kubeconfig.Newer, says: "another one"},
		{name: "a newer token in the tokenFile", make: tokenFile("token"), after: func(f, _ folder) { f.rename("token", otherToken) }, want: kubeconfig.Newer},
		{name: "a newer credential where the link leads", make: linked, after: func(f, _ folder) { f.rename("node-7.kubeconfig", withToken(otherToken)) }, want: kubeconfig.Newer},
		{name: "a discovery token", make: discoveryToken, want: kubeconfig.Deleted, gone: []string{tokenName}},
		{name: "a discovery token that is a link in the folder", make: linkedDiscoveryToken, want: kubeconfig.Deleted, gone: []string{tokenName, "real"}},
		{
			name: "a discovery token that is a link into another folder", want: kubeconfig.Exposed, says: "another folder",
			make: func(f, elsewhere folder) {
				elsewhere.write("shared", token)
				f.symlink(elsewhere.in("shared"), tokenName)
			},
		},
		{name: "a discovery token that is a systemd credential", make: discoveryToken, credentials: "here", want: kubeconfig.Kept, says: "LoadCredential="},
		{name: "a discovery token with a second name", make: discoveryToken, after: func(f, _ folder) { must(f.t, os.Link(f.in(tokenName), f.in("second"))) }, want: kubeconfig.Exposed, says: "hard links"},
		{name: "a discovery token that became another user's", make: discoveryToken, after: func(f, _ folder) { f.giveAway(tokenName) }, want: kubeconfig.Exposed, says: "belongs to user 12345"},
		{name: "a discovery token that somebody deleted", make: discoveryToken, after: func(f, _ folder) { must(f.t, os.Remove(f.in(tokenName))) }, want: kubeconfig.Deleted},
		{name: "a newer discovery token in its place", make: discoveryToken, after: func(f, _ folder) { f.rename(tokenName, otherToken) }, want: kubeconfig.Newer, says: "another one"},
		{name: "the same discovery token, written by another hand", make: discoveryToken, after: func(f, _ folder) { f.rename(tokenName, token+"\n") }, want: kubeconfig.Newer},
		{name: "a comment added by hand", make: inline, after: func(f, _ folder) { f.rename("bootstrap.kubeconfig", "# mine\n"+withToken(token)) }, want: kubeconfig.Newer},
	}
}

func TestACredentialIsDisposedOfAsItsKindWants(t *testing.T) {
	t.Parallel()
	for _, l := range layouts() {
		t.Run(l.name, func(t *testing.T) {
			f, elsewhere := newFolder(t), newFolder(t)
			l.make(f, elsewhere)
			f.write("unrelated", "stays")
			b, err := f.credential()
			must(t, err)
			if l.after != nil {
				l.after(f, elsewhere)
			}
			want, wantElsewhere := f.content(), elsewhere.content()
			for _, name := range l.gone {
				delete(want, "/"+name)
			}
			credentials := map[string]string{"here": f.path, "elsewhere": elsewhere.path}[l.credentials]
			done, err := b.Dispose(durable.Disk{}, credentials)
			must(t, err)
			if done.Disposal != l.want || !strings.Contains(done.Said, l.says) || done.Said == "" || done.File == "" {
				t.Errorf("%s: %s (%s), expected is %s (%s)", done.Disposal, done.File, done.Said, l.want, l.says)
			}
			assertContent(t, f, want)
			assertContent(t, elsewhere, wantElsewhere)
		})
	}
}

// assertContent shows that the folder holds exactly this.
func assertContent(t *testing.T, f folder, want map[string]string) {
	t.Helper()
	if got := f.content(); !maps.Equal(got, want) {
		t.Errorf("the folder holds %q, expected is %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

func TestACredentialBelowAFolderLikeSystemdsIsNotTakenForSystemds(t *testing.T) {
	t.Parallel()
	f, elsewhere := newFolder(t), newFolder(t)
	inline(f, elsewhere)
	b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
	must(t, err)
	done, err := b.Dispose(durable.Disk{}, f.path[:len(f.path)-1]) // /run/credentials/a is not above /run/credentials/ab/file
	must(t, err)
	if done.Disposal != kubeconfig.Deleted {
		t.Errorf("it is %s: %s", done.Disposal, done.Said)
	}
}

func TestASlashAtTheEndOfSystemdsFolderDoesNotMatter(t *testing.T) {
	t.Parallel()
	f, elsewhere := newFolder(t), newFolder(t)
	inline(f, elsewhere)
	b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
	must(t, err)
	done, err := b.Dispose(durable.Disk{}, f.path+"/")
	must(t, err)
	if done.Disposal != kubeconfig.Kept || !exists(f.bootstrapFile()) {
		t.Errorf("it is %s: %s", done.Disposal, done.Said)
	}
}

func TestWhatLiesAsideIsFoundAndPutBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		make  func(f, elsewhere folder)
		aside string
	}{
		"the kubeconfig":                  {inline, "bootstrap.kubeconfig"},
		"the tokenFile":                   {tokenFile("token"), "token"},
		"the file that the link leads to": {linked, "node-7.kubeconfig"},
		"the link itself":                 {linked, "bootstrap.kubeconfig"},
	} {
		t.Run(name, func(t *testing.T) {
			f, elsewhere := newFolder(t), newFolder(t)
			test.make(f, elsewhere)
			if aside := kubeconfig.Aside(f.bootstrapFile()); len(aside) != 0 {
				t.Errorf("found aside, with nothing there: %v", aside)
			}
			before := f.content()
			must(t, os.Rename(f.in(test.aside), kubeconfig.AsideName(f.in(test.aside))))
			if aside := kubeconfig.Aside(f.bootstrapFile()); !slices.Equal(aside, []string{f.in(test.aside)}) {
				t.Errorf("found aside: %v", aside)
			}
			must(t, kubeconfig.PutBack(durable.Disk{}, f.in(test.aside)))
			assertContent(t, f, before)
			must(t, kubeconfig.PutBack(durable.Disk{}, f.in(test.aside))) // nothing lies aside any more
			assertContent(t, f, before)
		})
	}
}

func TestWhatLiesAsideGoesWhenANewerOneIsThere(t *testing.T) {
	t.Parallel()
	f, elsewhere := newFolder(t), newFolder(t)
	inline(f, elsewhere)
	must(t, os.Rename(f.bootstrapFile(), kubeconfig.AsideName(f.bootstrapFile())))
	f.bootstrap(withToken(otherToken))
	must(t, kubeconfig.PutBack(durable.Disk{}, f.bootstrapFile()))
	if exists(kubeconfig.AsideName(f.bootstrapFile())) || len(f.holds(token)) > 0 {
		t.Error("the older one is still there")
	}
	b, err := kubeconfig.LoadBootstrap(f.bootstrapFile())
	must(t, err)
	if b.Credential.Token != otherToken {
		t.Error("the newer one is not in its place")
	}
}

func TestTheNameAsideIsHiddenAndInTheSameFolder(t *testing.T) {
	t.Parallel()
	if got := kubeconfig.AsideName("/etc/kubernetes/bootstrap.kubeconfig"); got != "/etc/kubernetes/.bootstrap.kubeconfig.used" {
		t.Errorf("it is %s", got)
	}
	if durable.IsTemp(filepath.Base(kubeconfig.AsideName("/a/token"))) {
		t.Error("it would be swept as a temporary file")
	}
}
