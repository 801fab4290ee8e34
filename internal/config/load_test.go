package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

const header = "apiVersion: bootstrap-agent.io/v1alpha1\nkind: BootstrapAgentConfiguration\n"

// file writes a configuration file with these fields.
func file(t *testing.T, fields string) string {
	t.Helper()
	return raw(t, header+fields)
}

func raw(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// flags is a command line as the agent's commands parse it.
func flags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	set, err := parse(args...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func parse(args ...string) (*pflag.FlagSet, error) {
	set := pflag.NewFlagSet("run", pflag.ContinueOnError)
	set.String("other", "", "a flag that is no setting")
	defaults := config.Default()
	config.Bind(set, &defaults)
	return set, set.Parse(args)
}

// sample are two good values of a setting, as YAML and as a flag, neither of them the default.
type sample struct{ yaml, inFile, flag, given string }

// samples has every setting, by its field.
var samples = map[string]sample{
	"bootstrapKubeconfig":      {"/f/b", "/f/b", "/g/b", "/g/b"},
	"discoveryTokenFile":       {"/f/t", "/f/t", "/g/t", "/g/t"},
	"apiServers":               {"[a.f, 'b.f:6443']", "a.f,b.f:6443", "192.0.2.1", "192.0.2.1"},
	"discoveryCACertHashes":    {"[" + pinA + "]", pinA, pinB + "," + pinA, pinB + "," + pinA},
	"discoveryFile":            {"/f/d", "/f/d", "/g/d", "/g/d"},
	"allowNodeTakeover":        {"true", "true", "false", "false"},
	"caFile":                   {"/f/c", "/f/c", "/g/c", "/g/c"},
	"caFromClusterInfo":        {"true", "true", "false", "false"},
	"kubeconfig":               {"/f/k", "/f/k", "/g/k", "/g/k"},
	"certDir":                  {"/f/pki", "/f/pki", "/g/pki", "/g/pki"},
	"hostnameOverride":         {"node-f", "node-f", "node-g", "node-g"},
	"nodeIP":                   {"192.0.2.1", "192.0.2.1", "192.0.2.2,2001:db8::2", "192.0.2.2,2001:db8::2"},
	"rotateCertificates":       {"false", "false", "true", "true"},
	"rotateServerCertificates": {"false", "false", "true", "true"},
	"kubeletAddress":           {"192.0.2.1:10250", "192.0.2.1:10250", "2001:db8::1", "2001:db8::1"},
	"serving":                  {"'off'", "off", "before-kubelet", "before-kubelet"},
	"servingWait":              {"7s", "7s", "1m30s", "1m30s"},
	"servingDNSNames":          {"[a.f, b.f]", "a.f,b.f", "a.g,b.g,c.g", "a.g,b.g,c.g"},
	"servingIPs":               {"\n- 192.0.2.3\n- 2001:db8::3", "192.0.2.3,2001:db8::3", "192.0.2.4", "192.0.2.4"},
	"kubeletServer":            {"https://f:6443", "https://f:6443", "https://g:6443", "https://g:6443"},
	"kubeletClientCAFile":      {"/f/ca", "/f/ca", "/g/ca", "/g/ca"},
	"keyAlgorithm":             {"rsa-2048", "rsa-2048", "ecdsa-p384", "ecdsa-p384"},
	"expirationSeconds":        {"3600", "3600", "7200", "7200"},
	"keepBootstrapKubeconfig":  {"true", "true", "false", "false"},
	"startHold":                {"3m0s", "3m0s", "0s", "0s"},
	"webListenAddress":         {"192.0.2.1:9000", "192.0.2.1:9000", "[2001:db8::1]:9001", "[2001:db8::1]:9001"},
	"webConfigFile":            {"/f/web.yaml", "/f/web.yaml", "/g/web.yaml", "/g/web.yaml"},
	"textfile":                 {"/f/agent.prom", "/f/agent.prom", "/g/agent.prom", "/g/agent.prom"},
	"kubeletMetrics":           {"true", "true", "false", "false"},
	"logFormat":                {"json", "json", "text", "text"},
	"logLevel":                 {"warn", "warn", "debug", "debug"},
	"once":                     {"true", "true", "false", "false"},
	"timeout":                  {"20m", "20m0s", "30s", "30s"},
}

// besides are what settings need that make no sense alone.
var besides = map[string]string{
	"timeout": "once: true\n", "apiServers": "discoveryCACertHashes: [" + pinB + "]\n", "discoveryTokenFile": "discoveryFile: /f/d\n",
}

// value is a setting of a configuration, as its flag would show it.
func value(c config.Config, flag string) string {
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	config.Bind(set, &c)
	return set.Lookup(flag).Value.String()
}

func TestAFlagBeatsTheFileAndTheFileBeatsTheDefault(t *testing.T) {
	t.Parallel()
	for _, s := range config.Settings() {
		t.Run(s.Field, func(t *testing.T) {
			sample, ok := samples[s.Field]
			if !ok {
				t.Fatal("this setting has no samples in the test")
			}
			fields, args := s.Field+": "+sample.yaml+"\n", []string{"--" + s.Flag + "=" + sample.given}
			fields += besides[s.Field]
			steps := []struct {
				from, path string
				args       []string
				want       string
			}{
				{"the default", file(t, ""), nil, s.Default},
				{"the file", file(t, fields), nil, sample.inFile},
				{"the flag over the file", file(t, fields), args, sample.flag},
				{"the default over the file, given as a flag", file(t, fields), []string{"--" + s.Flag + "=" + s.Default}, s.Default},
			}
			for _, step := range steps {
				got, err := config.Load(step.path, flags(t, step.args...))
				if err != nil {
					t.Fatalf("%s: %v", step.from, err)
				}
				if value(got, s.Flag) != step.want {
					t.Errorf("%s is %q, expected is %q", step.from, value(got, s.Flag), step.want)
				}
			}
		})
	}
}

func TestAFlagChangesNothingButItsSetting(t *testing.T) {
	t.Parallel()
	path := file(t, "nodeIP: 192.0.2.1\nservingDNSNames: [a]\nlogLevel: warn\n")
	got, err := config.Load(path, flags(t, "--log-format=json"))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.TypeMeta = metav1.TypeMeta{APIVersion: config.APIVersion, Kind: config.Kind}
	want.NodeIP, want.ServingDNSNames, want.LogLevel, want.LogFormat = "192.0.2.1", config.List{"a"}, "warn", "json"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it is %+v", got)
	}
}

func TestWithoutFileAndFlagsTheDefaultsCount(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(config.DefaultFile); err == nil {
		t.Fatalf("this machine has a %s, so the test cannot see what happens without", config.DefaultFile)
	}
	for _, given := range []*pflag.FlagSet{nil, flags(t)} {
		got, err := config.Load("", given)
		if err != nil || !reflect.DeepEqual(got, config.Default()) {
			t.Errorf("it is %+v (%v)", got, err)
		}
	}
}

func TestAFileThatWasAskedForMustBeThere(t *testing.T) {
	t.Parallel()
	for _, path := range []string{filepath.Join(t.TempDir(), "gone.yaml"), t.TempDir()} {
		_, err := config.Load(path, nil)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "configuration file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestTheFileIsReadStrictly(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, says string }{
		{"an unknown field", header + "nodeIp: 192.0.2.1\n", `"nodeIp"`}, // nearly nodeIP
		{"an unknown field below", header + "metadata:\n  name: a\n", `"metadata"`},
		{"a field in another case", header + "CertDir: /a\n", `"CertDir"`},
		{"a duplicate key", header + "nodeIP: 192.0.2.1\nnodeIP: 192.0.2.2\n", "nodeIP"},
		{"the same duplicate", header + "once: true\nonce: true\n", "once"},
		{"a list in place of a string", header + "nodeIP: [192.0.2.1]\n", "nodeIP"},
		{"a string in place of a list", header + "servingIPs: 192.0.2.1\n", "servingIPs"},
		{"a string in place of a number", header + "expirationSeconds: '3600'\n", "expirationSeconds"},
		{"a number that is too large", header + "expirationSeconds: 99999999999\n", "expirationSeconds"},
		{"a string in place of yes or no", header + "once: 'true'\n", "once"},
		{"a number in place of a time span", header + "servingWait: 5\n", "servingWait"},
		{"a time span without unit", header + "servingWait: '5'\n", "unit"},
		{"no YAML", header + "\tnodeIP", "yaml"},
		{"a bare word", "nodeIP", "configuration file"},
		{"an empty file", "", `apiVersion ""`},
		{"only a comment", "# nodeIP\n", `apiVersion ""`},
		{"no kind", "apiVersion: bootstrap-agent.io/v1alpha1\n", `kind ""`},
		{"no apiVersion", "kind: BootstrapAgentConfiguration\n", `apiVersion ""`},
		{"a second document", header + "---\nonce: true\n", "more than one YAML document"},
		{"a line behind JSON", `{"apiVersion": "bootstrap-agent.io/v1alpha1", "kind": "BootstrapAgentConfiguration"}` + "\nonce: true\n", "behind the first YAML document"},
		{"another kind", strings.Replace(header, "BootstrapAgent", "Kubelet", 1), `kind "KubeletConfiguration"`},
		{"another version", strings.Replace(header, "v1alpha1", "v1", 1), `apiVersion "bootstrap-agent.io/v1"`},
	}
	for _, test := range tests {
		path := raw(t, test.text)
		_, err := config.Load(path, flags(t))
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, expected is the file's name and %s", test.name, err, test.says)
		}
	}
}

func TestAFlagIsReadStrictly(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{
		"--nod-ip=192.0.2.1", "--expiration-seconds=1h", "--expiration-seconds=99999999999", "--once=maybe", "--serving-wait=5", "--node-ip",
	} {
		if _, err := parse(arg); err == nil {
			t.Errorf("%s is taken", arg)
		}
	}
}

func TestPathsBecomeAbsolute(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(file(t, "bootstrapKubeconfig: b\nkubeletClientCAFile: ca/../ca.crt\n"), flags(t, "--kubeconfig=./k", "--cert-dir=/a//b/../pki/"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range [][2]string{
		{got.BootstrapKubeconfig, here + "/b"}, {got.Kubeconfig, here + "/k"}, {got.CertDir, "/a/pki"}, {got.KubeletClientCAFile, here + "/ca.crt"},
	} {
		if path[0] != path[1] {
			t.Errorf("%s, expected is %s", path[0], path[1])
		}
	}
}

func TestAListIsWrittenInYAMLAndWithCommas(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, fields string
		args         []string
		want         config.List
	}{
		{"no list", "", nil, nil},
		{"a YAML list", "servingIPs: [192.0.2.1, '2001:db8::1']", nil, config.List{"192.0.2.1", "2001:db8::1"}},
		{"a YAML list with one value", "servingIPs:\n- 192.0.2.1", nil, config.List{"192.0.2.1"}},
		{"an empty YAML list", "servingIPs: []", nil, config.List{}},
		{"a flag", "", []string{"--serving-ips=192.0.2.1,2001:db8::1"}, config.List{"192.0.2.1", "2001:db8::1"}},
		{"a flag that replaces the file's whole list", "servingIPs: [192.0.2.1, 192.0.2.2]", []string{"--serving-ips=192.0.2.3"}, config.List{"192.0.2.3"}},
		{"an empty flag, which empties the file's list", "servingIPs: [192.0.2.1]", []string{"--serving-ips="}, nil},
		{"two flags, which replace the file's together", "servingIPs: [192.0.2.9]", []string{"--serving-ips=192.0.2.1", "--serving-ips=192.0.2.2"}, config.List{"192.0.2.1", "192.0.2.2"}},
	}
	for _, test := range tests {
		got, err := config.Load(file(t, test.fields), flags(t, test.args...))
		if err != nil || !slices.Equal(got.ServingIPs, test.want) {
			t.Errorf("%s: %q (%v), expected is %q", test.name, got.ServingIPs, err, test.want)
		}
	}
}

func TestWithoutATimeoutOnceTriesForTenMinutes(t *testing.T) {
	t.Parallel()
	c := config.Default()
	if c.OnceTimeout() != 10*time.Minute {
		t.Errorf("it tries for %s", c.OnceTimeout())
	}
	c.Timeout.Duration = time.Second
	if c.OnceTimeout() != time.Second {
		t.Errorf("with a timeout of 1 s it tries for %s", c.OnceTimeout())
	}
}

func TestTheFingerprintChangesWithEachSettingInIt(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, settings := range [][]any{{}, {"a", "b"}, {"ab"}, {"a,b"}, {"a", "c"}, {"b", "a"}, {config.List{"a", "b"}}, {config.List{"a,b"}}, {int32(1)}, {"1"}} {
		got := config.Fingerprint(settings...)
		if seen[got] != "" || got != config.Fingerprint(settings...) {
			t.Errorf("%v has the fingerprint %s, as %s", settings, got, seen[got])
		}
		seen[got] = fmt.Sprintf("%v", settings)
	}
}
