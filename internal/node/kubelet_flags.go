package node

import (
	"path/filepath"
	"strconv"
	"strings"
)

// flags are a kubelet's flags by name, each with the value that counts: the last one.
type flags map[string]string

// switches are those of the flags that matter which take no value of their own: "--rotate-certificates false" means true.
var switches = map[string]bool{"rotate-certificates": true, "rotate-server-certificates": true}

// matters says which flags take a value whatever it looks like.
var matters = map[string]bool{
	"config": true, "config-dir": true, "kubeconfig": true, "bootstrap-kubeconfig": true, "cert-dir": true, "hostname-override": true, "node-ip": true,
	"tls-cert-file": true, "tls-private-key-file": true, "client-ca-file": true,
}

// parseFlags reads a command line as the kubelet does (pflag with the words of a name separated by - or _).
func parseFlags(argv []string) flags {
	found := flags{}
	for i := 1; i < len(argv); i++ {
		text, long := strings.CutPrefix(argv[i], "--")
		if long && text == "" { // what follows are no flags
			break
		}
		if !long {
			continue
		}
		name, value, given := strings.Cut(text, "=")
		name = strings.ReplaceAll(name, "_", "-")
		switch {
		case given:
		case switches[name]:
			value = "true"
		case i+1 < len(argv) && (matters[name] || !strings.HasPrefix(argv[i+1], "-")):
			i++
			value = argv[i]
		}
		found[name] = value
	}
	return found
}

// isKubelet says whether argv is that of a kubelet which is a node's: one that is told of a cluster.
func isKubelet(argv []string) bool {
	if len(argv) == 0 || filepath.Base(argv[0]) != "kubelet" {
		return false
	}
	found := parseFlags(argv)
	return found["kubeconfig"] != "" || found["bootstrap-kubeconfig"] != ""
}

// text returns a flag's value as it was given.
func (f flags) text(name string) Told[string] {
	value, given := f[name]
	return Told[string]{Value: value, Known: true, By: by(name, given)}
}

// path returns a flag's path. A relative one begins at the kubelet's working directory, which nobody else can tell.
func (f flags) path(name, otherwise string) Told[string] {
	return f.pathOver(name, Told[string]{Value: otherwise, Known: true})
}

// pathOver is path where a file may say it too.
func (f flags) pathOver(name string, otherwise Told[string]) Told[string] {
	value, given := f[name]
	switch {
	case !given:
		return otherwise
	case value == "" || filepath.IsAbs(value):
		return Told[string]{Value: value, Known: true, By: by(name, given)}
	}
	return Told[string]{By: by(name, given)}
}

func (f flags) bool(name string, otherwise Told[bool]) Told[bool] {
	text, given := f[name]
	if !given {
		return otherwise
	}
	value, err := strconv.ParseBool(text)
	return Told[bool]{Value: value, Known: err == nil, By: by(name, given)}
}

func by(name string, given bool) string {
	if !given {
		return ""
	}
	return "--" + name
}
