package doctor

import (
	"context"
	"errors"
	"os"
	"strings"

	utilversion "k8s.io/apimachinery/pkg/util/version"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// What kubelets of which version read again by themselves, without a restart.
const (
	reloadsServing = "1.31.0" // the serving certificate (kubernetes#124574)
	reloadsCA      = "1.36.0" // the CA of its clients
)

const kubeletLog = "journalctl -b -u kubelet -n 50"

func checkNodeObject(ctx context.Context, p *Patient) []Result {
	w := p.network.way(true)
	if w == nil {
		return nil
	}
	if err := w.accepted(ctx); err != nil {
		return one(notLooked(strings.TrimPrefix(err.Error(), errNotAsked.Error()+": ")))
	}
	name := w.identity(p)
	var node apiserver.Node
	err := w.ask(ctx, func(ctx context.Context, api *apiserver.Client) (err error) {
		node, err = api.Node(ctx, name)
		return err
	})
	switch {
	case errors.Is(err, errNotAsked):
		return one(notLooked(w.stopped()))
	case errors.Is(err, apiserver.ErrNotRegistered):
		return one(waiting("there is no Node %s yet: its kubelet has not registered it, or somebody has deleted it", name).with("start the kubelet, or see what keeps it from that", kubeletLog))
	case err != nil:
		return one(unknown("the Node %s cannot be read: %s", name, words(innermost(err))).with("have kube-apiserver run with --authorization-mode=Node,RBAC; "+administers+" can read it", "kubectl get node "+name))
	}
	results := one(p.nodeReady(name, node))
	for _, look := range []func(string, apiserver.Node) (Result, bool){p.kubeletVersion, p.machine, p.unserved} {
		if result, found := look(name, node); found {
			results = append(results, result)
		}
	}
	return results
}

func (p *Patient) nodeReady(name string, node apiserver.Node) Result {
	switch node.Ready {
	case "True":
		return ok("the Node %s is Ready, by its kubelet of version %s", name, node.KubeletVersion)
	case "Unknown":
		return attention("the Node %s is not Ready: its kubelet does not say anything any more", name).with("see whether the kubelet runs and reaches the API server", kubeletLog)
	}
	return attention("the Node %s is not Ready: %s", name, words(node.Why)).with("that is the kubelet's, and seldom about certificates", kubeletLog)
}

// kubeletVersion says what the kubelet does not notice by itself.
func (p *Patient) kubeletVersion(_ string, node apiserver.Node) (Result, bool) {
	version, err := utilversion.ParseGeneric(node.KubeletVersion)
	switch {
	case node.KubeletVersion == "":
		return Result{}, false
	case err != nil:
		return unknown("the Node's kubelet says that its version is %q", node.KubeletVersion).with("see which one it is", "kubelet --version"), true
	case version.LessThan(utilversion.MustParseGeneric(reloadsServing)):
		return attention("the kubelet is of version %s; before 1.31 it does not look at a new serving certificate", node.KubeletVersion).
			with("upgrade it; until then, after each rotation of the serving certificate, as root", "systemctl restart kubelet"), true
	case version.LessThan(utilversion.MustParseGeneric(reloadsCA)) && p.Observed.RestartReasons(p.Config)[status.CAChanged]:
		return attention("the kubelet is of version %s, and was started before a CA file was written: it trusts the CA that there was then", node.KubeletVersion).
			with("restart it before the old CA is taken out of use, "+asRoot, restartKubelet), true
	case version.LessThan(utilversion.MustParseGeneric(reloadsCA)):
		return ok("the kubelet is of version %s: it reads new certificates by itself; a new CA file only when it is restarted", node.KubeletVersion), true
	}
	return Result{}, false
}

// machine says whether it is this machine that has the node's name.
func (p *Patient) machine(name string, node apiserver.Node) (Result, bool) {
	content, err := os.ReadFile(p.path("/etc/machine-id"))
	ours := strings.TrimSpace(string(content))
	if err != nil || ours == "" || node.MachineID == "" || node.MachineID == ours {
		return Result{}, false
	}
	return attention("the Node %s was registered by a machine with another machine ID (%s) than this one (%s): two machines have the name, or this one was made anew and its kubelet has not been started since",
		name, words(node.MachineID), words(ours)).
		with("give one of the two another name; which of them the cluster knows", "kubectl get node "+name+" -o wide"), true
}

// unserved are the addresses at which an API server looks for the kubelet, by its --kubelet-preferred-address-types, that are missing in
// the serving certificate.
func (p *Patient) unserved(_ string, node apiserver.Node) (Result, bool) {
	c := p.Observed.Serving
	if p.Config.Serving == string(serving.Off) || !c.Issued() {
		return Result{}, false
	}
	var addresses []serving.Address
	for _, a := range node.Addresses {
		if a.Type == "Hostname" || a.Type == "InternalIP" {
			addresses = append(addresses, serving.Address(a))
		}
	}
	wanted, _ := serving.NamesOfNode(addresses, nil, nil)
	lacks := serving.Lacks(c.Pair.Leaf, wanted)
	if len(lacks) == 0 {
		return Result{}, false
	}
	return attention("the serving certificate is for %s, and not for %s, which the Node has as its address", names(c.Pair.Leaf), words(strings.Join(lacks, ", "))).
		with("give the agent the same --node-ip and --hostname-override as the kubelet, or --serving=after-node-registered; then, as root", restartAgent), true
}
