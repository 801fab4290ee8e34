package doctor

import (
	"context"
	"os"
	"path/filepath"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

// servingNames looks at the two names under which a kubelet without tlsCertFile finds what it serves.
func servingNames(_ context.Context, p *Patient) []Result {
	dir, o := certdir.Dir{Path: p.Config.CertDir}, p.Observed
	var found []Result
	names := dir.Names()
	for _, path := range append(names.Ours, names.Foreign...) {
		if dangles(path) {
			found = append(found, broken("%s leads to nothing: a kubelet would write a key through it that everybody can read, and would not start again", path).
				with("the agent takes it away when it starts, "+asRoot, restartAgent))
		}
	}
	switch {
	case len(found) > 0:
		return found
	case o.Serving.Linked:
		return one(ok("both lead to %s", dir.Current(certdir.Serving)))
	case p.Config.Serving == string(serving.Off) && len(names.Ours) == 0:
		return one(ok("the kubelet's own, or none (serving: off)"))
	case o.Serving.Adopted != nil:
		return one(ok("a pair that is not the agent's stands there, until the serving certificate is issued"))
	case o.Serving.Pair == nil && len(names.Ours)+len(names.Foreign) == 0:
		return one(ok("not there yet, as long as there is no serving pair"))
	case o.Serving.Pair == nil:
		return one(p.strangePair(names))
	}
	return one(attention("%s do not both lead to %s, so a kubelet serves something else", filepath.Join(dir.Path, "kubelet.crt")+" and kubelet.key", dir.Current(certdir.Serving)).
		with("the agent links them when it starts, "+asRoot, restartAgent))
}

func (p *Patient) strangePair(names certdir.Names) Result {
	if len(names.Unread) > 0 {
		return p.unread("cannot be read: "+names.Unread[0], "find out what keeps root from reading it (owner, mode, SELinux, AppArmor, the disk)")
	}
	return waiting("%s and kubelet.key are there and are no pair that can be used: the kubelet does not start with them", filepath.Join(p.Config.CertDir, "kubelet.crt")).
		with("the agent puts a pair there once the node has its identity; what keeps it from that", agentLog)
}

// dangles says whether path is a link that leads nowhere.
func dangles(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode()&os.ModeSymlink == 0 {
		return false
	}
	_, err = os.Stat(path)
	return os.IsNotExist(err)
}
