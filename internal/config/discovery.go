package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// defaultAPIServerPort is kube-apiserver's own (--secure-port).
const defaultAPIServerPort = "6443"

// Discovers says whether server and CA may have to be found out before a token can be used.
func (c Config) Discovers() bool { return len(c.APIServers) > 0 || c.DiscoveryFile != "" }

// Servers returns the URLs of the API servers at which cluster-info is read, in the order in which they are tried.
func (c Config) Servers() []string {
	var urls []string
	for _, text := range c.APIServers {
		if url, err := apiServer(text); err == nil {
			urls = append(urls, url)
		}
	}
	return urls
}

// discovery are the settings about finding out server and CA, and about following the CA, that do not go together.
func (c Config) discovery() []error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(len(c.APIServers) > 0 && c.DiscoveryFile != "", "--api-server (apiServers) and --discovery-file (discoveryFile) are two answers to the same question; keep one")
	wrong(len(c.APIServers) > 0 && len(c.DiscoveryCACertHashes) == 0,
		"--api-server (apiServers) needs --discovery-ca-cert-hash (discoveryCACertHashes): without it whoever has the token could be the cluster; on a control plane node: bootstrap-agent join-config --ca-file=/etc/kubernetes/pki/ca.crt --print=ca-cert-hash")
	wrong(c.DiscoveryTokenFile != "" && !c.Discovers(), "--discovery-token-file (discoveryTokenFile) does not say where the cluster is: give --api-server with --discovery-ca-cert-hash, or --discovery-file")
	wrong(c.CAFile != "" && c.CAFromClusterInfo, "--ca-file (caFile) and --ca-from-cluster-info (caFromClusterInfo) both say which CA the API server has; keep one")
	for _, other := range []string{c.BootstrapKubeconfig, c.Kubeconfig, c.CertDir, c.KubeletClientCAFile, c.CAFile, c.DiscoveryFile, c.WebConfigFile, c.Textfile} {
		wrong(c.DiscoveryTokenFile != "" && c.DiscoveryTokenFile == other, "--discovery-token-file (discoveryTokenFile) names %s, which is another setting's file", other)
	}
	for _, own := range []string{c.Kubeconfig, c.CertDir, c.BootstrapKubeconfig} {
		wrong(c.DiscoveryFile != "" && c.DiscoveryFile == own, "--discovery-file (discoveryFile) names %s, which is another setting's file", own)
		wrong(c.CAFile != "" && c.CAFile == own, "--ca-file (caFile) names %s, which is another setting's file", own)
	}
	wrong(c.CAFile != "" && strings.HasPrefix(c.CAFile, strings.TrimSuffix(c.CertDir, "/")+"/"), "--ca-file (caFile) %s lies in the cert-dir, where the agent writes its own copy", c.CAFile)
	return errs
}

func apiServers(texts []string) error {
	var urls []string
	for _, text := range texts {
		url, err := apiServer(text)
		if err != nil {
			return err
		}
		if slices.Contains(urls, url) {
			return fmt.Errorf("%q is there twice, as %s", text, url)
		}
		urls = append(urls, url)
	}
	return nil
}

// apiServer makes a URL of host, host:port, or an https URL, whose own port is the one of https.
func apiServer(text string) (string, error) {
	switch {
	case strings.Contains(text, "@"): // which may be a password, and is not quoted
		return "", errors.New("holds a user name; whoever is asked for cluster-info gets no credential")
	case strings.HasPrefix(text, "http://"):
		return "", errors.New("is plain http; cluster-info is read over https only")
	}
	without, isURL := strings.CutPrefix(text, "https://")
	address := strings.TrimSuffix(without, "/")
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"), defaultAPIServerPort
		if isURL {
			port = "443"
		}
	}
	number, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || number == 0:
		return "", fmt.Errorf("%q has no port number", text)
	case net.ParseIP(host) == nil && len(validation.IsDNS1123Subdomain(strings.ToLower(host))) > 0:
		return "", fmt.Errorf("%q is not host:port", text)
	}
	return "https://" + net.JoinHostPort(host, port), nil
}

// hashes are SHA-256 of the SubjectPublicKeyInfo, as kubeadm prints them.
func hashes(texts []string) error {
	for _, text := range texts {
		digits, is := strings.CutPrefix(text, "sha256:")
		if sum, err := hex.DecodeString(digits); !is || err != nil || len(sum) != sha256.Size {
			return fmt.Errorf("%q is not sha256: and 64 hexadecimal digits", text)
		}
	}
	return nil
}
