package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
)

// Values that a setting can have.
var (
	servingModes  = []string{"before-kubelet", "after-node-registered", "off"}
	keyAlgorithms = []string{"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-4096"}
	logFormats    = []string{"text", "json"}
)

// minExpiration is the least lifetime that can be asked for: a kubelet takes up to 5 minutes to notice a new client
// certificate, and the API server grants no less than 10.
const minExpiration = 1800

// Validate reports everything that is wrong, each line naming the setting by flag and field.
func (c Config) Validate() error {
	var errs []error
	check := func(flag string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s (%s): %w", flag, fieldOf(flag), err))
		}
	}
	check("bootstrap-kubeconfig", required(c.BootstrapKubeconfig))
	check("discovery-token-file", fileName(c.DiscoveryTokenFile))
	check("api-server", apiServers(c.APIServers))
	check("discovery-ca-cert-hash", hashes(c.DiscoveryCACertHashes))
	check("discovery-file", fileName(c.DiscoveryFile))
	check("ca-file", fileName(c.CAFile))
	check("kubeconfig", required(c.Kubeconfig))
	check("cert-dir", required(c.CertDir))
	check("hostname-override", hostname(c.HostnameOverride))
	_, err := node.ParseIPs(c.NodeIP)
	check("node-ip", err)
	check("serving", oneOf(c.Serving, servingModes))
	check("serving-wait", notNegative(c.ServingWait.Duration))
	check("serving-dns-names", dnsNames(c.ServingDNSNames))
	check("serving-ips", addresses(c.ServingIPs))
	check("kubelet-server", server(c.KubeletServer))
	check("kubelet-address", kubeletAddress(c.KubeletAddress))
	check("key-algorithm", oneOf(c.KeyAlgorithm, keyAlgorithms))
	check("expiration-seconds", expiration(c.ExpirationSeconds))
	check("start-hold", notNegative(c.StartHold.Duration))
	check("web.listen-address", listenAddress(c.WebListenAddress))
	check("web.config.file", fileName(c.WebConfigFile))
	check("textfile", textfile(c.Textfile, c.CertDir))
	check("log-format", oneOf(c.LogFormat, logFormats))
	check("log-level", new(slog.LevelVar).UnmarshalText([]byte(c.LogLevel)))
	check("timeout", notNegative(c.Timeout.Duration))
	return errors.Join(append(append(errs, c.contradictions()...), c.discovery()...)...)
}

// contradictions are values that are fine alone and not together.
func (c Config) contradictions() []error {
	var errs []error
	contradicts := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	off := c.Serving == "off"
	contradicts(off && len(c.ServingDNSNames) > 0, "--serving-dns-names (servingDNSNames) is given, but --serving=off asks for no serving certificate")
	contradicts(off && len(c.ServingIPs) > 0, "--serving-ips (servingIPs) is given, but --serving=off asks for no serving certificate")
	contradicts(c.Timeout.Duration > 0 && !c.Once, "--timeout (timeout) is given without --once (once): the daemon tries for ever")
	contradicts(c.BootstrapKubeconfig == c.Kubeconfig, "--bootstrap-kubeconfig and --kubeconfig are the same file %s: the one is deleted, the other is for ever", c.Kubeconfig)
	contradicts(c.CertDir != "" && c.CertDir == c.BootstrapKubeconfig, "--bootstrap-kubeconfig and --cert-dir are the same path %s", c.CertDir)
	contradicts(c.Textfile != "" && slices.Contains([]string{c.Kubeconfig, c.BootstrapKubeconfig, c.WebConfigFile, c.KubeletClientCAFile}, c.Textfile),
		"--textfile (textfile) names %s, which is another setting's file", c.Textfile)
	contradicts(c.CertDir != "" && c.CertDir == c.Kubeconfig, "--kubeconfig and --cert-dir are the same path %s", c.CertDir)
	return errs
}

func fieldOf(flag string) string {
	for field := range fields() {
		if field.Tag.Get("flag") == flag {
			return jsonName(field)
		}
	}
	return flag
}

func required(path string) error {
	if path == "" {
		return errors.New("is empty")
	}
	if strings.HasSuffix(path, "/") || filepath.Clean(path) == "/" {
		return fmt.Errorf("%q does not name a file or folder", path)
	}
	return nil
}

// hostname accepts what the kubelet would: white space around it and capitals are mended, not refused.
func hostname(override string) error {
	if override == "" {
		return nil
	}
	_, err := node.Name(override)
	return err
}

func oneOf(value string, allowed []string) error {
	if value == "false" && slices.Contains(allowed, "off") {
		return fmt.Errorf("%q is not one of %s; in YAML an off without quotes means false", value, strings.Join(allowed, ", "))
	}
	if !slices.Contains(allowed, value) {
		return fmt.Errorf("%q is not one of %s", value, strings.Join(allowed, ", "))
	}
	return nil
}

func notNegative(d time.Duration) error {
	if d < 0 {
		return fmt.Errorf("%s is negative", d)
	}
	return nil
}

func dnsNames(names []string) error {
	for _, name := range names {
		if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 || net.ParseIP(name) != nil {
			return fmt.Errorf("%q is no DNS name", name)
		}
	}
	return nil
}

func addresses(ips []string) error {
	for _, text := range ips {
		if ip := net.ParseIP(text); ip == nil || ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("%q is no IP address of a host", text)
		}
	}
	return nil
}

func server(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("is not an absolute https URL without user information")
	}
	return nil
}

func kubeletAddress(text string) error {
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		host, port = strings.Trim(text, "[]"), "10250"
	}
	number, err := strconv.ParseUint(port, 10, 16)
	switch {
	case text == "":
		return nil
	case err != nil || number == 0:
		return fmt.Errorf("%q has no port number", text)
	case net.ParseIP(host) == nil && len(validation.IsDNS1123Subdomain(host)) > 0:
		return fmt.Errorf("%q is no address, nor address:port", text)
	}
	return nil
}

// listenAddress accepts what can be listened on, port 0 (any that is free) too. Empty: nowhere.
func listenAddress(text string) error {
	if text == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		return fmt.Errorf("%q is not address:port", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q has no port number", text)
	}
	address, _, _ := strings.Cut(host, "%") // a link-local address has an interface
	if host != "" && net.ParseIP(address) == nil && len(validation.IsDNS1123Subdomain(host)) > 0 {
		return fmt.Errorf("%q is not address:port", text)
	}
	return nil
}

func fileName(path string) error {
	if path == "" {
		return nil
	}
	return required(path)
}

// textfile refuses what node_exporter would not read, and a place among the node's keys.
func textfile(path, certDir string) error {
	switch {
	case path == "":
		return nil
	case filepath.Ext(path) != ".prom" || filepath.Base(path) == ".prom":
		return fmt.Errorf("%q does not end in .prom: node_exporter reads no other", path)
	case strings.HasPrefix(path, strings.TrimSuffix(certDir, "/")+"/"):
		return fmt.Errorf("%q lies in the cert-dir, where others than root must not look", path)
	}
	return nil
}

func expiration(seconds int32) error {
	if seconds != 0 && seconds < minExpiration {
		return fmt.Errorf("%d is less than %d: a kubelet needs minutes to notice a new certificate", seconds, minExpiration)
	}
	return nil
}
