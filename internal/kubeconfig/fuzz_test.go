package kubeconfig_test

import (
	"encoding/pem"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// FuzzBootstrapKubeconfig looks for a file that is taken though the token would go to whoever answers, that panics, or whose
// error tells a piece of the token. The words CA, KEY, CERT and TOKEN stand for real ones.
func FuzzBootstrapKubeconfig(f *testing.F) {
	for _, fields := range [][2]string{
		{"server: https://10.0.0.1:6443\ncertificate-authority-data: CA", "token: TOKEN"},
		{"server: https://10.0.0.1:6443\ncertificate-authority-data: CA\ntls-server-name: kubernetes\nproxy-url: http://proxy:3128", "token: TOKEN"},
		{"server: http://10.0.0.1:6443\ncertificate-authority-data: CA", "token: TOKEN"},
		{"server: https://10.0.0.1:6443", "token: TOKEN"},
		{"server: https://10.0.0.1:6443\ninsecure-skip-tls-verify: true\ncertificate-authority-data: CA", "token: TOKEN"},
		{"server: https://u:TOKEN@10.0.0.1:6443\ncertificate-authority-data: CA", "token: TOKEN"},
		{"server: https://u:TOKEN@10.0.0.1:port\ncertificate-authority-data: CA", "token: TOKEN"},
		{"server: https://10.0.0.1:6443\ncertificate-authority-data: CA", "tokenFile: token"},
		{"server: https://10.0.0.1:6443\ncertificate-authority: ca.crt", "client-certificate-data: CERT\nclient-key-data: KEY"},
		{"server: https://10.0.0.1:6443\ncertificate-authority: ca.crt", "exec: {apiVersion: client.authentication.k8s.io/v1, command: a, interactiveMode: Never}"},
		{"server: HTTPS://10.0.0.1\ncertificate-authority-data: CA\nServer: http://10.0.0.1", "token: TOKEN\nTOKEN: TOKEN"},
	} {
		f.Add(kubeconfigOf(fields[0], fields[1]))
	}
	f.Add(kubeconfigOf("server: https://10.0.0.1\ncertificate-authority-data: CA", "token: TOKEN") + "---\nkind: Config\n")
	f.Add(`{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "", "cluster": {"server": "https://a", "certificate-authority-data": "CA"}}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		pair := client()
		text = strings.NewReplacer("CA", b64(ca()), "KEY", b64(pair.key), "CERT", b64(pair.certificate), "TOKEN", token).Replace(text)
		folder := newFolder(t)
		folder.write("token", token+"\n")
		folder.write("ca.crt", ca())
		folder.bootstrap(text)
		b, err := kubeconfig.LoadBootstrap(folder.bootstrapFile())
		if (b == nil) == (err == nil) {
			t.Fatalf("neither a credential nor an error, or both: %v", err)
		}
		if err != nil {
			expectSilent(t, err, text, append(keyLines(pair.key), token, b64(pair.key)))
			return
		}
		expectVerified(t, b.Endpoint)
		if config, err := clientcmd.Load([]byte(text)); err != nil || config.Clusters[config.Contexts[config.CurrentContext].Cluster].InsecureSkipTLSVerify {
			t.Errorf("taken although it says not to look at who answers (%v)", err)
		}
		expectOneCredential(t, b)
	})
}

// expectSilent shows that no piece of a secret is told. A path into a folder is the name of a file, and may be.
func expectSilent(t *testing.T, err error, text string, secrets []string) {
	t.Helper()
	if intoAFolder.MatchString(text) {
		return
	}
	for _, secret := range secrets {
		if piece := leaks(err.Error(), secret); piece != "" {
			t.Errorf("%q of a secret is in the error: %v", piece, err)
		}
	}
}

// expectVerified shows that an endpoint is one that nobody but the holder of a certificate under its own CA can answer for.
func expectVerified(t *testing.T, e apiserver.Endpoint) {
	t.Helper()
	u, err := url.Parse(e.Server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		t.Errorf("the server %q is taken", e.Server)
	}
	if block, _ := pem.Decode(e.CA); block == nil {
		t.Errorf("taken with the CA %q", e.CA)
	}
	if proxy, err := url.Parse(e.ProxyURL); err != nil || e.ProxyURL != "" && proxy.Host == "" {
		t.Errorf("the proxy %q is taken", e.ProxyURL)
	}
}

// rfc6750 is the form of a bearer token.
var rfc6750 = regexp.MustCompile(`\A[-A-Za-z0-9._~+/]+=*\z`)

func expectOneCredential(t *testing.T, b *kubeconfig.Bootstrap) {
	t.Helper()
	c, count := b.Credential, 0
	for _, there := range []bool{c.Token != "", len(c.CertificatePEM) > 0 && len(c.KeyPEM) > 0, c.Exec != nil} {
		if there {
			count++
		}
	}
	if count != 1 || (len(c.CertificatePEM) > 0) != (len(c.KeyPEM) > 0) {
		t.Errorf("%d credentials in one kubeconfig, source %s", count, b.Source)
	}
	if c.Token != "" && !rfc6750.MatchString(c.Token) {
		t.Errorf("a token of %d bytes that breaks its header is taken", len(c.Token))
	}
}

// FuzzKubeletKubeconfig looks for a kubelet's kubeconfig that is another one when it is read again, or that holds more than paths.
func FuzzKubeletKubeconfig(f *testing.F) {
	f.Add("https://10.0.0.1:6443", "", "", "", "ca.crt", "client.pem")
	f.Add("https://10.0.0.1:6443", "kubernetes", "http://proxy:3128", "https://127.0.0.1:7443", "ca.crt", "client.pem")
	f.Add("https://bootstrap-agent:6443", "bootstrap-agent", "", "", "ca.crt", "client.pem")
	f.Add("https://[2001:db8::1%25eth0]/", "a: b", "socks5://p:1", "https://10.0.0.1:6443", "a b", "'\"#")
	f.Add("https://a", "\u2028\x85", "http://\xff", "https://b/c", "null", "~")
	f.Fuzz(func(t *testing.T, server, serverName, proxy, kubeletServer, caName, clientName string) {
		folder := newFolder(t)
		if !nameable(caName) || !nameable(clientName) || caName == clientName || caName == "kubelet.kubeconfig" {
			return
		}
		folder.write(caName, ca())
		k := kubeconfig.Kubelet{
			Endpoint:      apiserver.Endpoint{Server: server, TLSServerName: serverName, ProxyURL: proxy},
			KubeletServer: kubeletServer, CAFile: folder.in(caName), ClientPEM: folder.in(clientName),
		}
		path := folder.in("kubelet.kubeconfig")
		if clientName == "kubelet.kubeconfig" || !usable(k) {
			return
		}
		changed, err := kubeconfig.WriteKubelet(durable.Disk{}, path, k)
		if err != nil && strings.ContainsFunc(caName+clientName+serverName, unicode.IsControl) {
			if exists(path) {
				t.Errorf("what YAML cannot say was written: %v", err)
			}
			return
		}
		if err != nil || !changed {
			t.Fatalf("written: %v, %v", changed, err)
		}
		if changed, err := kubeconfig.WriteKubelet(durable.Disk{}, path, k); err != nil || changed {
			t.Errorf("the same content is written again: %v, %v", changed, err)
		}
		again, err := kubeconfig.LoadKubelet(path)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		k.Endpoint.CA = []byte(ca())
		if k.KubeletServer == k.Endpoint.Server {
			k.KubeletServer = ""
		}
		again.Text = nil
		if !reflect.DeepEqual(*again, k) {
			t.Errorf("read again it is %+v\nwritten was %+v", *again, k)
		}
		if text := folder.content()["/kubelet.kubeconfig"]; strings.Contains(text, "-data") && !strings.Contains(server+serverName+proxy+kubeletServer+caName+clientName, "-data") {
			t.Errorf("it holds data:\n%s", text)
		}
	})
}

// nameable says whether the file system takes name as it is, and YAML can say it.
func nameable(name string) bool {
	return name != "" && len(name) < 200 && !strings.ContainsAny(name, "/\x00") && strings.ToValidUTF8(name, "") == name && name != "." && name != ".."
}

// usable says whether k is what the agent writes: every part was checked when it was read.
func usable(k kubeconfig.Kubelet) bool {
	proxy, err := url.Parse(k.Endpoint.ProxyURL)
	all := k.Endpoint.Server + k.Endpoint.TLSServerName + k.Endpoint.ProxyURL + k.KubeletServer
	return apiserver.CheckServer(k.Endpoint.Server) == nil && (k.KubeletServer == "" || apiserver.CheckServer(k.KubeletServer) == nil) &&
		err == nil && (k.Endpoint.ProxyURL == "" || proxy.Host != "") && strings.ToValidUTF8(all, "") == all
}

// FuzzLoadKubelet looks for a kubelet's kubeconfig that is taken though whoever answers could pass for the API server.
func FuzzLoadKubelet(f *testing.F) {
	for _, k := range variants() {
		k.CAFile = "ca.crt"
		text, err := k.Render()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
		f.Add(strings.Replace(string(text), "https://10", "http://10", 1))
	}
	f.Add(kubeconfigOf("server: https://a\ninsecure-skip-tls-verify: true", "token: a"))
	f.Add(kubeconfigOf("server: https://a\nserver: http://a", "{}"))
	f.Fuzz(func(t *testing.T, text string) {
		folder := newFolder(t)
		folder.write("ca.crt", ca())
		folder.write("kubelet.kubeconfig", text)
		k, err := kubeconfig.LoadKubelet(folder.in("kubelet.kubeconfig"))
		if (k == nil) == (err == nil) {
			t.Fatalf("neither a kubeconfig nor an error, or both: %v", err)
		}
		if err == nil {
			expectVerified(t, k.Endpoint)
		}
	})
}
