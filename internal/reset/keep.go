package reset

import (
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// KeepIdentity is the plan for a kubelet that goes on without the agent, and rotates by itself if it is told to. Its kubeconfig, both pairs
// in the layout that it shares with us, and the CA files stay; its own names become files, so that they cannot lead nowhere.
func (m Machine) KeepIdentity() Plan {
	var p Plan
	p.add(m.requests())
	aside := kubeconfig.Aside(m.Config.BootstrapKubeconfig)
	if token := m.Config.DiscoveryTokenFile; token != "" {
		aside = append(aside, kubeconfig.AsideToken(token)...)
	}
	for _, path := range aside {
		p.add(Part{{[]string{"give " + path + " its name back"}, func() error { return kubeconfig.PutBack(m.Disk, path) }}})
	}
	p.add(m.release())
	m.obstacles(&p)
	m.left(&p)
	return p
}

// release is the part that makes files of the links.
func (m Machine) release() Part {
	dir := m.dir()
	names := dir.Names()
	if !dir.Releasing(names) {
		return nil
	}
	return Part{{[]string{"make files of the links " + list(names.Ours)}, func() error {
		if _, err := dir.RepairLinks(); err != nil { // those that lead nowhere, or are half done
			return err
		}
		return dir.CopyServing()
	}}}
}

// left names what a person may want to remove.
func (m Machine) left(p *Plan) {
	o := status.Observe(m.Config, m.Now)
	for _, path := range o.SecretFiles(m.Config) {
		p.note("%s holds a bootstrap credential, which is left alone", path)
	}
	if kept := m.dir().Names().Kept; len(kept) > 0 {
		p.note("%s: copies of the pair that stood there before the agent", list(kept))
	}
}
