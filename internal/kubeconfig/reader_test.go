package kubeconfig

import (
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// said is all that a reader says of a file.
type said struct {
	bootstrap    *Bootstrap
	kubelet      *Kubelet
	named, aside []string
	errors       string
}

func saidOf(r *Reader, path string) said {
	var s said
	var err, kubeletErr error
	s.bootstrap, err = r.LoadBootstrap(path)
	s.kubelet, kubeletErr = r.LoadKubelet(path)
	s.named, s.aside = r.Named(path), r.Aside(path)
	s.errors = fmt.Sprint(err, kubeletErr)
	return s
}

// What is remembered is never what is said of another content: not of one with the same length and time, nor of another mode,
// nor when a file that it names has changed.
func TestAReaderSaysOfEveryFileWhatSomebodySaysWhoReadsItForTheFirstTime(t *testing.T) {
	dir := t.TempDir()
	path, tokenFile := filepath.Join(dir, "bootstrap.kubeconfig"), filepath.Join(dir, "token")
	server := httptest.NewTLSServer(nil)
	server.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	kubeconfig := func(user string) []byte {
		return fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"c","user":"u"}}],`+
			`"clusters":[{"name":"c","cluster":{"server":"https://10.0.0.1:6443","certificate-authority-data":"%s"}}],"users":[{"name":"u","user":{%s}}]}`,
			base64.StdEncoding.EncodeToString(ca), user)
	}
	write := func(path string, content []byte) func() error {
		return func() error {
			then := time.Unix(1_700_000_000, 0)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				return err
			}
			return os.Chtimes(path, then, then)
		}
	}
	var kept Reader
	usable := 0
	for _, step := range []struct {
		name   string
		change func() error
	}{
		{"not there", func() error { return nil }},
		{"a token", write(path, kubeconfig(`"token":"abcdef.0123456789abcdef"`))},
		{"another of the same length, in a file of the same time", write(path, kubeconfig(`"token":"abcdef.0123456789abcdeg"`))},
		{"cut off", write(path, kubeconfig(`"token":"abcdef.0123456789abcdeg"`)[:100])},
		{"a token in a file that is not there", write(path, kubeconfig(`"tokenFile":"token"`))},
		{"and that comes", write(tokenFile, []byte("abcdef.0123456789abcdef"))},
		{"and changes", write(tokenFile, []byte("abcdef.0123456789abcdeg"))},
		{"and lies aside", func() error { return os.Rename(tokenFile, AsideName(tokenFile)) }},
		{"a client key", write(path, kubeconfig(`"client-key":"key.pem","client-certificate":"cert.pem"`))},
		{"for everybody to change", func() error { return os.Chmod(path, 0o666) }},
		{"for us alone again", func() error { return os.Chmod(path, 0o600) }},
		{"an exec plugin", write(path, kubeconfig(`"exec":{"apiVersion":"client.authentication.k8s.io/v1","command":"get","interactiveMode":"Never"}`))},
		{"empty", write(path, nil)},
		{"gone", func() error { return os.Remove(path) }},
	} {
		if err := step.change(); err != nil {
			t.Fatal(err)
		}
		for _, look := range []string{"first", "second"} {
			if again, fresh := saidOf(&kept, path), saidOf(new(Reader), path); !reflect.DeepEqual(again, fresh) {
				t.Errorf("%s, %s look: %+v, expected %+v", step.name, look, again, fresh)
			} else if again.bootstrap != nil {
				usable++
			}
		}
	}
	if usable != 10 {
		t.Errorf("%d times there was a credential, expected two looks at two tokens, two token files and a plugin", usable)
	}
	if len(kept.parsed) > 0 {
		t.Error("what stood in a file that is gone is still remembered")
	}
}

func TestNobodyCanChangeWhatAReaderRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	text := strings.ReplaceAll(`{"current-context":"x","contexts":[{"name":"x","context":{"cluster":"x","user":"x"}}],
		"clusters":[{"name":"x","cluster":{"server":"S"}}],"users":[{"name":"x","user":{"exec":{"command":"C"}}}]}`, "\t", "")
	var r Reader
	for range 2 {
		cluster, user, err := r.current(path, []byte(text))
		if err != nil || cluster.Server != "S" || user.Exec.Command != "C" {
			t.Fatalf("%+v, %+v, %v", cluster, user, err)
		}
		cluster.Server, user.Exec.Command = "changed", "changed"
	}
}
