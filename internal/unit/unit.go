// Package unit knows which files the shipped systemd unit lets the agent use, and prints the drop-in that settings with other paths
// need. It looks at paths and changes nothing.
package unit

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

const (
	// Name is the unit's.
	Name = "bootstrap-agent.service"
	// DropIn is where a person puts what the settings need of the unit besides.
	DropIn = "/etc/systemd/system/" + Name + ".d/paths.conf"
	// ExecDropIn is shipped for bootstrap kubeconfigs with an exec credential plugin.
	ExecDropIn = "/usr/share/bootstrap-agent/systemd/exec-plugin.conf"
)

// writable are the folders that the agent may change: ReadWritePaths= and RuntimeDirectory= of deploy/systemd/bootstrap-agent.service.
// Everything else is read-only for it (ProtectSystem=strict).
var writable = []string{"/var/lib/kubelet", "/etc/kubernetes", "/run/bootstrap-agent"}

// hidden are the folders that the unit has none of, or others than the machine: ProtectHome= and PrivateTmp=.
var hidden = []string{"/home", "/root", "/run/user", "/tmp", "/var/tmp"}

// always are there before any service is started, without being waited for, or are the unit's own.
var always = []string{"/etc", "/usr", "/run"}

// Needs are what settings need of the unit besides what it has. The zero value: nothing.
type Needs struct {
	// Write are folders that the agent must be able to change.
	Write []string
	// Read are files that it only reads, and whose file systems must be mounted before it starts.
	Read []string
	// Hidden are files that it cannot see, whatever it may write to.
	Hidden []string
	// Exec is the credential plugin that it must be able to run; empty: none.
	Exec string

	// open is the one of Write that others read as well.
	open string
}

// NeedsOf returns what the settings need of the unit. Named are the files that the bootstrap kubeconfig names, as far as it is known.
func NeedsOf(cfg config.Config, named ...string) Needs {
	n := Needs{}
	certDir := resolved(cfg.CertDir)
	n.write(certDir, above(certDir))
	n.write(cfg.Kubeconfig, filepath.Dir(resolved(cfg.Kubeconfig)))
	for _, credential := range []string{cfg.BootstrapKubeconfig, cfg.DiscoveryTokenFile} {
		switch {
		case credential == "", below(credential, []string{"/run/credentials"}): // a systemd credential
		case cfg.KeepBootstrapKubeconfig:
			n.read(credential)
		default:
			n.write(credential, filepath.Dir(resolved(credential)))
		}
	}
	if cfg.Textfile != "" {
		n.write(cfg.Textfile, filepath.Dir(resolved(cfg.Textfile)))
		n.open = filepath.Dir(resolved(cfg.Textfile))
	}
	for _, path := range append(named, cfg.KubeletClientCAFile, cfg.WebConfigFile, cfg.DiscoveryFile, cfg.CAFile) {
		if path != "" {
			n.read(path)
		}
	}
	for _, list := range []*[]string{&n.Write, &n.Read, &n.Hidden} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return n
}

// above is the folder that must be writable for a cert-dir: the one above it, since one that is removed and made again would be
// read-only until the next start. The root itself it must not be.
func above(certDir string) string {
	if parent := filepath.Dir(certDir); parent != "/" {
		return parent
	}
	return certDir
}

// write notes that the agent changes what lies in folder, for the sake of path.
func (n *Needs) write(path, folder string) {
	switch {
	case below(path, hidden):
		n.Hidden = append(n.Hidden, path)
	case !below(path, writable):
		n.Write = append(n.Write, folder)
	}
}

func (n *Needs) read(path string) {
	switch {
	case below(path, hidden):
		n.Hidden = append(n.Hidden, path)
	case !below(path, writable) && !below(path, always):
		n.Read = append(n.Read, path)
	}
}

// Outside says whether the unit does not let the agent change what lies at path.
func Outside(path string) bool { return !below(path, writable) }

// below says whether path lies in one of the folders or is one, through all links.
func below(path string, folders []string) bool {
	path = resolved(path)
	return slices.ContainsFunc(folders, func(folder string) bool {
		folder = resolved(folder)
		return path == folder || strings.HasPrefix(path, folder+"/")
	})
}

// resolved follows the links in path as far as it is there.
func resolved(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if filepath.Dir(path) == path {
		return path
	}
	return filepath.Join(resolved(filepath.Dir(path)), filepath.Base(path))
}
