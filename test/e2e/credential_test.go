package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// credential is a way to bootstrap, and what is to become of it once the node has its identity.
type credential struct {
	name string
	// prepare writes what belongs to it and returns the user of the bootstrap kubeconfig.
	prepare func(n *node) clientcmdapi.AuthInfo
	// gone and kept are files of the node's folder.
	gone, kept []string
	says       string
	args, env  []string
	// status is the exit code of the status command afterwards.
	status int
}

const bootstrapName = "bootstrap.kubeconfig"

var credentials = []credential{
	{
		name:    "the token of a Secret",
		prepare: (*node).secretToken,
		gone:    []string{bootstrapName}, says: "deleted the used bootstrap credential",
	},
	{
		name:    "a static token",
		prepare: func(n *node) clientcmdapi.AuthInfo { return n.staticToken(controlplane.KubeletBootstrap) },
		gone:    []string{bootstrapName}, says: "deleted the used bootstrap credential",
	},
	{
		name: "a client certificate inside",
		prepare: func(n *node) clientcmdapi.AuthInfo {
			certificate, key := n.clientCertificate()
			return clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
		},
		gone: []string{bootstrapName}, says: "deleted the used bootstrap credential",
	},
	{
		name: "a client certificate by path",
		prepare: func(n *node) clientcmdapi.AuthInfo {
			certificate, key := n.clientCertificate()
			n.write(n.path("bootstrap.crt"), certificate, 0o644)
			n.write(n.path("bootstrap.key"), key, 0o600)
			return clientcmdapi.AuthInfo{ClientCertificate: "bootstrap.crt", ClientKey: "bootstrap.key"}
		},
		kept: []string{bootstrapName, "bootstrap.crt", "bootstrap.key"},
		says: "a client key given by path is not ours to delete", status: 4,
	},
	{
		name: "a token file beside the kubeconfig",
		prepare: func(n *node) clientcmdapi.AuthInfo {
			n.write(n.path("token"), []byte(n.secretToken().Token+"\n"), 0o600)
			return clientcmdapi.AuthInfo{TokenFile: "token"}
		},
		gone: []string{"token"}, kept: []string{bootstrapName}, says: "deleted the used bootstrap credential",
	},
	{
		name: "a token file in another folder",
		prepare: func(n *node) clientcmdapi.AuthInfo {
			n.write(n.path("elsewhere", "token"), []byte(n.secretToken().Token), 0o600)
			return clientcmdapi.AuthInfo{TokenFile: n.path("elsewhere", "token")}
		},
		kept: []string{bootstrapName, "elsewhere/token"},
		says: "a tokenFile outside the kubeconfig's folder is not ours to delete", status: 4,
	},
	{
		name:    "an exec plugin",
		prepare: func(n *node) clientcmdapi.AuthInfo { return n.execPlugin(printToken(n.secretToken().Token)) },
		kept:    []string{bootstrapName, "plugin"},
		says:    "an exec plugin is no secret",
	},
	{
		name:    "a credential of systemd's",
		prepare: (*node).secretToken,
		kept:    []string{bootstrapName}, says: "it is a systemd credential, which only its source can remove",
		env: []string{"CREDENTIALS_DIRECTORY=."},
	},
	{
		name:    "a token that is to be kept",
		prepare: (*node).secretToken,
		kept:    []string{bootstrapName}, args: []string{"--keep-bootstrap-kubeconfig"},
	},
}

func TestEveryKindOfCredentialBecomesBothCertificatesAndIsDisposedOf(t *testing.T) {
	t.Parallel()
	for _, c := range credentials {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t, shared(t))
			n.flags = append(n.flags, c.args...)
			n.bootstrap(c.prepare(n))
			n.approveServing(0)
			n.expect(n.in(c.env, "run", "--once"), 0, c.says)
			n.assertDisposed(c)
			n.expect(n.in(c.env, "run", "--once"), 0)
			n.assertDisposed(c)
			if r := n.in(c.env, "status", "-o", "json"); c.status == 0 {
				n.expectNothingButNoAgent(r)
			} else {
				n.expect(r, c.status)
			}
		})
	}
}

// assertDisposed shows that the node has both certificates, by one request each, and that of its credential there is what should be.
func (n *node) assertDisposed(c credential) {
	n.t.Helper()
	n.assertJoined()
	if !n.servingIssued() {
		n.t.Error("there is no issued serving certificate")
	}
	n.csr(csr.Client)
	n.csr(csr.Serving)
	for _, name := range c.gone {
		n.assertGone(n.path(name))
	}
	for _, name := range c.kept {
		n.assertThere(n.path(name))
		n.keeps(n.path(name))
	}
}

// in runs a command with further environment variables; a folder named "." is the node's.
func (n *node) in(env []string, command ...string) result {
	n.t.Helper()
	ctx, cancel := context.WithCancel(n.t.Context())
	defer cancel()
	c := n.command(ctx, command)
	c.Env = c.Environ()
	if slices.Contains(env, "CREDENTIALS_DIRECTORY=.") {
		c.Env = append(c.Env, "CREDENTIALS_DIRECTORY="+n.dir)
	}
	return n.finish(c)
}

// clientCertificate makes a client certificate that may bootstrap.
func (n *node) clientCertificate() (certificate, key []byte) {
	n.t.Helper()
	certificate, key, err := n.cp.ClientCertificate("bootstrap-"+n.name, "system:bootstrappers")
	must(n.t, err)
	n.secret(key)
	n.secret([]byte(base64.StdEncoding.EncodeToString(key)))
	return certificate, key
}

// execPlugin writes a credential plugin, a shell script, and returns the user that has it.
func (n *node) execPlugin(script string) clientcmdapi.AuthInfo {
	n.write(n.path("plugin"), []byte("#!/bin/sh\n"+script+"\n"), 0o700)
	return clientcmdapi.AuthInfo{Exec: &clientcmdapi.ExecConfig{
		APIVersion: "client.authentication.k8s.io/v1", Command: n.path("plugin"), InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
	}}
}

// printToken is a plugin's script that answers with a token.
func printToken(token string) string {
	return fmt.Sprintf(`echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "%s"}}'`, token)
}

func TestTheCAOfABootstrapKubeconfigMayBeAFile(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	n.bootstrap(n.secretToken())
	config, err := clientcmd.LoadFromFile(n.bootstrapFile())
	must(t, err)
	for _, cluster := range config.Clusters {
		cluster.CertificateAuthority, cluster.CertificateAuthorityData = "cluster-ca.crt", nil
	}
	content, err := clientcmd.Write(*config)
	must(t, err)
	n.write(n.bootstrapFile(), content, 0o600)
	n.write(n.path("cluster-ca.crt"), n.cp.CA(), 0o644)
	n.approveServing(0)
	n.expect(n.once(), 0)
	n.assertGone(n.bootstrapFile())
	must(t, os.Remove(n.path("cluster-ca.crt"))) // what the node needs from now on is in its own folder
	n.assertJoined()
	for _, file := range []string{n.certDir().ServerCA(), n.certDir().ClientCA()} {
		if bundle, err := n.certDir().ReadCA(file); err != nil || string(bundle) != string(n.cp.CA()) {
			t.Errorf("%s is not the CA that was given (%v)", file, err)
		}
	}
	if pair, err := n.certDir().Read(certdir.Serving); err != nil || !n.servingIssued() {
		t.Errorf("no serving certificate: %v %v", pair, err)
	}
}
