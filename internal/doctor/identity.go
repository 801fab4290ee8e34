package doctor

import (
	"context"
	"errors"
	"os"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// identityChecks are about who this node is, and whether it can show it.
func identityChecks() []Check {
	return []Check{
		{"node-name", "The node's name by the kubelet's own rule, whether the identity is for it, and whether it outlasts a boot.", nodeName},
		{"machine-id", "The machine's ID, by which two live machines of one name are told apart: it is there, and not that of an image.", machineID},
		{"client-certificate", "The node's identity: certificate and key belong together, are a node's, and have time.", clientCertificate},
		{"serving-certificate", "What the kubelet is to serve: issued, or a placeholder; and its time.", servingCertificate},
		{"serving-names", "kubelet.crt and kubelet.key, under which a kubelet looks for what it serves: they lead to the pair, and not to nothing.", servingNames},
		{"requests", "The certificate signing requests on the disk: since when they wait, and how they ended.", requests},
	}
}

func nodeName(_ context.Context, p *Patient) []Result {
	o, override := p.Observed, p.Config.HostnameOverride
	const rename = "give this machine a name, as root"
	switch {
	case errors.Is(o.NodeErr, node.ErrNoName):
		return one(waiting("this machine has no name that could be a node's: %s", problem(o.NodeErr)).with(rename+" (cloud-init or DHCP may do so late)", "hostnamectl hostname NAME"))
	case o.NodeErr != nil:
		return one(broken("%s", problem(o.NodeErr)).with(rename+", or set hostnameOverride", "hostnamectl hostname NAME"))
	case o.ForOtherNode():
		return one(otherNode(p))
	case override != "":
		return one(ok("%s, as hostnameOverride says", o.Node))
	}
	if after := p.nameAfterBoot(); after != "" && after != o.Node {
		return one(attention("%s is the host name now, and %s says %s: the next boot may be another node's", o.Node, p.path("/etc/hostname"), after).
			with("make it last, "+asRoot, "hostnamectl hostname "+quoted(o.Node)))
	}
	return one(ok("%s, the host name", o.Node))
}

// problem is an error of ours without what it says is to be done.
func problem(err error) string {
	text, _, _ := strings.Cut(err.Error(), "; ")
	return text
}

// nameAfterBoot is the name that /etc/hostname gives, if it is one.
func (p *Patient) nameAfterBoot() string {
	text, err := os.ReadFile(p.path("/etc/hostname"))
	if err != nil || strings.TrimSpace(string(text)) == "" {
		return ""
	}
	name, err := node.Name(string(text))
	if err != nil {
		return ""
	}
	return name
}

func otherNode(p *Patient) Result {
	was := strings.TrimPrefix(p.Observed.Client.Pair.Leaf.Subject.CommonName, "system:node:")
	r := broken("the identity is node %s's, and this machine is called %s now", was, p.Observed.Node)
	anew := "; or, to join under the new name, put " + status.Credentials(p.Config, "")
	if p.Config.HostnameOverride != "" {
		return r.with("set hostnameOverride: "+was+" for agent and kubelet, and restart both"+anew, "")
	}
	return r.with("to name it back, "+asRoot+anew, "hostnamectl hostname "+quoted(was))
}

func clientCertificate(_ context.Context, p *Patient) []Result {
	c := p.Observed.Client
	if c.Unread != nil {
		return one(p.unread("the client certificate's files cannot be read: "+problem(c.Unread), "find out what keeps root from reading them (owner, mode, SELinux, AppArmor, the disk)"))
	}
	if !c.Usable(p.Observed.Now) {
		return one(p.missing("client certificate", c))
	}
	if !strings.HasPrefix(c.Pair.Leaf.Subject.CommonName, "system:node:") {
		return one(broken("%s is for %s, which is no node", c.Pair.File, c.Pair.Leaf.Subject).with(p.bootstrapAnew()))
	}
	return one(p.lifetime(c, p.Config.RotateCertificates, "rotateCertificates"))
}

// missing says why there is no pair to use, and whether one may come by itself.
func (p *Patient) missing(what string, c status.Certificate) Result {
	var text string
	switch {
	case c.Pair != nil:
		text = "the " + what + " has expired at " + date(c.Pair.Leaf.NotAfter)
	case errors.Is(c.PairErr, certdir.ErrNoPair):
		text = "the node has no " + what + " yet"
	default:
		text = "the " + what + " cannot be used: " + problem(c.PairErr)
	}
	bootstraps := p.Observed.Bootstrap != nil || p.Observed.Undiscovered != nil
	comes := bootstraps || c.Older != nil || c.Pending != nil && len(c.Pending.CertificatePEM) > 0
	if c.Kind == csr.Serving {
		comes = p.Observed.HasIdentity() || bootstraps
	}
	if comes {
		return waiting("%s", text).with("the agent gets one while it runs; what keeps it from that", agentLog)
	}
	if c.Kind == csr.Serving {
		return ok("%s: it is asked for when the node has its identity", text)
	}
	return broken("%s, and there is nothing to get one with", text).with("see "+p.credentialCheck(), "")
}

// bootstrapAnew is what lets a node get its identity again.
func (p *Patient) bootstrapAnew() (remedy, command string) {
	if file := p.Config.DiscoveryTokenFile; file != "" {
		return "an administrator of the cluster makes a bootstrap token (docs/join-config.md); then, " + asRoot, "install -m 0600 ./bootstrap.token " + quoted(file)
	}
	return "an administrator of the cluster makes a bootstrap kubeconfig (docs/credential.md); then, " + asRoot,
		"install -m 0600 ./bootstrap.kubeconfig " + quoted(p.Config.BootstrapKubeconfig)
}

// unread is about a file that the kernel would not let us read. Who is not root cannot expect it to.
func (p *Patient) unread(text, remedy string) Result {
	if os.Geteuid() != 0 {
		return unknown("%s", text).with(asRoot, "bootstrap-agent doctor")
	}
	return broken("%s", text).with(remedy, "")
}
