package kubeconfig_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

var update = flag.Bool("update", false, "write the golden files anew")

// kubelet is the content of a kubelet's kubeconfig, with files that a test need not have.
func kubelet() kubeconfig.Kubelet {
	return kubeconfig.Kubelet{
		Endpoint:  apiserver.Endpoint{Server: "https://10.0.0.1:6443"},
		CAFile:    "/var/lib/kubelet/pki/kubelet-apiserver-ca.crt",
		ClientPEM: "/var/lib/kubelet/pki/kubelet-client-current.pem",
	}
}

// variants are what a kubelet's kubeconfig can hold, by the name of its golden file.
func variants() map[string]kubeconfig.Kubelet {
	full, other := kubelet(), kubelet()
	full.Endpoint.TLSServerName, full.Endpoint.ProxyURL = "kubernetes", "http://proxy.example.com:3128"
	other.Endpoint.TLSServerName = "kubernetes"
	other.KubeletServer = "https://127.0.0.1:7443"
	return map[string]kubeconfig.Kubelet{"kubelet": kubelet(), "kubelet-with-proxy": full, "kubelet-with-own-server": other}
}

func TestTheKubeletsKubeconfigHoldsPathsOnly(t *testing.T) {
	t.Parallel()
	for name, k := range variants() {
		got, err := k.Render()
		must(t, err)
		golden := filepath.Join("testdata", name+".golden.yaml")
		if *update {
			must(t, os.WriteFile(golden, got, 0o644))
		}
		want, err := os.ReadFile(golden)
		must(t, err)
		if string(got) != string(want) {
			t.Errorf("%s is\n%s\nexpected is (go test -update writes it)\n%s", name, got, want)
		}
		if strings.Contains(string(got), "-data") {
			t.Errorf("%s holds data:\n%s", name, got)
		}
	}
}

// TestTheKubeletUsesTheServerThatIsMeantForIt reads the file as the kubelet does, with client-go.
func TestTheKubeletUsesTheServerThatIsMeantForIt(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"kubelet": "https://10.0.0.1:6443", "kubelet-with-proxy": "https://10.0.0.1:6443", "kubelet-with-own-server": "https://127.0.0.1:7443",
	} {
		f, k := newFolder(t), variants()[name]
		f.write("ca.crt", ca())
		f.write("client.pem", client().certificate+client().key)
		k.CAFile, k.ClientPEM = f.in("ca.crt"), f.in("client.pem")
		text, err := k.Render()
		must(t, err)
		config, err := clientcmd.RESTConfigFromKubeConfig(text)
		must(t, err)
		if config.Host != want || config.CAFile != k.CAFile || config.CertFile != k.ClientPEM || config.KeyFile != k.ClientPEM || config.ServerName != k.Endpoint.TLSServerName {
			t.Errorf("%s leads the kubelet to %s (%s), with %s and %s under %s", name, config.Host, config.ServerName, config.CertFile, config.KeyFile, config.CAFile)
		}
		if (config.Proxy != nil) != (k.Endpoint.ProxyURL != "") {
			t.Errorf("%s: a proxy is used: %t", name, config.Proxy != nil)
		}
	}
}

func TestWhatIsWrittenForTheKubeletIsReadBackTheSame(t *testing.T) {
	t.Parallel()
	for name, k := range variants() {
		f := newFolder(t)
		f.write("ca.crt", ca())
		k.CAFile, k.Endpoint.CA = f.in("ca.crt"), []byte(ca())
		path := f.in("kubelet.kubeconfig")
		_, err := kubeconfig.WriteKubelet(durable.Disk{}, path, k)
		must(t, err)
		got, err := kubeconfig.LoadKubelet(path)
		must(t, err)
		if text, err := os.ReadFile(path); err != nil || string(got.Text) != string(text) {
			t.Errorf("%s: %q is what it held, not %q (%v)", name, text, got.Text, err)
		}
		got.Text = nil
		if !reflect.DeepEqual(*got, k) {
			t.Errorf("%s: %+v is read back as %+v", name, k, *got)
		}
	}
}

func TestTheKubeletsServerIsNotTwiceInTheFileWhenItIsTheSame(t *testing.T) {
	t.Parallel()
	same := kubelet()
	same.KubeletServer = same.Endpoint.Server
	got, err := same.Render()
	must(t, err)
	want, err := kubelet().Render()
	must(t, err)
	if string(got) != string(want) {
		t.Errorf("the file is\n%s", got)
	}
}

func TestTheKubeletsKubeconfigIsWrittenOnlyWhenItDiffers(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	path, changes := f.in("kubelet.kubeconfig"), 0
	disk := durable.Disk{Before: func(durable.Op) error { changes++; return nil }}
	write := func(what string, k kubeconfig.Kubelet, want bool) {
		t.Helper()
		changes = 0
		changed, err := kubeconfig.WriteKubelet(disk, path, k)
		must(t, err)
		if changed != want || (changes > 0) != want {
			t.Errorf("%s: changed is %t, after %d operations", what, changed, changes)
		}
		info, err := os.Stat(path)
		must(t, err)
		if info.Mode() != 0o600 {
			t.Errorf("%s: the mode is %s", what, info.Mode())
		}
	}
	moved := kubelet()
	moved.Endpoint.Server = "https://10.0.0.2:6443"
	write("the first time", kubelet(), true)
	write("the same again", kubelet(), false)
	write("another server", moved, true)
	must(t, os.Chmod(path, 0o644))
	write("readable by others", moved, true)
	must(t, os.WriteFile(path, []byte("apiVersion: v1"), 0o600))
	write("overwritten by somebody", moved, true)
	must(t, os.Remove(path))
	write("deleted by somebody", moved, true)
	write("the same again", moved, false)
}

func TestAKubeletsKubeconfigThatCannotBeWrittenStaysAsItWas(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	_, err := kubeconfig.WriteKubelet(durable.Disk{}, f.in("kubelet.kubeconfig"), kubelet())
	must(t, err)
	before := f.content()
	moved := kubelet()
	moved.Endpoint.Server = "https://10.0.0.2:6443"
	full := errors.New("disk full")
	_, err = kubeconfig.WriteKubelet(durable.Disk{Before: func(op durable.Op) error {
		if op.Call == "write" {
			return full
		}
		return nil
	}}, f.in("kubelet.kubeconfig"), moved)
	if !errors.Is(err, full) || !reflect.DeepEqual(f.content(), before) {
		t.Errorf("%v, and the folder holds %v", err, f.content())
	}
}

// The kubeconfig's folder is swept by nobody else.
func TestWhatACrashLeftOfAKubeletsKubeconfigGoesWithTheNextOne(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "kubelet.kubeconfig")
	dead := false
	crash := durable.Disk{Before: func(op durable.Op) error {
		if dead = dead || op.Call == "rename"; dead {
			return errors.New("switched off")
		}
		return nil
	}}
	if _, err := kubeconfig.WriteKubelet(crash, path, kubelet()); err == nil {
		t.Fatal("no crash")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) != 1 {
		t.Fatalf("the crash left %q", left)
	}
	others := []string{"notes.tmp", ".kubelet.kubeconfig.tmp", ".kubelet.kubeconfig.2.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp", ".admin.conf.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp"}
	for _, name := range others {
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
	}
	for range 2 {
		_, err := kubeconfig.WriteKubelet(durable.Disk{}, path, kubelet())
		must(t, err)
		entries, err := os.ReadDir(dir)
		must(t, err)
		if len(entries) != len(others)+1 {
			t.Errorf("there are %v, expected %s and %q", entries, path, others)
		}
	}
}

func TestABadKubeletKubeconfigIsRefused(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.write("ca.crt", ca())
	good := kubelet()
	good.CAFile, good.KubeletServer = f.in("ca.crt"), "https://127.0.0.1:7443"
	text, err := good.Render()
	must(t, err)
	for name, test := range map[string]struct {
		old, now, says string
		missing        bool
	}{
		"empty":                          {string(text), "", "is empty", false},
		"not a kubeconfig":               {string(text), "kind: Pod", "is not a kubeconfig", false},
		"without a CA":                   {"certificate-authority: ", "x: ", "has no CA", false},
		"with a CA that is gone":         {f.in("ca.crt"), "/usr/gone.crt", "certificate-authority /usr/gone.crt", true},
		"with plain http":                {"server: https://127", "server: http://127", "it must be https", false},
		"with plain http for the agent":  {"server: https://10", "server: http://10", "it must be https", false},
		"with a server that is no URL":   {"server: https://127.0.0.1:7443", "server: '%'", "server is not a URL", false},
		"with the agent's server empty":  {"server: https://10.0.0.1:6443", "server: ''", "server is missing", false},
		"with a context that is nowhere": {"current-context: default-context", "current-context: other", "current-context", false},
	} {
		f.write("kubelet.kubeconfig", strings.ReplaceAll(string(text), test.old, test.now))
		k, err := kubeconfig.LoadKubelet(f.in("kubelet.kubeconfig"))
		if err == nil || k != nil || !strings.Contains(err.Error(), test.says) || errors.Is(err, fs.ErrNotExist) != test.missing || !strings.Contains(err.Error(), f.in("kubelet.kubeconfig")) {
			t.Errorf("%s: %v, expected is %q", name, err, test.says)
		}
	}
	if _, err := kubeconfig.LoadKubelet(f.in("gone")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file is %v", err)
	}
}
