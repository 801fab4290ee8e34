package doctor

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// copyChecks are about what is left of the bootstrap token elsewhere.
func copyChecks() []Check {
	return []Check{{"token-copies", "Copies of a bootstrap token that cloud-init, kubeadm or an editor has left, once the node has its identity.", tokenCopies}}
}

// place is where copies are known to be left, as a pattern, and what takes them away.
type place struct {
	pattern string
	by      origin
}

type origin int

const (
	cloudInit origin = iota
	loose            // a file by itself, which can be removed
)

// knownPlaces are those of docs/cloud-init.md, of kubeadm, and beside the bootstrap kubeconfig.
func (p *Patient) knownPlaces() []place {
	var places []place
	for _, pattern := range []string{
		"/var/lib/cloud/instances/*/user-data*", "/var/lib/cloud/instances/*/vendor-data*", "/var/lib/cloud/instances/*/cloud-config.txt", "/var/lib/cloud/instances/*/obj.pkl",
		"/var/lib/cloud/instances/*/scripts/*", "/var/lib/cloud/instances/*/handlers/*", "/var/lib/cloud/seed/*/*",
		"/var/lib/cloud/data/status.json", "/var/lib/cloud/data/result.json", "/run/cloud-init/combined-cloud-config.json", "/run/cloud-init/instance-data-sensitive.json",
		"/var/log/cloud-init.log", "/var/log/cloud-init-output.log",
	} {
		places = append(places, place{p.path(pattern), cloudInit})
	}
	for _, pattern := range []string{"/var/lib/waagent/ovf-env.xml", "/boot/firmware/user-data", "/etc/kubernetes/bootstrap-kubelet.conf*"} {
		places = append(places, place{p.path(pattern), loose})
	}
	for _, path := range []string{p.Config.BootstrapKubeconfig, p.Config.DiscoveryTokenFile} {
		if path == "" {
			continue
		}
		beside := literal(path)
		folder, name := filepath.Split(beside)
		for _, pattern := range []string{beside + "?*", folder + "." + name + "?*", folder + "#" + name + "*", folder + "*.bak", folder + "*.orig", folder + "*~"} {
			places = append(places, place{pattern, loose})
		}
	}
	return places
}

// literal is a path as a pattern that matches nothing else.
func literal(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func tokenCopies(ctx context.Context, p *Patient) []Result {
	if !p.Observed.HasIdentity() {
		return one(ok("looked for when the node has its identity; until then the token is needed"))
	}
	var found []Result
	seen := p.inUse()
	for _, place := range p.knownPlaces() {
		paths, _ := filepath.Glob(place.pattern)
		for _, path := range paths {
			if ctx.Err() != nil {
				return append(found, unknown("there was no time to look at every file").with("look again", "bootstrap-agent doctor"))
			}
			if seen[path] {
				continue
			}
			seen[path] = true
			found = append(found, p.copyAt(path, place.by)...)
		}
	}
	slices.SortStableFunc(found, func(a, b Result) int { return rank[b.Verdict] - rank[a.Verdict] })
	return orWell(found, "none in the files of cloud-init, kubeadm and beside %s", p.Config.BootstrapKubeconfig)
}

// inUse are the files that are no copies: other checks judge them.
func (p *Patient) inUse() map[string]bool {
	files := map[string]bool{p.Config.BootstrapKubeconfig: true, p.Config.DiscoveryTokenFile: true, p.Config.Kubeconfig: true}
	for _, path := range p.Observed.SecretFiles(p.Config) {
		files[path] = true
	}
	return files
}

// maxCopy is as much of a file as is looked at: user-data are at most 64 KiB before they are put together, logs are longer.
const maxCopy = 4 << 20

func (p *Patient) copyAt(path string, by origin) []Result {
	text, err := readSome(path, maxCopy)
	if err != nil {
		if info, statErr := os.Stat(path); statErr == nil && !info.Mode().IsRegular() {
			return nil
		}
		if os.IsNotExist(err) {
			return nil
		}
		return one(p.unread(err.Error(), "find out what keeps root from reading it"))
	}
	line, found := tokenLine(text)
	if !found {
		return nil
	}
	at := path
	if line > 0 {
		at = fmt.Sprintf("%s, line %d,", path, line)
	}
	r := attention("%s holds what looks like a bootstrap token%s", at, readers(path))
	const ends = "a token that has ended is worthless: kubectl -n kube-system delete secret bootstrap-token-ID; the file goes, " + asRoot
	if by == cloudInit {
		return one(r.with(ends+" (docs/cloud-init.md says what cloud-init does not do afterwards)", "/usr/share/bootstrap-agent/cloud-init/forget-user-data.sh"))
	}
	return one(r.with(ends, "rm "+quoted(path)))
}

// readers says whether others than root may read a file.
func readers(path string) string {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&fs.FileMode(0o044) != 0 {
		return fmt.Sprintf(", and others may read it (mode %04o)", info.Mode().Perm())
	}
	return ""
}
