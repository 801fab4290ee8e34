package node

import (
	"io/fs"
	"os"
	"path/filepath"
)

// DefaultCertDir is the kubelet's --cert-dir when it is not told of another.
const DefaultCertDir = "/var/lib/kubelet/pki"

// Kubelet is what a running kubelet was told about its certificates, by its command line and by the configuration files that this names.
// What could not be found out is not known, and never an error: the agent's sandbox may hide a file.
type Kubelet struct {
	Process Process

	Kubeconfig, BootstrapKubeconfig, CertDir Told[string]
	// HostnameOverride is as it was given; empty: the kubelet takes the host name.
	HostnameOverride Told[string]
	// NodeIP is as it was given; empty: the kubelet chooses.
	NodeIP Told[string]
	// RotatesClient and RotatesServing: the kubelet asks for its certificates itself.
	RotatesClient, RotatesServing Told[bool]
	// ServingCert and ServingKey are the files that it serves; empty: kubelet.crt and kubelet.key in its cert-dir.
	ServingCert, ServingKey Told[string]
	// ClientCAFile says who may call the kubelet with a certificate; empty: nobody. ClientCA is what is in it; nil: not known.
	ClientCAFile Told[string]
	ClientCA     []byte
	// Unread says for each file that is wanting why it could not be read.
	Unread []error
}

// Told is one setting.
type Told[T any] struct {
	Value T
	// Known is false, and there is no value, where nobody can tell: a relative path, a file that cannot be read.
	Known bool
	// By is what says so, a flag or a file; empty: it is the kubelet's default.
	By string
}

// ParseKubelet returns what a kubelet with these arguments, the first one its program, was told. Its files are read from files, whose root is
// that of the file system; those that change later are not what it has read. Flags win over files, and later files over earlier ones
// (k8s.io/kubernetes cmd/kubelet/app/server.go).
func ParseKubelet(argv []string, files fs.FS) Kubelet {
	flags := parseFlags(argv)
	config, unread := readConfiguration(flags, files)
	k := Kubelet{
		Kubeconfig:          flags.path("kubeconfig", ""),
		BootstrapKubeconfig: flags.path("bootstrap-kubeconfig", ""),
		CertDir:             flags.path("cert-dir", DefaultCertDir),
		HostnameOverride:    flags.text("hostname-override"),
		NodeIP:              flags.text("node-ip"),
		RotatesClient:       flags.bool("rotate-certificates", config.bool("rotateCertificates")),
		RotatesServing:      flags.bool("rotate-server-certificates", config.bool("serverTLSBootstrap")),
		ServingCert:         flags.pathOver("tls-cert-file", config.path("tlsCertFile")),
		ServingKey:          flags.pathOver("tls-private-key-file", config.path("tlsPrivateKeyFile")),
		ClientCAFile:        flags.pathOver("client-ca-file", config.path("authentication", "x509", "clientCAFile")),
		Unread:              unread,
	}
	if path := k.ClientCAFile.Value; path != "" {
		var err error
		if k.ClientCA, err = read(files, path); err != nil {
			k.Unread = append(k.Unread, err)
		}
	}
	return k
}

// Name is the node name that the kubelet registers under; [ErrNoName] as in [Name].
func (k Kubelet) Name() (string, error) { return Name(k.HostnameOverride.Value) }

// OwnServingPair says whether the kubelet serves kubelet.crt and kubelet.key of its cert-dir.
func (k Kubelet) OwnServingPair() bool {
	return k.ServingCert.Known && k.ServingKey.Known && k.ServingCert.Value == "" && k.ServingKey.Value == ""
}

// SamePath says whether two paths lead to the same file or folder, or would if it were there.
func SamePath(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	at, err := os.Stat(a)
	bt, otherErr := os.Stat(b)
	return err == nil && otherErr == nil && os.SameFile(at, bt)
}
