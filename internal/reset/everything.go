package reset

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// Everything is the plan for a machine that is to be nobody's node any more, or an image. The credential goes first, so that nothing which
// is started in between brings back what goes after it.
func (m Machine) Everything() Plan {
	var p Plan
	m.credential(&p)
	p.add(append(m.requests(), m.marker()...))
	m.client(&p)
	m.serving(&p)
	for _, path := range m.dir().Strays() {
		p.stays(path, "a file of the node's led to it, and it has no name of ours; remove it by hand")
	}
	m.obstacles(&p)
	return p
}

func (m Machine) credential(p *Plan) {
	files, stays := kubeconfig.Discardable(m.Config.BootstrapKubeconfig)
	if token := m.Config.DiscoveryTokenFile; token != "" {
		more, stay := kubeconfig.DiscardableToken(token)
		files, stays = append(files, more...), append(stays, stay...)
	}
	p.add(m.remove(files...))
	for _, stay := range stays {
		p.stays(stay.File, stay.Said)
	}
}

// marker lets the agent take a credential for another cluster in this boot too.
func (m Machine) marker() Part {
	if m.Marker == "" || !exists(m.Marker) {
		return nil
	}
	return m.remove(m.Marker)
}

// client takes the identity away: the kubeconfig, which was written last, goes first.
func (m Machine) client(p *Plan) {
	dir, path := m.dir(), m.Config.Kubeconfig
	part := m.remove(m.kubeconfigs(p, path)...)
	part = append(part, m.remove(dir.Pairs(certdir.Client)...)...)
	p.add(append(part, m.remove(dir.CAs()...)...))
}

// kubeconfigs are the kubelet's kubeconfig, if it is of the pair that goes, and what crashes left of it.
func (m Machine) kubeconfigs(p *Plan, path string) []string {
	if errors.Is(durable.TrustFolder(filepath.Dir(path)), durable.ErrUntrusted) {
		p.note("%s is left alone: others can change its folder", path)
		return nil
	}
	temps := kubeconfig.Temps(path)
	if !exists(path) {
		return temps
	}
	if kubeconfig.IsOf(path, m.dir().Current(certdir.Client)) {
		return append([]string{path}, temps...)
	}
	p.note("%s is left alone: it does not say that it is for %s", path, m.dir().Current(certdir.Client))
	return temps
}

// serving takes the kubelet's own names before what they lead to, for they must never lead nowhere, and puts the pair back that stood there
// before.
func (m Machine) serving(p *Plan) {
	dir := m.dir()
	names := dir.Names()
	var part Part
	if names.Original {
		part = append(part, Step{m.puttingBack(names), func() error { return dir.RestoreOriginal(m.Now) }})
	} else {
		part = m.remove(names.Ours...)
	}
	if pairs := dir.Pairs(certdir.Serving); len(pairs) > 0 || names.Original { // which makes one for a moment
		part = append(part, Step{removing(pairs), func() error { return dir.RemovePairs(certdir.Serving) }})
	}
	if names.Original {
		names.Needless = names.Kept
	}
	part = append(part, m.remove(names.Needless...)...)
	p.add(part)
	m.foreign(p, names)
}

func (m Machine) puttingBack(names certdir.Names) []string {
	return []string{"put back the pair that was there before, from " + list(names.Kept)}
}

func removing(paths []string) (says []string) {
	for _, path := range paths {
		says = append(says, "remove "+path)
	}
	return says
}

// foreign names what stays under the kubelet's own names.
func (m Machine) foreign(p *Plan, names certdir.Names) {
	for _, path := range names.Strays {
		end, _ := os.Readlink(path)
		p.stays(path, "it leads to "+end+", which holds a key or certificate of the node's and has no name of ours; remove both by hand")
	}
	for _, path := range names.Unread {
		p.stays(path, "it cannot be read, so that nobody can tell whose it is; look at it, and remove it by hand")
	}
	if len(names.Foreign) > 0 {
		p.note("%s: a pair, or half of one, that is not ours; the kubelet's own perhaps", list(names.Foreign))
	}
	for _, path := range names.Kept {
		if !slices.Contains(names.Needless, path) {
			p.stays(path, "a copy of what stood there before the agent; it cannot be put back, so remove it or put it back by hand")
		}
	}
}
