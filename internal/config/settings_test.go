package config_test

import (
	"cmp"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

func TestEveryFieldIsASettingWithAFlagAndAUsage(t *testing.T) {
	t.Parallel()
	settings := config.Settings()
	var fields []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[config.Config]()) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && name != "-" && name != "kind" && name != "apiVersion" {
			fields = append(fields, name)
		}
	}
	var listed, flags []string
	for _, s := range settings {
		listed, flags = append(listed, s.Field), append(flags, s.Flag)
		if s.Usage == "" || strings.HasSuffix(s.Usage, ".") {
			t.Errorf("--%s has the usage %q", s.Flag, s.Usage)
		}
		asKubeadm := map[string]string{"apiServers": "api-server", "discoveryCACertHashes": "discovery-ca-cert-hash"} // given once for each
		if by := cmp.Or(asKubeadm[s.Field], dashed(s.Field)); by != strings.ReplaceAll(s.Flag, ".", "-") {            // Prometheus' flags have dots
			t.Errorf("field %s belongs to flag --%s, by its name to --%s", s.Field, s.Flag, dashed(s.Field))
		}
	}
	if !slices.Equal(listed, fields) {
		t.Errorf("the table has %q, the configuration has %q", listed, fields)
	}
	slices.Sort(flags)
	if len(slices.Compact(flags)) != len(settings) {
		t.Errorf("a flag is there twice: %q", flags)
	}
}

// dashed is the flag for a field: certDir becomes cert-dir, servingIPs serving-ips.
func dashed(field string) string {
	for _, abbreviation := range []string{"IPs", "DNS", "IP", "CA"} {
		field = strings.ReplaceAll(field, abbreviation, abbreviation[:1]+strings.ToLower(abbreviation[1:]))
	}
	return strings.ToLower(regexp.MustCompile(`([a-z])([A-Z])`).ReplaceAllString(field, "$1-$2"))
}

func TestTheDefaultsOfTheTableAreTheDefaults(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"bootstrap-kubeconfig": "/etc/kubernetes/bootstrap.kubeconfig", "kubeconfig": "/etc/kubernetes/kubelet.kubeconfig", "cert-dir": "/var/lib/kubelet/pki",
		"serving": "before-kubelet", "serving-wait": "5s", "key-algorithm": "ecdsa-p256", "start-hold": "2m0s", "log-format": "text", "log-level": "info",
		"rotate-certificates": "true", "rotate-server-certificates": "true", "once": "false", "keep-bootstrap-kubeconfig": "false", "expiration-seconds": "0", "timeout": "0s",
		"web.listen-address": "127.0.0.1:10261", "kubelet-metrics": "false",
		"allow-node-takeover": "false", "ca-from-cluster-info": "false",
	}
	for _, s := range config.Settings() {
		if s.Default != want[s.Flag] || value(config.Default(), s.Flag) != s.Default {
			t.Errorf("--%s has the default %q in the table and %q in fact, expected is %q", s.Flag, s.Default, value(config.Default(), s.Flag), want[s.Flag])
		}
	}
	if err := config.Default().Validate(); err != nil {
		t.Errorf("the defaults are not valid: %v", err)
	}
}

func TestEachFlagSetsItsOwnField(t *testing.T) {
	t.Parallel()
	for _, s := range config.Settings() {
		c := config.Default()
		set := pflag.NewFlagSet("", pflag.ContinueOnError)
		config.Bind(set, &c)
		if err := set.Set(s.Flag, samples[s.Field].given); err != nil {
			t.Fatal(err)
		}
		for _, other := range config.Settings() {
			changed := value(c, other.Flag) != other.Default
			if changed && other != s {
				t.Errorf("--%s changes %s", s.Flag, other.Field)
			}
		}
		if value(c, s.Flag) != samples[s.Field].flag {
			t.Errorf("--%s=%s is read as %s", s.Flag, samples[s.Field].given, value(c, s.Flag))
		}
	}
}
