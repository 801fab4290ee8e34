package cloudinit

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/pflag"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/yaml"

	shipped "github.com/bootstrap-agent/bootstrap-agent/deploy/cloud-init"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

const (
	server = "https://api.example.com:6443"
	token  = "abcdef.0123456789abcdef"

	bootstrapFile = "/etc/kubernetes/bootstrap.kubeconfig"

	// maxUserData is the least that a cloud takes: EC2, before it encodes them.
	maxUserData = 16 << 10
)

// userData is what of cloud-init's configuration the shipped files use.
type userData struct {
	WriteFiles []struct {
		Path, Owner, Permissions, Content, Encoding string
		Defer                                       bool
	} `json:"write_files"`
	Bootcmd  [][]string     `json:"bootcmd"`
	Runcmd   []any          `json:"runcmd"`
	Packages []string       `json:"packages"`
	Apt      map[string]any `json:"apt"`
	YumRepos map[string]any `json:"yum_repos"`
}

// values is a value for each placeholder that there is.
func values(t *testing.T, name string) map[string]string {
	t.Helper()
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{
		"SERVER": server, "CA": base64.StdEncoding.EncodeToString(ca), "TOKEN": token,
		"PACKAGE": "/opt/bootstrap-agent.deb", "REPOSITORY": "https://packages.example.com/apt stable main",
		"KEY":     base64.StdEncoding.EncodeToString([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")),
		"COMMAND": "secrets read bootstrap-kubeconfig",
	}
	wanted, err := placeholders(name)
	if err != nil {
		t.Fatal(err)
	}
	these := map[string]string{}
	for _, key := range wanted {
		if these[key] = known[key]; these[key] == "" {
			t.Fatalf("%s has <%s>, for which this test has no value", name, key)
		}
	}
	return these
}

// all are the shipped files, filled in: name → user-data.
func all(t *testing.T) map[string]string {
	t.Helper()
	names, err := Names()
	if err != nil || len(names) < 4 {
		t.Fatalf("the shipped user-data: %q, %v", names, err)
	}
	filled := map[string]string{}
	for _, name := range names {
		if filled[name], err = Fill(name, values(t, name)); err != nil {
			t.Fatal(err)
		}
	}
	return filled
}

func TestEachValueToPutInIsExplainedAtTheTop(t *testing.T) {
	for name, filled := range all(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			content, err := shipped.Files.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(content), "#cloud-config\n") {
				t.Error("cloud-init takes it for something else: the first line is not #cloud-config")
			}
			wanted, err := placeholders(name)
			if err != nil || len(wanted) == 0 {
				t.Fatalf("placeholders: %q, %v", wanted, err)
			}
			for _, key := range wanted {
				if !regexp.MustCompile(`(?m)^#   ` + key + ` +\S`).Match(content) {
					t.Errorf("what is to be put in for <%s> is not said", key)
				}
			}
			if len(filled) > maxUserData {
				t.Errorf("%d bytes; a cloud takes %d", len(filled), maxUserData)
			}
		})
	}
}

// Whoever forgets a value, or misspells one, must not get user-data that half works.
func TestFillingInForgetsNothing(t *testing.T) {
	t.Parallel()
	if _, err := Fill("user-data.yaml", map[string]string{"SERVER": server}); err == nil {
		t.Error("values are missing, and that is no error")
	}
	more := values(t, "user-data.yaml")
	more["PASSWORD"] = "x"
	if _, err := Fill("user-data.yaml", more); err == nil {
		t.Error("a value has no place, and that is no error")
	}
}

func TestTheAgentReadsTheBootstrapKubeconfigThatIsWritten(t *testing.T) {
	for name, filled := range all(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := parse(t, filled)
			written := map[string]string{}
			for _, file := range data.WriteFiles {
				written[file.Path] = file.Content
				if file.Owner != "root:root" || file.Defer {
					t.Errorf("%s: owner %q, deferred %v; it is to be root's, and there before the agent starts", file.Path, file.Owner, file.Defer)
				}
				if strings.Contains(file.Content, token) && file.Permissions != "0600" {
					t.Errorf("%s has the token and mode %q", file.Path, file.Permissions)
				}
			}
			content, there := written[bootstrapFile]
			if name == "user-data-fetched.yaml" {
				if there || strings.Contains(filled, "token") {
					t.Error("it is to be without a secret")
				}
				return
			}
			path := filepath.Join(t.TempDir(), "bootstrap.kubeconfig")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := kubeconfig.LoadBootstrap(path)
			if err != nil {
				t.Fatal(err)
			}
			if b.Source != kubeconfig.InlineToken || b.Endpoint.Server != server {
				t.Errorf("a %s for %s", b.Source, b.Endpoint.Server)
			}
			if strings.Count(filled, token) != 1 {
				t.Errorf("the token stands there %d times", strings.Count(filled, token))
			}
		})
	}
}

// The configuration is commented out; whoever takes the signs away gets one that the agent takes.
func TestTheAgentTakesTheConfigurationThatIsCommentedOut(t *testing.T) {
	found := 0
	names, err := Names()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := shipped.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text := string(content)
		begin := strings.Index(text, "  # - path: "+config.DefaultFile)
		if begin < 0 {
			continue
		}
		found++
		commented, _, _ := strings.Cut(text[begin:], "\n\n")
		data := parse(t, "write_files:\n"+strings.ReplaceAll(commented, "  # ", "  "))
		path := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(path, []byte(data.WriteFiles[0].Content), 0o644); err != nil {
			t.Fatal(err)
		}
		if cfg, err := config.Load(path, pflag.NewFlagSet("", pflag.ContinueOnError)); err != nil || cfg.Serving != "after-node-registered" {
			t.Errorf("%s: %v, serving %q", name, err, cfg.Serving)
		}
	}
	if found == 0 {
		t.Error("no user-data shows how to give a configuration")
	}
}

// With the package in a repository or in a file, the user-data has all that makes the node join in its first boot.
func TestEachVariantInstallsWhatItSays(t *testing.T) {
	for name, filled := range all(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := parse(t, filled)
			installs := len(data.Packages) == 1 && data.Packages[0] == "bootstrap-agent"
			switch name {
			case "user-data-apt.yaml":
				if !installs || data.Apt == nil || data.YumRepos != nil {
					t.Errorf("packages %q, apt %v", data.Packages, data.Apt)
				}
			case "user-data-dnf.yaml":
				if !installs || data.YumRepos == nil || data.Apt != nil {
					t.Errorf("packages %q, yum_repos %v", data.Packages, data.YumRepos)
				}
			case "user-data-local-package.yaml":
				if len(data.Bootcmd) != 2 || data.Bootcmd[0][0] != "cloud-init-per" || data.Bootcmd[1][0] != "cloud-init-per" {
					t.Errorf("bootcmd, which runs at every boot, is %q", data.Bootcmd)
				}
			default:
				if installs || data.Bootcmd != nil {
					t.Errorf("packages %q, bootcmd %q", data.Packages, data.Bootcmd)
				}
			}
			for line := range strings.SplitSeq(filled, "\n") {
				if strings.Contains(line, "systemctl, start") || strings.Contains(line, "systemctl, restart") {
					t.Errorf("%q waits, within a boot that waits for it: it needs --no-block", line)
				}
			}
		})
	}
}

// authority makes a cluster's CA, in PEM.
var authority = sync.OnceValues(func() ([]byte, error) {
	pem, _, err := cert.GenerateSelfSignedCertKey("api.example.com", nil, nil)
	return pem, err
})

func parse(t *testing.T, text string) userData {
	t.Helper()
	var data userData
	if err := yaml.Unmarshal([]byte(text), &data); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return data
}
