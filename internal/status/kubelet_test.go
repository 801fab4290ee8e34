package status

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
)

// bundle is no CA, and is told from others by what it holds.
func bundle(names ...string) []byte {
	var text []byte
	for _, name := range names {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte(name)})...)
	}
	return text
}

// fitting is what a kubelet of healthy's node is told that goes with an agent which was told nothing.
var fitting = []string{"kubelet", "--kubeconfig=/etc/kubernetes/kubelet.kubeconfig", "--client-ca-file=/var/lib/kubelet/pki/kubelet-client-ca.crt", "--hostname-override=Worker-1"}

// running is healthy with a kubelet of these arguments beside.
func running(argv ...string) Observed {
	o := healthy()
	o.Kubelet.ClientPEM = "/var/lib/kubelet/pki/kubelet-client-current.pem"
	o.ClientCA = bundle("ours")
	o.Kubelets = []node.Kubelet{kubeletOf(7, argv...)}
	return o
}

func kubeletOf(pid int, argv ...string) node.Kubelet {
	k := node.ParseKubelet(argv, fstest.MapFS{
		"var/lib/kubelet/pki/kubelet-client-ca.crt": {Data: bundle("ours")}, "both.crt": {Data: bundle("other", "ours")}, "other.crt": {Data: bundle("other")},
		"k.yaml": {Data: []byte("rotateCertificates: true\nserverTLSBootstrap: true")},
	})
	k.Process.PID = pid
	return k
}

func TestWhatDoesNotGoWithTheKubelet(t *testing.T) {
	leave := func(change func(*config.Config)) config.Config {
		cfg := settings
		change(&cfg)
		return cfg
	}
	kubeletRotates := leave(func(c *config.Config) { c.RotateCertificates, c.RotateServerCertificates = false, false })
	servingOff := leave(func(c *config.Config) { c.Serving = "off" })
	family := leave(func(c *config.Config) { c.NodeIP = "0.0.0.0" })
	address := leave(func(c *config.Config) { c.NodeIP = "192.0.2.10" })
	for name, c := range map[string]struct {
		args []string // besides those that fit
		cfg  config.Config
		says []string // a part of each finding, in their order
	}{
		"all fits":                 {nil, settings, nil},
		"the CA is one of several": {[]string{"--client-ca-file=/both.crt"}, settings, nil},
		"the kubelet rotates, and the agent does not":      {[]string{"--config=/k.yaml"}, kubeletRotates, nil},
		"its configuration cannot be read":                 {[]string{"--config=/hidden.yaml"}, settings, nil},
		"its configuration cannot be read, nor need it be": {[]string{"--config=/hidden.yaml"}, kubeletRotates, nil},
		"any address is asked for":                         {[]string{"--node-ip=192.0.2.11"}, family, nil},
		"the same paths, spelt otherwise":                  {[]string{"--cert-dir=/var/lib/kubelet//pki/", "--kubeconfig=/etc/kubernetes/./kubelet.kubeconfig"}, settings, nil},
		"the agent's own pair is named": {[]string{
			"--tls-cert-file=/var/lib/kubelet/pki/kubelet-server-current.pem",
			"--tls-private-key-file=/var/lib/kubelet/pki/kubelet-server-current.pem",
		}, settings, nil},
		"an address that the certificate has": {[]string{"--node-ip=192.0.2.10"}, settings, nil},
		"a family, and no address":            {[]string{"--node-ip=::"}, address, nil},
		"both rotate both": {[]string{"--config=/k.yaml"}, settings, []string{
			"(pid 7) rotates the client certificate (rotateCertificates: true in /k.yaml), and so does the agent; restart the kubelet with --rotate-certificates=false, or set rotateCertificates: false",
			"rotates the serving certificate (serverTLSBootstrap: true in /k.yaml), and so does the agent; restart the kubelet with --rotate-server-certificates=false, or set rotateServerCertificates: false",
		}},
		"both rotate, as a flag says": {[]string{"--config=/k.yaml", "--rotate-server-certificates=false", "--rotate-certificates"}, settings, []string{"client certificate (--rotate-certificates=true)"}},
		"serving is the kubelet's":    {[]string{"--config=/k.yaml", "--rotate-certificates=false", "--tls-cert-file=/a.crt", "--node-ip=192.0.2.11"}, servingOff, nil},
		"nobody rotates":              {nil, kubeletRotates, []string{"nobody rotates the client certificate: the running kubelet (pid 7) does not (rotateCertificates is false, its default)", "nobody rotates the serving certificate"}},
		"another kubeconfig":          {[]string{"--kubeconfig=/etc/kubernetes/kubelet.conf"}, settings, []string{"set kubeconfig: /etc/kubernetes/kubelet.conf in the agent's configuration"}},
		"another cert-dir": {
			[]string{"--cert-dir=/pki", "--config=/k.yaml"},
			settings,
			[]string{"set certDir: /pki in the agent's configuration"},
		},
		"another name":                       {[]string{"--hostname-override=worker-2"}, settings, []string{"is node worker-2, and the agent asks for node worker-1; set hostnameOverride: worker-2"}},
		"another address than was given":     {[]string{"--node-ip=192.0.2.11"}, address, []string{"--node-ip=192.0.2.11"}},
		"another address than was found":     {[]string{"--node-ip=192.0.2.11"}, settings, []string{"set nodeIP: 192.0.2.11"}},
		"no CA for its callers":              {[]string{"--client-ca-file="}, settings, []string{"has no clientCAFile"}},
		"another CA for its callers":         {[]string{"--client-ca-file=/other.crt"}, settings, []string{"/other.crt, which holds no certificate of /var/lib/kubelet/pki/kubelet-client-ca.crt"}},
		"another serving pair":               {[]string{"--tls-cert-file=/a.crt", "--tls-private-key-file=/a.key"}, settings, []string{"serves /a.crt (--tls-cert-file)"}},
		"it would bootstrap behind our back": {[]string{"--bootstrap-kubeconfig=/b"}, settings, []string{"--bootstrap-kubeconfig=/b: should it be started when its client certificate has expired"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := running(append(slices.Clone(fitting), c.args...)...)
			expectFindings(t, o.KubeletFindings(c.cfg), c.says)
			for _, f := range o.KubeletFindings(c.cfg) {
				said := func(s Finding) bool { return s.Text+"; "+s.Remedy == f.Text && s.Level == f.Level }
				if !slices.ContainsFunc(o.Report(c.cfg).Findings, said) {
					t.Errorf("status does not say: %s", f.Text)
				}
			}
		})
	}
}

func expectFindings(t *testing.T, found []Finding, says []string) {
	t.Helper()
	if len(found) != len(says) {
		t.Fatalf("found %q, expected %q", found, says)
	}
	for i, f := range found {
		if !strings.Contains(f.Text, says[i]) || f.Level != Attention {
			t.Errorf("finding %d is %v, expected one about %q", i, f, says[i])
		}
	}
}

func TestAKubeconfigThatHidesTheRotationFromTheKubelet(t *testing.T) {
	o := running(fitting...)
	o.Kubelet.ClientPEM = ""
	expectFindings(t, o.KubeletFindings(settings), []string{"without client-certificate-data"})
	o.Kubelet.ClientPEM = "/etc/kubernetes/node.pem"
	expectFindings(t, o.KubeletFindings(settings), []string{"let client-certificate and client-key be that file"})
	o.Kubelets = []node.Kubelet{kubeletOf(7, append(slices.Clone(fitting), "--rotate-certificates")...)} // it does not look there
	expectFindings(t, o.KubeletFindings(settings), []string{"and so does the agent"})
}

func TestOnlyTheKubeletsOfThisNodeCount(t *testing.T) {
	o := running(fitting...)
	o.Kubelets = append(o.Kubelets, kubeletOf(8, "kubelet", "--kubeconfig=/8", "--cert-dir=/8", "--hostname-override=worker-8"))
	expectFindings(t, o.KubeletFindings(settings), nil)
	o.Kubelets = append(o.Kubelets, kubeletOf(9, fitting...))
	expectFindings(t, o.KubeletFindings(settings), []string{"2 kubelets run for this node"})
	o.Kubelets = nil
	expectFindings(t, o.KubeletFindings(settings), nil)
	o.Kubelets = []node.Kubelet{kubeletOf(7, "kubelet", "--kubeconfig=/7", "--hostname-override=worker-7", "--client-ca-file=/both.crt")}
	expectFindings(t, o.KubeletFindings(settings), []string{"set kubeconfig: /7", "set hostnameOverride: worker-7"}) // and by its cert-dir
	o.Kubelets = []node.Kubelet{kubeletOf(7, "kubelet", "--kubeconfig=/7", "--cert-dir=/7", "--hostname-override=worker-1", "--client-ca-file=/both.crt")}
	expectFindings(t, o.KubeletFindings(settings), []string{"set kubeconfig: /7", "set certDir: /7"}) // by its name it is this node's
}

func TestAPathByAnotherWayIsTheSame(t *testing.T) {
	folder := t.TempDir()
	must(t, os.Mkdir(filepath.Join(folder, "pki"), 0o700))
	must(t, os.Symlink("pki", filepath.Join(folder, "link")))
	cfg := settings
	cfg.CertDir = filepath.Join(folder, "pki")
	o := running(append(slices.Clone(fitting), "--cert-dir="+filepath.Join(folder, "link"))...)
	o.Kubelet = nil
	expectFindings(t, o.KubeletFindings(cfg), nil)
}
