package node

import (
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

// kubeadm is what kubeadm's packages and kubeadm itself make of a kubelet.
var kubeadm = []string{
	"/usr/bin/kubelet", "--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf", "--kubeconfig=/etc/kubernetes/kubelet.conf",
	"--config=/var/lib/kubelet/config.yaml", "--node-ip=192.0.2.7",
}

func conf(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// told is a [Kubelet] as a person would put it down: only what is not the default.
func told(change func(*Kubelet)) Kubelet {
	known := Told[string]{Known: true}
	k := Kubelet{
		Kubeconfig: known, BootstrapKubeconfig: known, HostnameOverride: known, NodeIP: known, ServingCert: known, ServingKey: known, ClientCAFile: known,
		CertDir: Told[string]{Value: DefaultCertDir, Known: true}, RotatesClient: Told[bool]{Known: true}, RotatesServing: Told[bool]{Known: true},
	}
	change(&k)
	return k
}

func says(value, by string) Told[string] { return Told[string]{Value: value, Known: true, By: by} }
func yes(by string) Told[bool]           { return Told[bool]{Value: true, Known: true, By: by} }
func no(by string) Told[bool]            { return Told[bool]{Known: true, By: by} }

const kubeadmFile = "/var/lib/kubelet/config.yaml"

func TestWhatAKubeletWasTold(t *testing.T) {
	with := func(args ...string) []string { return append(append([]string{}, kubeadm...), args...) }
	file := fstest.MapFS{"var/lib/kubelet/config.yaml": conf(`{rotateCertificates: true, authentication: {x509: {clientCAFile: /pki/ca.crt}}}`), "pki/ca.crt": conf("CA")}
	asKubeadm := func(k *Kubelet) {
		k.BootstrapKubeconfig = says("/etc/kubernetes/bootstrap-kubelet.conf", "--bootstrap-kubeconfig")
		k.Kubeconfig = says("/etc/kubernetes/kubelet.conf", "--kubeconfig")
		k.NodeIP = says("192.0.2.7", "--node-ip")
		k.RotatesClient = yes(kubeadmFile)
		k.ClientCAFile, k.ClientCA = says("/pki/ca.crt", kubeadmFile), []byte("CA")
	}
	for name, c := range map[string]struct {
		argv  []string
		files fs.FS
		want  func(*Kubelet)
	}{
		"nothing: the kubelet's defaults": {[]string{"kubelet"}, nil, func(*Kubelet) {}},
		"as kubeadm tells it":             {kubeadm, file, asKubeadm},
		"a flag wins over the file": {with("--rotate-certificates=false"), file, func(k *Kubelet) {
			asKubeadm(k)
			k.RotatesClient = no("--rotate-certificates")
		}},
		"the last flag counts, words may be joined by _, and a switch needs no value": {
			with("--rotate_certificates=false", "--rotate-certificates", "--rotate_server_certificates=1"), file, func(k *Kubelet) {
				asKubeadm(k)
				k.RotatesClient, k.RotatesServing = yes("--rotate-certificates"), yes("--rotate-server-certificates")
			},
		},
		"values may stand by themselves, also behind flags that are not known here": {
			[]string{"kubelet", "-v", "4", "--cert-dir", "/pki", "--image-gc", "3", "--exit-on-lock", "--hostname-override", "Node-1", "--", "--node-ip=192.0.2.1"}, nil, func(k *Kubelet) {
				k.CertDir, k.HostnameOverride = says("/pki", "--cert-dir"), says("Node-1", "--hostname-override")
			},
		},
		"a serving pair and a CA by flags": {
			[]string{"kubelet", "--tls-cert-file=/a.crt", "--tls-private-key-file=/a.key", "--client-ca-file=/pki/ca.crt"}, file, func(k *Kubelet) {
				k.ServingCert, k.ServingKey = says("/a.crt", "--tls-cert-file"), says("/a.key", "--tls-private-key-file")
				k.ClientCAFile, k.ClientCA = says("/pki/ca.crt", "--client-ca-file"), []byte("CA")
			},
		},
		"a path in the file begins at the file's folder": {
			[]string{"kubelet", "--config=/etc/k/k.yaml"},
			fstest.MapFS{"etc/k/k.yaml": conf("tlsCertFile: tls/a.crt\ntlsPrivateKeyFile: /a.key\nserverTLSBootstrap: true")},
			func(k *Kubelet) {
				k.ServingCert, k.ServingKey, k.RotatesServing = says("/etc/k/tls/a.crt", "/etc/k/k.yaml"), says("/a.key", "/etc/k/k.yaml"), yes("/etc/k/k.yaml")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := c.files
			if files == nil {
				files = fstest.MapFS{}
			}
			if got, want := ParseKubelet(c.argv, files), told(c.want); !reflect.DeepEqual(got, want) {
				t.Errorf("got\n%+v, expected\n%+v", got, want)
			}
		})
	}
}

func TestDropInsAreMergedInTheirOrder(t *testing.T) {
	argv := []string{"kubelet", "--config=/k.yaml", "--config-dir=/k.d"}
	files := fstest.MapFS{
		"k.yaml":           conf("rotateCertificates: true\nauthentication: {anonymous: {enabled: false}, x509: {clientCAFile: /first.crt}}"),
		"k.d/10-a.conf":    conf("serverTLSBootstrap: true\nrotateCertificates: true"),
		"k.d/20-b.conf":    conf(`{"rotateCertificates": false}`),
		"k.d/20-b/ca.conf": conf("authentication: {x509: {clientCAFile: /second.crt}}"),
		"k.d/50-not.yaml":  conf("rotateCertificates: true"),
		"k.d/30-c.conf":    conf("serverTLSBootstrap: null\nauthentication: {webhook: {enabled: true}}"),
		"first.crt":        conf("first"), "second.crt": conf("second"),
	}
	want := told(func(k *Kubelet) {
		k.RotatesClient = no("/k.d/20-b.conf")
		k.ClientCAFile, k.ClientCA = says("/second.crt", "/k.d/20-b/ca.conf"), []byte("second")
	})
	if got := ParseKubelet(argv, files); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, expected\n%+v", got, want)
	}
}

func TestADropInTakesBackWhatAnotherSays(t *testing.T) {
	for name, text := range map[string]string{
		"itself": "authentication: {x509: {clientCAFile: null}}", "what it lies in": "authentication: {x509: null}", "all of it": "authentication: null",
		"by something else": "authentication: [x509]",
	} {
		files := fstest.MapFS{"k.d/a.conf": conf("authentication: {x509: {clientCAFile: /a.crt}}"), "k.d/b.conf": conf(text), "a.crt": conf("a")}
		if got, want := ParseKubelet([]string{"kubelet", "--config-dir=/k.d"}, files), told(func(*Kubelet) {}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v, expected\n%+v", name, got, want)
		}
	}
}

func TestWhatCannotBeReadIsNotKnownAndNoError(t *testing.T) {
	full := fstest.MapFS{}
	for i := range maxDropIns + 1 {
		full[fmt.Sprintf("k.d/%d.txt", i)] = conf("")
	}
	for name, c := range map[string]struct {
		argv   []string
		files  fstest.MapFS
		unread string
	}{
		"a folder of drop-ins without end": {[]string{"kubelet", "--config-dir=/k.d"}, full, "more than 1000 files"},
		"a file that is hidden":            {kubeadm, fstest.MapFS{}, "config.yaml"},
		"a file that is a folder":          {kubeadm, fstest.MapFS{"var/lib/kubelet/config.yaml": &fstest.MapFile{Mode: fs.ModeDir}}, "no regular file"},
		"a file that is no YAML":           {kubeadm, fstest.MapFS{"var/lib/kubelet/config.yaml": conf("a: [token-abc")}, "is no YAML"},
		"a file without end":               {kubeadm, fstest.MapFS{"var/lib/kubelet/config.yaml": conf(strings.Repeat("#", maxFile+1))}, "more than"},
		"a path from nobody knows where":   {[]string{"kubelet", "--config=k.yaml"}, fstest.MapFS{"k.yaml": conf("rotateCertificates: true")}, "relative path"},
		"a folder of drop-ins like that":   {[]string{"kubelet", "--config-dir", "k.d"}, fstest.MapFS{}, "relative path"},
		"a folder of drop-ins that hides":  {[]string{"kubelet", "--config-dir=/k.d"}, fstest.MapFS{}, "k.d"},
	} {
		t.Run(name, func(t *testing.T) {
			k := ParseKubelet(c.argv, c.files)
			if len(k.Unread) != 1 || !strings.Contains(k.Unread[0].Error(), c.unread) || strings.Contains(k.Unread[0].Error(), "token") {
				t.Errorf("unread: %v, expected one error about %q", k.Unread, c.unread)
			}
			if k.RotatesClient.Known || k.RotatesServing.Known || k.ServingCert.Known || k.ClientCAFile.Known {
				t.Errorf("known though it was not read: %+v", k)
			}
			flagged := ParseKubelet(append(c.argv, "--rotate-certificates=false"), c.files)
			if flagged.RotatesClient != no("--rotate-certificates") {
				t.Errorf("what a flag says is %+v", flagged.RotatesClient)
			}
		})
	}
	k := ParseKubelet([]string{"kubelet", "--kubeconfig=here", "--cert-dir=./pki", "--rotate-certificates=perhaps", "--tls-cert-file=a.crt"}, fstest.MapFS{})
	if k.Kubeconfig.Known || k.CertDir.Known || k.RotatesClient.Known || k.ServingCert.Known {
		t.Errorf("known though it is relative, or no answer: %+v", k)
	}
	k = ParseKubelet([]string{"kubelet", "--config-dir=/k.d"}, fstest.MapFS{"k.d/a.conf": conf("tlsCertFile: a.crt\nrotateCertificates: 3")})
	if k.ServingCert.Known || k.RotatesClient.Known || !k.RotatesServing.Known {
		t.Errorf("known though it is relative, or no answer: %+v", k)
	}
}
