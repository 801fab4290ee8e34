package e2e

import (
	"os"
	"path/filepath"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// fated makes a row's credential. It returns the files that are to go and those that are to stay; the one by whose name the secret
// is known comes first.
type fated func(n *node) (gone, stay []string)

// fates make the credentials of the table scenarios.Fates, by the name of the row.
var fates = map[string]fated{
	"token": func(n *node) (gone, stay []string) {
		n.bootstrap(n.secretToken())
		return []string{bootstrapName}, nil
	},
	"embedded-key": func(n *node) (gone, stay []string) {
		certificate, key := n.clientCertificate()
		n.bootstrap(clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key})
		return []string{bootstrapName}, nil
	},
	"linked-kubeconfig": func(n *node) (gone, stay []string) {
		n.bootstrap(n.secretToken())
		n.linkTo("node-7.kubeconfig", bootstrapName)
		return []string{"node-7.kubeconfig", bootstrapName}, nil
	},
	"token-file": tokenFileAt("token", "token"),
	"linked-token-file": func(n *node) (gone, stay []string) {
		_, stay = tokenFileAt("token", "token")(n)
		n.linkTo("real-token", "token")
		return []string{"real-token", "token"}, stay
	},
	"discovery-token": func(n *node) (gone, stay []string) {
		n.discoveryToken(n.secretToken().Token + "\n")
		return []string{tokenName}, []string{discoveryName}
	},
	"linked-discovery-token": func(n *node) (gone, stay []string) {
		n.discoveryToken(n.secretToken().Token)
		n.linkTo("real-token", tokenName)
		return []string{"real-token", tokenName}, []string{discoveryName}
	},
	"exec-plugin": func(n *node) (gone, stay []string) {
		n.bootstrap(n.execPlugin(printToken(n.secretToken().Token)))
		return nil, []string{"plugin", bootstrapName}
	},
	"keep": func(n *node) (gone, stay []string) {
		n.bootstrap(n.secretToken())
		n.flags = append(n.flags, "--keep-bootstrap-kubeconfig")
		return nil, []string{bootstrapName}
	},
	"systemd-default": func(n *node) (gone, stay []string) {
		n.bootstrap(n.secretToken())
		return nil, n.asSystemdCredentials(bootstrapName)
	},
	"systemd-both": func(n *node) (gone, stay []string) {
		tokenFileAt("token", "")(n)
		return nil, n.asSystemdCredentials("token", bootstrapName)
	},
	"systemd-discovery-token": func(n *node) (gone, stay []string) {
		n.discoveryToken(n.secretToken().Token)
		return nil, append(n.asSystemdCredentials(tokenName), discoveryName)
	},
	"systemd-credential": func(n *node) (gone, stay []string) {
		n.bootstrap(n.secretToken())
		n.through = []string{"/usr/bin/env", "CREDENTIALS_DIRECTORY=" + n.dir}
		return nil, []string{bootstrapName}
	},
	"systemd-token-file": func(n *node) (gone, stay []string) {
		tokenFileAt("credentials/token", "credentials/token")(n)
		n.through = []string{"/usr/bin/env", "CREDENTIALS_DIRECTORY=" + n.path("credentials")}
		return nil, []string{"credentials/token", bootstrapName}
	},
	"key-by-path": func(n *node) (gone, stay []string) {
		certificate, key := n.clientCertificate()
		n.write(n.path("bootstrap.crt"), certificate, 0o644)
		n.write(n.path("bootstrap.key"), key, 0o600)
		n.bootstrap(clientcmdapi.AuthInfo{ClientCertificate: "bootstrap.crt", ClientKey: "bootstrap.key"})
		return nil, []string{"bootstrap.key", "bootstrap.crt", bootstrapName}
	},
	"token-file-elsewhere": func(n *node) (gone, stay []string) {
		elsewhere := n.t.TempDir()
		n.write(filepath.Join(elsewhere, "token"), []byte(n.secretToken().Token), 0o600)
		n.bootstrap(clientcmdapi.AuthInfo{TokenFile: filepath.Join(elsewhere, "token")})
		relative, err := filepath.Rel(n.dir, filepath.Join(elsewhere, "token"))
		must(n.t, err)
		return nil, []string{relative, bootstrapName}
	},
	"token-file-below": tokenFileAt("below/token", ""),
	"token-file-linked-away": func(n *node) (gone, stay []string) {
		tokenFileAt("token", "")(n)
		n.linkTo("elsewhere/real-token", "token")
		return nil, []string{"token", "elsewhere/real-token", bootstrapName}
	},
	"kubeconfig-linked-away": func(n *node) (gone, stay []string) {
		n.bootstrap(n.secretToken())
		n.linkTo("elsewhere/node-7.kubeconfig", bootstrapName)
		return nil, []string{bootstrapName, "elsewhere/node-7.kubeconfig"}
	},
	"discovery-token-linked-away": func(n *node) (gone, stay []string) {
		n.discoveryToken(n.secretToken().Token)
		n.linkTo("elsewhere/real-token", tokenName)
		return nil, []string{tokenName, "elsewhere/real-token", discoveryName}
	},
	"second-name": func(n *node) (gone, stay []string) {
		n.bootstrap(n.secretToken())
		must(n.t, os.Link(n.bootstrapFile(), n.path("second")))
		return nil, []string{bootstrapName, "second"}
	},
	"read-only": func(n *node) (gone, stay []string) {
		content, err := n.cp.Kubeconfig(n.cp.Server(), n.secretToken())
		must(n.t, err)
		n.write(n.path("read-only", bootstrapName), content, 0o600)
		n.flags = append(n.flags, "--bootstrap-kubeconfig="+n.path("read-only", bootstrapName))
		n.mounted(`mount --bind "$DIR/read-only" "$DIR/read-only" && mount -o remount,bind,ro "$DIR/read-only"`)
		return nil, []string{"read-only/" + bootstrapName}
	},
	"busy": func(n *node) (gone, stay []string) {
		n.bootstrap(n.secretToken())
		n.linkTo("source.kubeconfig", bootstrapName)
		must(n.t, os.Remove(n.bootstrapFile()))
		n.write(n.bootstrapFile(), nil, 0o600) // where it is mounted
		n.mounted(`mount --bind "$DIR/source.kubeconfig" "$DIR/bootstrap.kubeconfig"`)
		return nil, []string{bootstrapName, "source.kubeconfig"}
	},
	"immutable": func(n *node) (gone, stay []string) {
		n.bootstrap(n.secretToken())
		n.setImmutable(n.bootstrapFile(), true)
		n.t.Cleanup(func() { n.setImmutable(n.bootstrapFile(), false) })
		return nil, []string{bootstrapName}
	},
	"token-file-of-another-user": func(n *node) (gone, stay []string) {
		tokenFileAt("token", "")(n)
		n.giveAway(n.path("token"), 12345)
		return nil, []string{bootstrapName, "token"}
	},
	"discovery-token-of-another-user": func(n *node) (gone, stay []string) {
		n.discoveryToken(n.secretToken().Token)
		n.giveAway(n.path(tokenName), 12345)
		return nil, []string{tokenName, discoveryName}
	},
}

// A discovery token and the file that says where its cluster is, in the node's folder.
const (
	tokenName     = "discovery.token"
	discoveryName = "cluster.kubeconfig"
)

// discoveryToken has text in the file of the discovery token, and the control plane in the discovery file.
func (n *node) discoveryToken(text string) {
	n.t.Helper()
	cluster, err := n.cp.Kubeconfig("", clientcmdapi.AuthInfo{})
	must(n.t, err)
	n.write(n.path(discoveryName), cluster, 0o644)
	n.write(n.path(tokenName), []byte(text), 0o600)
	n.flags = append(n.flags, "--discovery-token-file="+n.path(tokenName), "--discovery-file="+n.path(discoveryName))
}

// tokenFileAt has a good token in this file, which is to go or else to stay.
func tokenFileAt(name, goes string) fated {
	return func(n *node) (gone, stay []string) {
		n.write(n.path(name), []byte(n.secretToken().Token+"\n"), 0o600)
		n.bootstrap(clientcmdapi.AuthInfo{TokenFile: name})
		if goes != "" {
			return []string{name}, []string{bootstrapName}
		}
		return nil, []string{name, bootstrapName}
	}
}

// asSystemdCredentials moves files to where systemd gives the agent its credentials, and returns their names there.
func (n *node) asSystemdCredentials(names ...string) (moved []string) {
	n.t.Helper()
	must(n.t, os.MkdirAll(n.path("credentials"), 0o700))
	for _, name := range names {
		moved = append(moved, filepath.Join("credentials", name))
		must(n.t, os.Rename(n.path(name), n.path("credentials", name)))
	}
	n.through = []string{"/usr/bin/env", "CREDENTIALS_DIRECTORY=" + n.path("credentials")}
	return moved
}

// linkTo moves a file and leaves a link in its place.
func (n *node) linkTo(target, name string) {
	n.t.Helper()
	must(n.t, os.MkdirAll(filepath.Dir(n.path(target)), 0o755))
	must(n.t, os.Rename(n.path(name), n.path(target)))
	must(n.t, os.Symlink(target, n.path(name)))
}

// mounted has the agent run with mounts of its own, made by a shell's script, which end with it.
func (n *node) mounted(script string) {
	if os.Geteuid() != 0 {
		n.t.Fatal("run this test as root, who alone may mount")
	}
	n.through = []string{"/usr/bin/env", "DIR=" + n.dir, "unshare", "--mount", "/bin/sh", "-c", script + ` && exec "$0" "$@"`}
}
