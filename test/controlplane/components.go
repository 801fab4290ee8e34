package controlplane

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	serviceRange = "10.96.0.0/16"
	// issuer of service account tokens, and therefore the audience that the API server expects of tokens.
	issuer = "https://kubernetes.default.svc"
)

var serviceIP = net.IPv4(10, 96, 0, 1)

// controllers are those that a node's certificates and tokens meet, and what a kubelet with a pod needs (service account,
// kube-root-ca.crt). The other forty start informers for every kind of object there is, and cost seconds of a small
// machine for nothing. Add more by Options.Controllers.
var controllers = []string{
	"certificatesigningrequest-approving-controller",
	"certificatesigningrequest-signing-controller",
	"certificatesigningrequest-cleaner-controller",
	"bootstrap-signer-controller", // off by default upstream, on by kubeadm; it signs cluster-info
	"token-cleaner-controller",    // likewise; it deletes expired bootstrap tokens
	"clusterrole-aggregation-controller",
	"serviceaccount-controller",
	"root-ca-certificate-publisher-controller",
}

// Metadata is enough to count requests; RequestReceived would only double the log.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`

func (cp *ControlPlane) path(name string) string { return filepath.Join(cp.dir, name) }

// etcd listens on Unix sockets in its folder, so it needs no port that somebody else could take. Its URLs demand a port
// nevertheless: it is part of the socket's file name.
func (cp *ControlPlane) etcdArgs() []string {
	return []string{
		"--data-dir=" + cp.path("etcd"),
		"--listen-client-urls=unix://etcd:0", "--advertise-client-urls=unix://etcd:0",
		"--listen-peer-urls=unix://peer:0", "--initial-advertise-peer-urls=unix://peer:0", "--initial-cluster=default=unix://peer:0",
		"--unsafe-no-fsync", // the data is thrown away
		"--log-level=warn",
	}
}

func (cp *ControlPlane) apiServerArgs() []string {
	bind := loopbackIP.String()
	if len(cp.options.Addresses) > 0 {
		bind = "0.0.0.0"
	}
	args := []string{
		"--etcd-servers=unix://etcd:0", // relative to the working directory, as etcd's own
		"--bind-address=" + bind, fmt.Sprintf("--secure-port=%d", cp.port.Number()),
		"--permit-port-sharing=true", // with the socket that reserves the port
		"--advertise-address=" + loopbackIP.String(),
		"--endpoint-reconciler-type=none", // an Endpoints object may not name a loopback address
		"--service-cluster-ip-range=" + serviceRange,
		"--tls-cert-file=" + cp.pki.path("apiserver.crt"), "--tls-private-key-file=" + cp.pki.path("apiserver.key"),
		"--client-ca-file=" + cp.pki.path("client-ca.crt"),
		"--kubelet-client-certificate=" + cp.pki.path("kubelet-client.crt"), "--kubelet-client-key=" + cp.pki.path("kubelet-client.key"),
		"--kubelet-certificate-authority=" + cp.pki.path("kubelet-ca.crt"), "--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + cp.pki.path("service-account.key"), "--service-account-signing-key-file=" + cp.pki.path("service-account.key"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--enable-bootstrap-token-auth=true", "--token-auth-file=" + cp.path("tokens.csv"),
		"--audit-policy-file=" + cp.path("audit-policy.yaml"), "--audit-log-path=" + cp.path(auditLog),
		"--audit-log-mode=blocking", "--audit-log-maxsize=0", // an answered request is in the one log
	}
	return append(args, cp.options.APIServerFlags...)
}

func (cp *ControlPlane) controllerManagerArgs() []string {
	args := []string{
		"--kubeconfig=" + cp.path("controller-manager.kubeconfig"),
		"--secure-port=0", "--leader-elect=false",
		"--use-service-account-credentials=true", // as kubeadm: the approver has the rights of its own role, no more
		"--controllers=" + strings.Join(slices.Concat(cp.options.Controllers, controllers), ","),
		"--root-ca-file=" + cp.pki.path("root-ca.crt"),
		"--cluster-signing-duration=" + cp.options.SigningDuration.String(),
		// with the default of 20 a second it approves and signs only about ten CSRs a second, whoever asks
		"--kube-api-qps=200", "--kube-api-burst=400",
	}
	for _, signer := range []struct{ flag, file string }{
		{"kubelet-client", "signer"}, {"kubelet-serving", "signer"}, {"kube-apiserver-client", "ca"}, {"legacy-unknown", "ca"},
	} {
		args = append(args,
			"--cluster-signing-"+signer.flag+"-cert-file="+cp.pki.path(signer.file+".crt"),
			"--cluster-signing-"+signer.flag+"-key-file="+cp.pki.path(signer.file+".key"))
	}
	return append(args, cp.options.ControllerManagerFlags...)
}

// writeFiles writes what the components read, other than keys and certificates.
func (cp *ControlPlane) writeFiles() error {
	if err := cp.writeKubeconfig(cp.AdminKubeconfig(), "admin", "system:masters"); err != nil {
		return err
	}
	if err := cp.writeKubeconfig(cp.path("controller-manager.kubeconfig"), "system:kube-controller-manager"); err != nil {
		return err
	}
	for name, content := range map[string]string{
		"audit-policy.yaml": auditPolicy, "tokens.csv": cp.staticTokens.csv(), auditLog: "",
	} {
		if err := os.WriteFile(cp.path(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write the control plane's configuration: %w", err)
		}
	}
	return nil
}
