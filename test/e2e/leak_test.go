package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/tracer"
)

// handed is what a program gives to the kernel in one system call: to a file, a pipe or a socket.
type handed struct {
	to   string
	data []byte
	// mode is that with which the file was made, if it was.
	mode uint64
}

// outlet collects everything that a program gives away.
type outlet struct {
	all []handed
	// made are the files that it has made, with their modes.
	made map[string]uint64
}

// look takes what a system call hands over.
func (o *outlet) look(e tracer.Entry) {
	switch e.Number() {
	case unix.SYS_OPENAT:
		if e.Argument(2)&unix.O_CREAT != 0 {
			o.made[e.Text(1)] = e.Argument(3)
		}
	case unix.SYS_WRITE, unix.SYS_PWRITE64, unix.SYS_SENDTO:
		o.take(e, e.Bytes(1, int(e.Argument(2))))
	case unix.SYS_WRITEV, unix.SYS_PWRITEV, unix.SYS_PWRITEV2:
		o.takeVector(e, e.Bytes(1, int(16*e.Argument(2))))
	case unix.SYS_SENDMSG: // struct msghdr: the vector and its length are its third and fourth words
		if header := e.Bytes(1, 32); len(header) == 32 {
			vector := uintptr(binary.NativeEndian.Uint64(header[16:]))
			o.takeVector(e, e.Memory(vector, int(16*binary.NativeEndian.Uint64(header[24:]))))
		}
	}
}

func (o *outlet) take(e tracer.Entry, data []byte) {
	to := e.Descriptor(0)
	o.all = append(o.all, handed{to, data, o.made[to]})
}

// takeVector takes what an array of struct iovec leads to.
func (o *outlet) takeVector(e tracer.Entry, vector []byte) {
	for ; len(vector) >= 16; vector = vector[16:] {
		address, size := binary.NativeEndian.Uint64(vector), binary.NativeEndian.Uint64(vector[8:])
		o.take(e, e.Memory(uintptr(address), int(size)))
	}
}

// bootstrapping are the kinds of credentials that hold a secret.
var bootstrapping = map[string]func(n *node) clientcmdapi.AuthInfo{
	"token": (*node).secretToken,
	"token file": func(n *node) clientcmdapi.AuthInfo {
		n.write(n.path("token"), []byte(n.secretToken().Token), 0o644) // for others to read: also what is said of that is looked at
		return clientcmdapi.AuthInfo{TokenFile: "token"}
	},
	"embedded key": func(n *node) clientcmdapi.AuthInfo {
		certificate, key := n.clientCertificate()
		return clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	},
	"exec": func(n *node) clientcmdapi.AuthInfo {
		n.keeps(n.path("plugin"))
		return n.execPlugin(printToken(n.secretToken().Token))
	},
}

// TestNoByteOfASecretLeavesTheProcess looks at every byte that the agent hands to the kernel from its start to its end, in files
// that live for a moment as well: the bootstrap secret is in none, and the node's own keys are only in files of the cert-dir which
// nobody else could ever read.
func TestNoByteOfASecretLeavesTheProcess(t *testing.T) {
	t.Parallel()
	formats := []string{"text", "json"}
	for i, kind := range slices.Sorted(maps.Keys(bootstrapping)) {
		user, some := bootstrapping[kind], formats
		if os.Getenv("SOAK") == "" {
			some = formats[i%2:][:1]
		}
		for _, format := range some {
			t.Run(kind+", "+format, func(t *testing.T) {
				t.Parallel()
				n := newNode(t, shared(t))
				n.bootstrap(user(n))
				n.approveServing(0)
				o := n.watchOnce("--log-level=debug", "--log-format="+format)
				n.assertJoined()
				n.assertSaysNothing(o)
				n.assertKeysAtHome(o)
				t.Logf("%d writes looked at", len(o.all))
			})
		}
	}
}

// watchOnce runs run --once to its end with a service manager that listens.
func (n *node) watchOnce(args ...string) *outlet {
	n.t.Helper()
	folder, err := os.MkdirTemp("", "notify-")
	must(n.t, err)
	n.t.Cleanup(func() { os.RemoveAll(folder) })
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(folder, "s"), Net: "unixgram"})
	must(n.t, err)
	n.t.Cleanup(func() { listener.Close() })
	c := n.command(n.t.Context(), []string{"run", "--once"}, args...)
	c.Env = append(c.Environ(), "NOTIFY_SOCKET="+filepath.Join(folder, "s"))
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	o := &outlet{made: map[string]uint64{}}
	trace, err := tracer.Watch(c, o.look)
	must(n.t, err)
	if trace.Status.ExitStatus() != 0 {
		n.t.Fatalf("it ended with %d:\n%s", trace.Status.ExitStatus(), said.String())
	}
	return o
}

// assertSaysNothing shows that no secret, and no half of one, was handed over, and that what should have been looked at was.
func (n *node) assertSaysNothing(o *outlet) {
	n.t.Helper()
	status, logged := false, false
	for _, h := range o.all {
		for _, secret := range n.secrets {
			for _, part := range [][]byte{secret[:len(secret)/2], secret[len(secret)/2:]} {
				if bytes.Contains(h.data, bytes.TrimSpace(part)) {
					n.t.Errorf("the bootstrap secret goes to %s", h.to)
				}
			}
		}
		status = status || bytes.Contains(h.data, []byte("STATUS="))
		logged = logged || bytes.Contains(h.data, []byte("the node has its client certificate"))
	}
	if !status || !logged {
		n.t.Errorf("STATUS= was seen: %t, the log: %t; the test shows nothing", status, logged)
	}
}

// assertKeysAtHome shows where the node's own keys were written, and that they were written at all.
func (n *node) assertKeysAtHome(o *outlet) {
	n.t.Helper()
	keys := n.keyLines()
	written := map[string]bool{}
	for _, h := range o.all {
		for _, line := range keys {
			if !bytes.Contains(h.data, []byte(line)) {
				continue
			}
			written[line] = true
			if filepath.Dir(h.to) != n.certDir().Path || h.mode&0o077 != 0 {
				n.t.Errorf("a key of the node goes to %s, made with mode %#o", h.to, h.mode)
			}
		}
	}
	if len(keys) == 0 || len(written) != len(keys) {
		n.t.Errorf("%d of %d lines of the keys were seen being written", len(written), len(keys))
	}
}

var keyBlock = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----\n(.*?)\n-----END`)

// keyLines are the lines of all private keys in the cert-dir that are long enough to be told from anything else.
func (n *node) keyLines() (lines []string) {
	for _, name := range n.files() {
		path := n.path(name)
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || filepath.Dir(path) != n.certDir().Path {
			continue
		}
		content, _ := os.ReadFile(path)
		for _, block := range keyBlock.FindAllSubmatch(content, -1) {
			for line := range strings.Lines(string(block[1])) {
				if line = strings.TrimSpace(line); len(line) >= 32 {
					lines = append(lines, line)
				}
			}
		}
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

// TestAnExecPluginIsGivenNothingButTheEnvironment has a plugin tell what it has got.
func TestAnExecPluginIsGivenNothingButTheEnvironment(t *testing.T) {
	t.Parallel()
	n := clientOnly(t)
	token := n.secretToken().Token
	user := n.execPlugin(`env | sort > "$DIR/told-env"; ulimit -c > "$DIR/told-limit"; ls /proc/self/fd > "$DIR/told-fd"; tr '\0' '\n' < /proc/$$/cmdline > "$DIR/told-args"
` + printToken(token))
	user.Exec.ProvideClusterInfo = true
	n.keeps(n.path("plugin"))
	n.bootstrap(user)
	n.through = []string{
		"/usr/bin/env", "-i", "DIR=" + n.dir, "PATH=" + os.Getenv("PATH"), "CREDENTIALS_DIRECTORY=/run/credentials/a.service",
		"/bin/sh", "-c", `ulimit -c "$(ulimit -H -c)"; ls /proc/self/fd > "$DIR/told-inherited"; exec "$0" "$@"`,
	}
	n.expect(n.once(), 0)
	told := func(what string) []string {
		content, err := os.ReadFile(n.path("told-" + what))
		must(t, err)
		return strings.Fields(string(content))
	}
	for _, variable := range told("env") {
		name, value, _ := strings.Cut(variable, "=")
		switch name {
		case "DIR", "PATH", "CREDENTIALS_DIRECTORY", "PWD", "OLDPWD", "SHLVL", "_": // ours, and the shell's
		case "KUBERNETES_EXEC_INFO":
			if !strings.Contains(value, n.cp.Server()) {
				t.Errorf("the cluster is not told: %s", value)
			}
		default:
			t.Errorf("it gets %s", name)
		}
	}
	if limit := told("limit"); !slices.Equal(limit, []string{"0"}) {
		t.Errorf("its core limit is %q", limit)
	}
	if args := told("args"); !slices.Equal(args, []string{"/bin/sh", n.path("plugin")}) {
		t.Errorf("its arguments are %q", args)
	}
	known := append(told("inherited"), "0", "1", "2", "3") // the last is the folder that ls reads
	for _, descriptor := range told("fd") {
		if !slices.Contains(known, descriptor) {
			t.Errorf("it has the open file %s", descriptor)
		}
	}
}

// inKubeconfig finds the secrets of a kubeconfig, whatever else is wrong with it.
var inKubeconfig = regexp.MustCompile(`(?:token|client-key-data): *"?([^\s"]{16,})`)

// tell notes the secrets of what is written for the agent to find: they may be nowhere in what it says.
func (n *node) tell(path string, content []byte) {
	if path != n.bootstrapFile() {
		return
	}
	for _, found := range inKubeconfig.FindAllSubmatch(content, -1) {
		n.told = append(n.told, string(found[1]))
	}
}

// assertTalkIsClean looks for pieces of every secret, and for the node's own keys, in what its agents said. Eight characters of a
// secret do not come up by chance.
func (n *node) assertTalkIsClean() {
	said := n.said.String()
	for _, secret := range n.told {
		for i := 0; i+8 <= len(secret); i++ {
			if strings.Contains(said, secret[i:i+8]) {
				n.t.Errorf("%q of a secret is in what the agent said", secret[i:i+8])
				break
			}
		}
	}
	for _, line := range n.keyLines() {
		if strings.Contains(said, line) {
			n.t.Error("a key of the node is in what the agent said")
		}
	}
	if strings.Contains(said, "PRIVATE KEY") {
		n.t.Error("a private key is in what the agent said")
	}
}

// assertProcessIsClean looks at what everybody can see of a running agent.
func (n *node) assertProcessIsClean(c *exec.Cmd) {
	for _, file := range []string{"cmdline", "environ"} {
		content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", c.Process.Pid, file)) // it may have ended
		for _, secret := range n.secrets {
			if bytes.Contains(content, secret) {
				n.t.Errorf("a secret is in its %s", file)
			}
		}
	}
}
