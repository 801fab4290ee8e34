package node

import (
	"strings"
	"testing"
	"testing/fstest"
)

// FuzzKubelet has a command line, one argument a line, and two files of anything. What comes of it is not told by anything but that: no file
// may be known through a layer that could not be read, and no path but an absolute one.
func FuzzKubelet(f *testing.F) {
	f.Add(strings.Join(kubeadm, "\n"), "rotateCertificates: true", "serverTLSBootstrap: null")
	f.Add("kubelet\n--config-dir\n/k.d\n--rotate_certificates", "{", "a: &a [*a, *a]")
	f.Add("kubelet\n--config=/var/lib/kubelet/config.yaml\n--config-dir=/k.d", "authentication: {x509: null}", "authentication: {x509: {clientCAFile: ../a}}")
	f.Add("kubelet\n--config=/../k.d\n--client-ca-file=/k.d/a.conf\n--", "tlsCertFile: [a]", "? {a: b}\n: c")
	f.Fuzz(func(t *testing.T, args, config, dropIn string) {
		files := fstest.MapFS{"var/lib/kubelet/config.yaml": conf(config), "k.d/a.conf": conf(dropIn)}
		k := ParseKubelet(strings.Split(args, "\n"), files)
		for _, path := range []Told[string]{k.Kubeconfig, k.BootstrapKubeconfig, k.CertDir, k.ServingCert, k.ServingKey, k.ClientCAFile} {
			if path.Value != "" && (!path.Known || path.Value[0] != '/') {
				t.Errorf("a path is %+v", path)
			}
		}
		if k.RotatesClient.Value && k.RotatesClient.By == "" || k.RotatesClient.Value && !k.RotatesClient.Known {
			t.Errorf("it rotates, and nothing says so: %+v", k.RotatesClient)
		}
		again := ParseKubelet(append(strings.Split(args, "\n"), "--rotate-certificates=false"), files)
		if !strings.Contains("\n"+args+"\n", "\n--\n") && again.RotatesClient.By == "--rotate-certificates" && again.RotatesClient.Value {
			t.Error("the last flag does not count")
		}
	})
}
