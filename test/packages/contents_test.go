package packages

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// program, file and folder are how each is installed: root's, and writable by nobody else.
const (
	program = "-rwxr-xr-x root root"
	file    = "-rw-r--r-- root root"
	folder  = "drwxr-xr-x root root"
)

// common is what both packages install.
func common(t *testing.T) map[string]string {
	t.Helper()
	want := map[string]string{
		"/usr/bin/bootstrap-agent":                                          program,
		"/usr/lib/systemd/system/bootstrap-agent.service":                   file,
		"/usr/lib/systemd/system/kubelet.service.d":                         folder,
		"/usr/lib/systemd/system/kubelet.service.d/20-bootstrap-agent.conf": file,
		"/usr/lib/systemd/system-preset/80-bootstrap-agent.preset":          file,
		"/etc/bootstrap-agent":                                              folder,
		"/usr/share/bootstrap-agent":                                        folder,
		"/usr/share/bootstrap-agent/config.yaml.example":                    file,
		"/usr/share/bootstrap-agent/kubelet":                                folder,
		"/usr/share/bootstrap-agent/kubelet/20-bootstrap-agent.conf":        file,
		"/usr/share/bootstrap-agent/systemd/30-kubeadm.conf":                file,
		"/usr/share/bootstrap-agent/systemd":                                folder,
		"/usr/share/bootstrap-agent/systemd/exec-plugin.conf":               file,
		"/usr/share/bootstrap-agent/systemd/bootstrap-agent.socket":         file,
		"/usr/share/bootstrap-agent/prometheus":                             folder,
		"/usr/share/bootstrap-agent/prometheus/web-config-mtls.yaml":        file,
		"/usr/share/bootstrap-agent/prometheus/web-config-password.yaml":    file,
		"/usr/share/bash-completion/completions/bootstrap-agent":            file,
		"/usr/share/fish/vendor_completions.d/bootstrap-agent.fish":         file,
		"/usr/share/doc/bootstrap-agent":                                    folder,
		"/usr/share/doc/bootstrap-agent/copyright":                          file,
		"/usr/share/doc/bootstrap-agent/changelog.gz":                       file,
		"/usr/share/doc/bootstrap-agent/third-party-licenses.txt":           file,
	}
	want["/usr/share/bootstrap-agent/cloud-init"] = folder
	want["/usr/share/bootstrap-agent/cloud-init/forget-user-data.sh"] = program
	examples, err := filepath.Glob("../../deploy/cloud-init/*.yaml")
	must(t, err)
	if len(examples) == 0 {
		t.Fatal("there is no user-data")
	}
	for _, example := range examples {
		want["/usr/share/bootstrap-agent/cloud-init/"+filepath.Base(example)] = file
	}
	pages, err := filepath.Glob("../../deploy/man/*")
	must(t, err)
	if len(pages) < 5 {
		t.Fatalf("manual pages: %q", pages)
	}
	for _, page := range pages {
		want["/usr/share/man/man"+page[len(page)-1:]+"/"+filepath.Base(page)+".gz"] = file
	}
	return want
}

func TestTheDebInstallsTheseFilesAndNoOthers(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	for _, arch := range arches() {
		got := map[string]string{}
		for header := range tarOf(t, i.must("dpkg-deb", "--fsys-tarfile", "/mnt/packages/"+filepath.Base(deb(t, arch)))) {
			if header.Uid != 0 || header.Gid != 0 {
				t.Errorf("%s belongs to %d:%d", header.Name, header.Uid, header.Gid)
			}
			got[strings.TrimSuffix(strings.TrimPrefix(header.Name, "."), "/")] = header.FileInfo().Mode().String() + " " + header.Uname + " " + header.Gname
		}
		want := common(t)
		want["/usr/share/zsh/vendor-completions/_bootstrap-agent"] = file
		for path := range maps.Clone(want) { // a deb lists the folders above, too
			for above := filepath.Dir(path); above != "/"; above = filepath.Dir(above) {
				want[above] = folder
			}
		}
		same(t, got, want)
	}
}

func TestTheRPMInstallsTheseFilesAndNoOthers(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	for _, arch := range arches() {
		got := map[string]string{}
		said := i.must("rpm", "--query", "--queryformat", `[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]`, "--package", "/mnt/packages/"+filepath.Base(rpm(t, arch)))
		for _, line := range lines(said) {
			words := strings.Fields(line)
			got[words[3]] = strings.Join(words[:3], " ")
		}
		want := common(t)
		want["/usr/share/zsh/site-functions/_bootstrap-agent"] = file
		want["/usr/share/licenses/bootstrap-agent"] = folder
		want["/usr/share/licenses/bootstrap-agent/LICENSE"] = file
		same(t, got, want)
	}
}

// Folders that others use too would change their mode with an rpm that holds them.
func same(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got[path] != want[path] {
			t.Errorf("%s is %q, expected is %q", path, got[path], want[path])
		}
	}
	for _, path := range slices.Sorted(maps.Keys(got)) {
		if want[path] == "" {
			t.Errorf("%s is there, %s, and nobody expects it", path, got[path])
		}
	}
}

// What dpkg and rpm say of a package; a person looks there first.
func TestThePackagesSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	for _, arch := range arches() {
		field := func(name string) string {
			return strings.TrimSpace(i.must("dpkg-deb", "--field", "/mnt/packages/"+filepath.Base(deb(t, arch)), name))
		}
		tag := func(name string) string {
			return strings.TrimSpace(i.must("rpm", "--query", "--queryformat", "%{"+name+"}", "--package", "/mnt/packages/"+filepath.Base(rpm(t, arch))))
		}
		for _, is := range []struct{ what, got, want string }{
			{"deb, version", field("Version"), version},
			{"deb, architecture", field("Architecture"), arch},
			{"deb, section", field("Section"), "admin"},
			{"deb, what it needs", field("Depends"), "systemd"},
			{"rpm, version", tag("VERSION"), version},
			{"rpm, architecture", tag("ARCH"), map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch]},
			{"rpm, licence", tag("LICENSE"), "Apache-2.0"},
			{"rpm, time", tag("BUILDTIME"), "1700000000"},
			{"rpm, machine", tag("BUILDHOST"), "reproducible"},
		} {
			if is.got != is.want {
				t.Errorf("%s: %q, expected is %q", is.what, is.got, is.want)
			}
		}
	}
}

// The terms of what is linked in ask for their text beside the program; the SBOM says what that is.
func TestEachModuleOfTheBillOfMaterialsHasItsLicenceInThePackage(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	for _, arch := range arches() {
		licences := ""
		for header, content := range tarOf(t, i.must("dpkg-deb", "--fsys-tarfile", "/mnt/packages/"+filepath.Base(deb(t, arch)))) {
			if strings.HasSuffix(header.Name, "/third-party-licenses.txt") {
				licences = string(content)
			}
		}
		text, err := os.ReadFile(filepath.Join(packages(t), "bootstrap-agent_"+version+"_linux_"+arch+".cdx.json"))
		must(t, err)
		var bom struct {
			BOMFormat string `json:"bomFormat"`
			Metadata  struct {
				Component struct{ Name, Version string }
			}
			Components []struct{ Name, Version string }
		}
		must(t, json.Unmarshal(text, &bom))
		if bom.BOMFormat != "CycloneDX" || bom.Metadata.Component.Version != version || len(bom.Components) < 20 {
			t.Errorf("%s %s with %d components", bom.BOMFormat, bom.Metadata.Component.Version, len(bom.Components))
		}
		for _, component := range bom.Components {
			title := "\n" + component.Name + " " + component.Version + "\n"
			if strings.HasPrefix(component.Name, "./") { // our own, in place of another's (go.mod)
				continue
			}
			if component.Name == "std" {
				title = "The Go programming language\n"
			}
			_, rest, found := strings.Cut(licences, title)
			words := strings.ToLower(rest[:min(len(rest), 1500)])
			if !found || (!strings.Contains(words, "license") && !strings.Contains(words, "copyright")) {
				t.Errorf("no licence of %s %s", component.Name, component.Version)
			}
		}
	}
}

func TestTheCompletionsAreWhatTheShellsTakeForOne(t *testing.T) {
	t.Parallel()
	i := newImage(t)
	i.must("dpkg", "--install", "/mnt/packages/"+filepath.Base(deb(t, runtime.GOARCH)))
	i.must("bash", "-n", "/usr/share/bash-completion/completions/bootstrap-agent")
	for path, want := range map[string]string{
		"/usr/share/bash-completion/completions/bootstrap-agent":    "__start_bootstrap-agent bootstrap-agent\n",
		"/usr/share/zsh/vendor-completions/_bootstrap-agent":        "#compdef bootstrap-agent\n",
		"/usr/share/fish/vendor_completions.d/bootstrap-agent.fish": "\ncomplete -c bootstrap-agent ",
	} {
		text, err := os.ReadFile(i.path(path))
		must(t, err)
		if !strings.Contains(string(text), want) {
			t.Errorf("%s has no %q", path, want)
		}
	}
}

// tarOf yields what a tar file holds.
func tarOf(t *testing.T, text string) func(func(*tar.Header, []byte) bool) {
	t.Helper()
	return func(yield func(*tar.Header, []byte) bool) {
		for reader := tar.NewReader(bytes.NewReader([]byte(text))); ; {
			header, err := reader.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			must(t, err)
			content, err := io.ReadAll(reader)
			must(t, err)
			if header.FileInfo().Mode()&fs.ModeType != 0 {
				content = nil
			}
			if !yield(header, content) {
				return
			}
		}
	}
}
