package config_test

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// FuzzConfigurationFile looks for a file that is taken although a field of it is unknown, that is another one when it is written
// again, or that means something else when the same is said with flags.
func FuzzConfigurationFile(f *testing.F) {
	for _, s := range config.Settings() {
		fields := s.Field + ": " + samples[s.Field].yaml + "\n"
		f.Add(header + fields)
		f.Add(header + strings.ToLower(fields))
	}
	for _, text := range []string{
		header, "", "\ufeff" + header, "---\n" + header, header + "---\nnodIP: 192.0.2.1\n", header + "...\n# the end\n", header + "<<: {once: true}\n", header + "? once\n: true\n",
		header + "once: true\ntimeout: 20m\nservingDNSNames: [a.example.com, b]\n", header + "servingIPs: [192.0.2.1, 2001:db8::1]\nserving: 'off'\n",
		`{"apiVersion": "bootstrap-agent.io/v1alpha1", "kind": "BootstrapAgentConfiguration", "once": true}`,
		header + "x: &a /etc/a\nkubeconfig: *a\n", header + "hostnameOverride: ' Worker-1 '\n", header + "startHold: 1h1m1.5s\n", header + "logLevel: INFO+2\n",
		header + "servingIPs: ['::ffff:192.0.2.1', '::1']\nexpirationSeconds: 1800\n", header + "certDir: a/../b\n", header + "nodeIP: null\nonce: null\nservingIPs: null\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := config.Load(raw(t, text), nil)
		if err != nil {
			return
		}
		expectOnlyKnown(t, text)
		expectSame(t, "written again", got, func() (config.Config, error) {
			again, err := yaml.Marshal(got)
			if err != nil {
				return got, err
			}
			return config.Load(raw(t, string(again)), nil)
		})
		expectSame(t, "said with flags", got, func() (config.Config, error) {
			var args []string
			for _, s := range config.Settings() {
				args = append(args, "--"+s.Flag+"="+value(got, s.Flag))
			}
			return config.Load(file(t, ""), flags(t, args...))
		})
		// a line that begins at the very left is never a part of what stands before it
		for _, more := range []string{"unknownField: 1\n", "nodeIp: 192.0.2.1\n", "apiVersion: bootstrap-agent.io/v1alpha1\n", "\n---\nunknownField: 1\n"} {
			if _, err := config.Load(raw(t, text+"\n"+more), nil); err == nil {
				t.Errorf("taken with %q behind it: %q", more, text)
			}
		}
	})
}

func expectOnlyKnown(t *testing.T, text string) {
	t.Helper()
	var given map[string]any
	if err := yaml.Unmarshal([]byte(text), &given); err != nil {
		t.Fatalf("taken, and no map: %v", err)
	}
	known := []string{"apiVersion", "kind"}
	for _, s := range config.Settings() {
		known = append(known, s.Field)
	}
	for field := range given {
		if !slices.Contains(known, field) {
			t.Errorf("the unknown field %q is taken", field)
		}
	}
}

// expectSame compares what users see: an empty list and none are the same.
func expectSame(t *testing.T, how string, got config.Config, load func() (config.Config, error)) {
	t.Helper()
	again, err := load()
	if err != nil {
		t.Errorf("%s it is refused: %v\n%+v", how, err, got)
		return
	}
	for _, s := range config.Settings() {
		if value(got, s.Flag) != value(again, s.Flag) {
			t.Errorf("%s, %s is %q, before it was %q", how, s.Field, value(again, s.Flag), value(got, s.Flag))
		}
	}
}
