package status

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
)

// KubeletFindings says where the running kubelets of this node were told something that does not go with what the agent was told, each with
// the remedy. What nobody can tell is no finding, and nor are the kubelets of other nodes, which share neither a folder, nor a kubeconfig, nor
// the name with this one.
func (o Observed) KubeletFindings(cfg config.Config) []Finding {
	var texts []string
	kubelets := o.OurKubelets(cfg)
	for _, k := range kubelets {
		c := kubeletCheck{o, cfg, certdir.Dir{Path: cfg.CertDir}, k, fmt.Sprintf("the running kubelet (pid %d)", k.Process.PID)}
		for _, check := range []func() string{c.kubeconfig, c.certDir, c.rotatesClient, c.clientPEM, c.bootstrap, c.rotatesServing, c.servingPair, c.clientCA, c.name, c.nodeIP} {
			texts = append(texts, check())
		}
	}
	if len(kubelets) > 1 {
		texts = append(texts, fmt.Sprintf("%d kubelets run for this node; one must be ended", len(kubelets)))
	}
	var findings []Finding
	for _, text := range texts {
		if text != "" {
			findings = append(findings, Finding{Level: Attention, Text: text})
		}
	}
	return findings
}

// OurKubelets are those of this node.
func (o Observed) OurKubelets(cfg config.Config) []node.Kubelet {
	return slices.DeleteFunc(slices.Clone(o.Kubelets), func(k node.Kubelet) bool {
		name, err := k.Name()
		return !leads(k.CertDir, cfg.CertDir) && !leads(k.Kubeconfig, cfg.Kubeconfig) && (err != nil || name != o.Node)
	})
}

// leads says whether a kubelet's path is known, and leads to ours.
func leads(told node.Told[string], path string) bool {
	return told.Known && told.Value != "" && node.SamePath(told.Value, path)
}

// leadsAway says whether it is known, and does not.
func leadsAway(told node.Told[string], path string) bool {
	return told.Known && told.Value != "" && !node.SamePath(told.Value, path)
}

// kubeletCheck compares one kubelet with the agent. Each check returns what to say, empty if there is nothing.
type kubeletCheck struct {
	o   Observed
	cfg config.Config
	dir certdir.Dir
	k   node.Kubelet
	who string
}

func (c kubeletCheck) kubeconfig() string {
	if !leadsAway(c.k.Kubeconfig, c.cfg.Kubeconfig) {
		return ""
	}
	return fmt.Sprintf("%s has --kubeconfig=%s, and the agent keeps %s; set kubeconfig: %[2]s in the agent's configuration and restart the agent, or start the kubelet with --kubeconfig=%[3]s",
		c.who, c.k.Kubeconfig.Value, c.cfg.Kubeconfig)
}

func (c kubeletCheck) certDir() string {
	if !leadsAway(c.k.CertDir, c.cfg.CertDir) {
		return ""
	}
	return fmt.Sprintf("%s has the cert-dir %s, and the agent keeps %s; set certDir: %[2]s in the agent's configuration and restart the agent, or start the kubelet with --cert-dir=%[3]s",
		c.who, c.k.CertDir.Value, c.cfg.CertDir)
}

// by says what switches a rotation.
func by(told node.Told[bool], field string) string {
	switch told.By {
	case "":
		return fmt.Sprintf("%s is %t, its default", field, told.Value)
	case "--rotate-certificates", "--rotate-server-certificates":
		return fmt.Sprintf("%s=%t", told.By, told.Value)
	}
	return fmt.Sprintf("%s: %t in %s", field, told.Value, told.By)
}

func (c kubeletCheck) rotatesClient() string {
	return c.rotates("client", c.k.RotatesClient, c.cfg.RotateCertificates, "rotateCertificates", "--rotate-certificates", "rotateCertificates")
}

// rotates says that both rotate a certificate, or nobody. Field and flag are the kubelet's, setting is the agent's.
func (c kubeletCheck) rotates(certificate string, told node.Told[bool], agent bool, field, flag, setting string) string {
	switch {
	case !told.Known || leadsAway(c.k.CertDir, c.cfg.CertDir):
		return ""
	case told.Value && agent:
		return fmt.Sprintf("%s rotates the %s certificate (%s), and so does the agent; restart the kubelet with %s=false, "+
			"or set %s: false in the agent's configuration to leave it to the kubelet", c.who, certificate, by(told, field), flag, setting)
	case !told.Value && !agent:
		return fmt.Sprintf("nobody rotates the %s certificate: %s does not (%s), and the agent does not either; set %s: true in the agent's configuration",
			certificate, c.who, by(told, field), setting)
	}
	return ""
}

// clientPEM is about a kubelet that reads its client certificate as its kubeconfig says.
func (c kubeletCheck) clientPEM() string {
	current := c.dir.Current(certdir.Client)
	if c.o.Kubelet == nil || !leads(c.k.Kubeconfig, c.cfg.Kubeconfig) || !c.k.RotatesClient.Known || c.k.RotatesClient.Value || !c.cfg.RotateCertificates ||
		c.o.Kubelet.ClientPEM != "" && node.SamePath(c.o.Kubelet.ClientPEM, current) {
		return ""
	}
	return fmt.Sprintf("%s names another client certificate than %s, which the agent keeps, so that the kubelet does not see it rotate; "+
		"let client-certificate and client-key be that file, without client-certificate-data and client-key-data, and restart the kubelet", c.cfg.Kubeconfig, current)
}

func (c kubeletCheck) bootstrap() string {
	if !c.k.BootstrapKubeconfig.Known || c.k.BootstrapKubeconfig.Value == "" || !c.k.RotatesClient.Known || c.k.RotatesClient.Value {
		return ""
	}
	return fmt.Sprintf("%s has --bootstrap-kubeconfig=%s: should it be started when its client certificate has expired, it asks for one by itself, or ends if that file is gone; start it without that flag",
		c.who, c.k.BootstrapKubeconfig.Value)
}

// serves says whether the serving certificate is the agent's concern.
func (c kubeletCheck) serves() bool { return c.cfg.Serving != "off" }

func (c kubeletCheck) rotatesServing() string {
	if !c.serves() {
		return ""
	}
	return c.rotates("serving", c.k.RotatesServing, c.cfg.RotateServerCertificates, "serverTLSBootstrap", "--rotate-server-certificates", "rotateServerCertificates")
}

func (c kubeletCheck) servingPair() string {
	told := c.k.ServingCert
	if !c.serves() || !c.k.RotatesServing.Known || c.k.RotatesServing.Value || !told.Known || told.Value == "" ||
		node.SamePath(told.Value, c.dir.Current(certdir.Serving)) || node.SamePath(told.Value, filepath.Join(c.cfg.CertDir, "kubelet.crt")) {
		return ""
	}
	return fmt.Sprintf("%s serves %s (%s), and not the agent's certificate; remove tlsCertFile and tlsPrivateKeyFile and restart it, or set serving: \"off\" in the agent's configuration", c.who, told.Value, told.By)
}

func (c kubeletCheck) clientCA() string {
	told, want := c.k.ClientCAFile, "; let its authentication.x509.clientCAFile be "+c.dir.ClientCA()+" and restart it"
	switch {
	case !told.Known:
	case told.Value == "":
		return c.who + " has no clientCAFile, so that it knows nobody: kubectl logs and exec end with 401" + want
	case c.k.ClientCA != nil && c.o.ClientCA != nil && !certdir.SharePEM(c.k.ClientCA, c.o.ClientCA):
		return fmt.Sprintf("%s has the clientCAFile %s, which holds no certificate of %s: kubectl logs and exec may end with 401%s", c.who, told.Value, c.dir.ClientCA(), want)
	}
	return ""
}

func (c kubeletCheck) name() string {
	name, err := c.k.Name()
	if err != nil || c.o.Node == "" || name == c.o.Node {
		return ""
	}
	return fmt.Sprintf("%s is node %s, and the agent asks for node %s; set hostnameOverride: %[2]s in the agent's configuration and restart the agent", c.who, name, c.o.Node)
}

// nodeIP is about an address that the API server calls the kubelet at, and that its serving certificate does not have, or will not.
func (c kubeletCheck) nodeIP() string {
	theirs, err := node.ParseIPs(c.k.NodeIP.Value)
	ours, ourErr := node.ParseIPs(c.cfg.NodeIP)
	if err != nil || ourErr != nil || !c.serves() || c.cfg.Serving == "after-node-registered" || len(c.cfg.ServingIPs) > 0 || c.k.RotatesServing.Value {
		return ""
	}
	if pair := c.o.Serving.Pair; len(ours) == 0 && pair != nil { // then it is found out, and may be the same
		ours = pair.Leaf.IPAddresses
	}
	for _, ip := range theirs {
		if len(ours) > 0 && !ip.IsUnspecified() && !slices.ContainsFunc(ours, func(our net.IP) bool { return our.Equal(ip) || our.IsUnspecified() }) {
			return fmt.Sprintf("%s has --node-ip=%s, which is not what the agent asks for in the serving certificate; set nodeIP: %[2]s in the agent's configuration and restart the agent", c.who, c.k.NodeIP.Value)
		}
	}
	return ""
}
