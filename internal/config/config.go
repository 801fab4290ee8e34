// Package config is what the agent can be told: one table of settings, each a flag and a field of the configuration file, with
// defaults, strict loading and validation. It reads the configuration file and nothing else.
package config

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the configuration file says it is.
const (
	APIVersion = "bootstrap-agent.io/v1alpha1"
	Kind       = "BootstrapAgentConfiguration"
)

// DefaultFile is read when --config is not given; it need not exist.
const DefaultFile = "/etc/bootstrap-agent/config.yaml"

// Config is every setting. The tags are the names that users see: json in the file, flag on the command line.
type Config struct {
	metav1.TypeMeta `json:",inline"`

	BootstrapKubeconfig      string          `json:"bootstrapKubeconfig,omitempty" flag:"bootstrap-kubeconfig" usage:"kubeconfig with the short-lived credential; deleted once the node has its identity"`
	DiscoveryTokenFile       string          `json:"discoveryTokenFile,omitempty" flag:"discovery-token-file" usage:"file with a bootstrap token and nothing else, in place of a bootstrap kubeconfig: server and CA are then found out by --api-server and --discovery-ca-cert-hash, or --discovery-file; deleted once the node has its identity"`
	APIServers               List            `json:"apiServers,omitempty" flag:"api-server" usage:"host:port of the API server, or several that are tried in turn, where the cluster's signed cluster-info is read to find out server and CA"`
	DiscoveryCACertHashes    List            `json:"discoveryCACertHashes,omitempty" flag:"discovery-ca-cert-hash" usage:"sha256:HEX of the cluster CA's public key, one or more; no other CA is believed, unless one of them has signed it"`
	DiscoveryFile            string          `json:"discoveryFile,omitempty" flag:"discovery-file" usage:"kubeconfig without a credential that says where the cluster is, in place of --api-server and --discovery-ca-cert-hash"`
	AllowNodeTakeover        bool            `json:"allowNodeTakeover,omitempty" flag:"allow-node-takeover" usage:"join also when another machine is a Ready node of the same name"`
	CAFile                   string          `json:"caFile,omitempty" flag:"ca-file" usage:"file with the CA of the API server, followed whenever it changes; default: the CA stays as it was when the node joined"`
	CAFromClusterInfo        bool            `json:"caFromClusterInfo,omitempty" flag:"ca-from-cluster-info" usage:"follow the cluster's cluster-info: a new CA is added when --discovery-ca-cert-hash has it, or a CA that is trusted already has signed it"`
	Kubeconfig               string          `json:"kubeconfig,omitempty" flag:"kubeconfig" usage:"the kubelet's kubeconfig, written by the agent"`
	CertDir                  string          `json:"certDir,omitempty" flag:"cert-dir" usage:"folder of the node's certificates and keys, the kubelet's --cert-dir"`
	HostnameOverride         string          `json:"hostnameOverride,omitempty" flag:"hostname-override" usage:"node name instead of the host name; must be the kubelet's"`
	NodeIP                   string          `json:"nodeIP,omitempty" flag:"node-ip" usage:"address of the node, or one per family separated by a comma; must be the kubelet's"`
	RotateCertificates       bool            `json:"rotateCertificates" flag:"rotate-certificates" usage:"rotate the client certificate; false: the kubelet does, and the agent watches"`
	RotateServerCertificates bool            `json:"rotateServerCertificates" flag:"rotate-server-certificates" usage:"rotate the serving certificate; false: the kubelet does, and the agent watches"`
	Serving                  string          `json:"serving,omitempty" flag:"serving" usage:"serving certificate: before-kubelet (asked for as soon as the node has its identity), after-node-registered (for the addresses of the Node object) or off (left to the kubelet)"`
	ServingWait              metav1.Duration `json:"servingWait,omitempty" flag:"serving-wait" usage:"how long the kubelet's start may wait for the first serving certificate once the API server has the request"`
	ServingDNSNames          List            `json:"servingDNSNames,omitempty" flag:"serving-dns-names" usage:"exactly these DNS names in the serving certificate, instead of the node name"`
	ServingIPs               List            `json:"servingIPs,omitempty" flag:"serving-ips" usage:"exactly these addresses in the serving certificate, instead of the node's"`
	KubeletServer            string          `json:"kubeletServer,omitempty" flag:"kubelet-server" usage:"URL of the API server for the kubelet, if it is not the one of the bootstrap kubeconfig"`
	KubeletAddress           string          `json:"kubeletAddress,omitempty" flag:"kubelet-address" usage:"address, or address:port, at which the kubelet is asked for the certificate that it serves; default: the node's addresses and loopback, port 10250"`
	KubeletClientCAFile      string          `json:"kubeletClientCAFile,omitempty" flag:"kubelet-client-ca-file" usage:"CA of those who may call the kubelet, copied to kubelet-client-ca.crt; default: the bootstrap kubeconfig's CA if it signed the client certificate"`
	KeyAlgorithm             string          `json:"keyAlgorithm,omitempty" flag:"key-algorithm" usage:"ecdsa-p256, ecdsa-p384, rsa-2048 or rsa-4096"`
	ExpirationSeconds        int32           `json:"expirationSeconds,omitempty" flag:"expiration-seconds" usage:"lifetime to ask for, at least 1800; 0: the signer's default. Signers may shorten it"`
	KeepBootstrapKubeconfig  bool            `json:"keepBootstrapKubeconfig,omitempty" flag:"keep-bootstrap-kubeconfig" usage:"do not delete the credential after use"`
	StartHold                metav1.Duration `json:"startHold,omitempty" flag:"start-hold" usage:"how long the kubelet's start may be held back, whatever happens"`
	WebListenAddress         string          `json:"webListenAddress" flag:"web.listen-address" usage:"address:port of /metrics, /healthz and /readyz; empty: no port"`
	WebConfigFile            string          `json:"webConfigFile,omitempty" flag:"web.config.file" usage:"file that switches on TLS, client certificates or passwords there (Prometheus exporter-toolkit)"`
	Textfile                 string          `json:"textfile,omitempty" flag:"textfile" usage:"file, ending in .prom, in which the metrics are kept too, for the textfile collector of node_exporter"`
	KubeletMetrics           bool            `json:"kubeletMetrics,omitempty" flag:"kubelet-metrics" usage:"show the certificates' times to live under the kubelet's own metric names too"`
	LogFormat                string          `json:"logFormat,omitempty" flag:"log-format" usage:"text or json"`
	LogLevel                 string          `json:"logLevel,omitempty" flag:"log-level" usage:"debug, info, warn or error"`
	Once                     bool            `json:"once,omitempty" flag:"once" usage:"end when the node has its certificates; nothing is rotated afterwards"`
	Timeout                  metav1.Duration `json:"timeout,omitempty" flag:"timeout" usage:"with --once: how long to try (default 10m0s)"`

	// CredentialsDirectory is where systemd has put the credentials of the agent's unit ($CREDENTIALS_DIRECTORY); empty: nowhere. It is no
	// setting but a part of the surroundings, for whoever reads the files that the settings name.
	CredentialsDirectory string `json:"-"`
}

// onceTimeout is the timeout of run --once when none is given.
const onceTimeout = 10 * time.Minute

// Default returns the settings of an agent that is told nothing.
func Default() Config {
	return Config{
		BootstrapKubeconfig: "/etc/kubernetes/bootstrap.kubeconfig",
		Kubeconfig:          "/etc/kubernetes/kubelet.kubeconfig",
		CertDir:             "/var/lib/kubelet/pki",
		Serving:             "before-kubelet",

		RotateCertificates:       true,
		RotateServerCertificates: true,

		ServingWait:  metav1.Duration{Duration: 5 * time.Second},
		KeyAlgorithm: "ecdsa-p256",
		StartHold:    metav1.Duration{Duration: 2 * time.Minute},
		LogFormat:    "text",
		LogLevel:     "info",

		WebListenAddress: "127.0.0.1:10261",
	}
}

// OnceTimeout is how long run --once tries.
func (c Config) OnceTimeout() time.Duration {
	if c.Timeout.Duration == 0 {
		return onceTimeout
	}
	return c.Timeout.Duration
}
