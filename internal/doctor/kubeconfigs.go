package doctor

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
)

// kubeconfigChecks are about the two kubeconfigs and the CA files.
func kubeconfigChecks() []Check {
	return []Check{
		{"ca-files", "Who may speak as the API server, and who may call the kubelet: both bundles parse, and have time.", caFiles},
		{"kubelet-kubeconfig", "The kubelet's kubeconfig: it parses, is only root's to change, and names the certificate that rotates.", kubeletKubeconfig},
		{"ca-following", "What the CA of the API server follows, if it does: the file is root's and holds CAs that have time, and is what is in use.", caFollowing},
		{"bootstrap-kubeconfig", "The bootstrap kubeconfig: good and private while it is needed, gone when it is not.", bootstrapKubeconfig},
		{"discovery-token", "The discovery token, where one is used: good and private while it is needed, gone when it is not; and what says where its cluster is.", checkDiscoveryToken},
	}
}

func kubeletKubeconfig(_ context.Context, p *Patient) []Result {
	o, path := p.Observed, p.Config.Kubeconfig
	switch {
	case o.Kubelet == nil && errors.Is(o.KubeletErr, fs.ErrNotExist) && !o.Client.Usable(o.Now):
		return one(ok("%s is not there yet: it is written when the node has its identity", path))
	case o.Kubelet == nil && certdir.Unread(o.KubeletErr):
		return one(p.unread(problem(o.KubeletErr), "find out what keeps root from reading it (owner, mode, SELinux, AppArmor, the disk)"))
	case o.Kubelet == nil:
		remedy, command := p.bootstrapAnew()
		r := fromError(Broken, o.KubeletErr, "")
		if r.Remedy == "" {
			r = r.with("a bootstrap kubeconfig for the cluster brings server and CA back, without another certificate: "+remedy, command)
		}
		return one(r)
	}
	current := certdir.Dir{Path: p.Config.CertDir}.Current(certdir.Client)
	if p.Config.RotateCertificates && !node.SamePath(o.Kubelet.ClientPEM, current) {
		return one(attention("%s names the client certificate %q, and not %s, which the agent keeps: the kubelet does not see it rotate", path, o.Kubelet.ClientPEM, current).
			with("let client-certificate and client-key of its user be "+current+", without client-certificate-data and client-key-data, and restart the kubelet", ""))
	}
	return one(ok("%s leads to %s", path, p.servers()))
}

// servers is where the kubelet's kubeconfig leads.
func (p *Patient) servers() string {
	k := p.Observed.Kubelet
	if k.KubeletServer == "" || k.KubeletServer == k.Endpoint.Server {
		return k.Endpoint.Server
	}
	return k.KubeletServer + " (the agent itself: " + k.Endpoint.Server + ")"
}

func bootstrapKubeconfig(_ context.Context, p *Patient) []Result {
	o := p.Observed
	var found []Result
	for _, path := range o.Aside {
		found = append(found, attention("%s is a bootstrap credential that was being disposed of", kubeconfig.AsideName(path)).
			with("the agent settles it when it starts, "+asRoot, restartAgent))
	}
	switch {
	case p.discovers():
		found = append(found, ok("%s is not there: the node joins with a discovery token (see discovery-token)", p.Config.BootstrapKubeconfig))
	case o.NoCredential():
		found = append(found, p.noCredential(p.Config.BootstrapKubeconfig))
	case o.Bootstrap == nil:
		found = append(found, p.badCredential(o.BootstrapErr))
	default:
		found = append(found, p.credential(o.Bootstrap)...)
	}
	return found
}

// credentialCheck is the check that says what is wrong with the bootstrap credential.
func (p *Patient) credentialCheck() string {
	if p.discovers() {
		return "discovery-token"
	}
	return "bootstrap-kubeconfig"
}

func (p *Patient) noCredential(path string) Result {
	o := p.Observed
	if o.HasIdentity() {
		return ok("%s is gone, as it should be: the node has its identity", path)
	}
	if o.Client.Pending != nil && (o.Client.Pending.UID != "" || len(o.Client.Pending.CertificatePEM) > 0) {
		return waiting("%s is not there, and the request under way cannot be followed without it", path).with(p.bootstrapAnew())
	}
	return broken("%s is not there, and the node has no identity", path).with(p.bootstrapAnew())
}

func (p *Patient) badCredential(err error) Result {
	o := p.Observed
	if certdir.Unread(err) {
		return p.unread(problem(err), "find out what keeps root from reading it (owner, mode, SELinux, AppArmor, the disk)")
	}
	verdict, otherwise := Broken, "put a good one in its place, or remove it"
	if o.HasIdentity() {
		verdict, otherwise = Attention, "it is of no use, and may hold a secret: remove it, or put a good one in its place"
	}
	return fromError(verdict, err, otherwise)
}

// credential judges a bootstrap kubeconfig that can be used.
func (p *Patient) credential(b *kubeconfig.Bootstrap) []Result {
	found := p.private(b)
	if !p.Observed.HasIdentity() {
		return append(found, ok("%s has a %s for %s", b.Path, b.Source, b.Endpoint.Server))
	}
	return append(found, p.beside(b))
}

// private says whether others may read what is secret.
func (p *Patient) private(b *kubeconfig.Bootstrap) (found []Result) {
	for path, mode := range map[string]fs.FileMode{b.Path: b.Mode, b.SecretFile: b.SecretMode} {
		if path != "" && b.Source != kubeconfig.ExecPlugin && mode.Perm()&0o077 != 0 && !kubeconfig.IsSystemdCredential(path, p.Config.CredentialsDirectory) {
			found = append(found, attention("%s holds a secret, and others may read it (mode %04o)", path, mode.Perm()).with(asRoot, "chmod 0600 "+quoted(path)))
		}
	}
	slices.SortFunc(found, func(a, b Result) int { return cmp.Compare(a.Text, b.Text) })
	return found
}

// beside is a bootstrap credential beside an identity.
func (p *Patient) beside(b *kubeconfig.Bootstrap) Result {
	switch {
	case kubeconfig.IsSystemdCredential(b.Path, p.Config.CredentialsDirectory):
		return ok("%s is a systemd credential: it stays as long as the agent's unit has it (LoadCredential=)", b.Path)
	case b.Source == kubeconfig.ExecPlugin:
		return ok("%s holds no secret, but the name of a program that gets one; it is kept", b.Path)
	case p.Config.KeepBootstrapKubeconfig:
		return ok("%s is kept, as keepBootstrapKubeconfig says", b.Path)
	}
	return p.leftOver(b)
}

// leftOver is a secret that is not needed any more.
func (p *Patient) leftOver(b *kubeconfig.Bootstrap) Result {
	file := b.Path
	if b.SecretFile != "" {
		file = b.SecretFile
	}
	return attention("the node has its identity, and a bootstrap credential (%s) is still in %s", b.Source, file).
		with("the agent deletes it once the API server has answered as this node; what keeps it from that: "+agentLog+"; or, "+asRoot, "rm "+quoted(file))
}
