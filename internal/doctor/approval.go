package doctor

import (
	"context"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

const approverRole = "system:certificates.k8s.io:certificatesigningrequests:"

func checkApproval(ctx context.Context, p *Patient) []Result {
	return p.askOf(ctx, func(w *way) Result { return p.approval(ctx, w) })
}

// approval asks what kube-controller-manager will ask before it approves.
func (p *Patient) approval(ctx context.Context, w *way) Result {
	kind, binding, what := "nodeclient", "approve-new-nodes", "this node's first client certificate, asked for with the bootstrap credential,"
	if w.asNode {
		kind, binding, what = "selfnodeclient", "approve-node-rotation", "this node's next client certificate, asked for with the present one,"
	}
	asked := w.may(ctx, apiserver.Access{Verb: "create", Subresource: kind})[0]
	switch {
	case asked.err != nil:
		return w.noReview(asked.err)
	case asked.may:
		return ok("%s is approved by kube-controller-manager (certificatesigningrequests/%s)", what, kind)
	}
	remedy, command := w.bind(binding, approverRole+kind)
	return attention("%s has to be approved by a person each time: %s may not create certificatesigningrequests/%s", what, words(w.user.Name), kind).
		with("if that is not wanted, "+remedy, command)
}

// checkServingApproval names bindings that are a trap: the code that looked at them left kube-controller-manager before Kubernetes 1.12
// (kubernetes#62471). Few but administrators may read bindings: where they cannot be seen, nothing is said.
func checkServingApproval(ctx context.Context, p *Patient) []Result {
	w := p.network.way(true)
	if w == nil || p.Config.Serving == string(serving.Off) || p.Observed.Serving.Issued() || w.accepted(ctx) != nil {
		return nil
	}
	var bindings []string
	err := w.ask(ctx, func(ctx context.Context, api *apiserver.Client) (err error) {
		bindings, err = api.BindingsOf(ctx, approverRole+"selfnodeserver")
		return err
	})
	if err != nil || len(bindings) == 0 {
		return nil
	}
	return one(attention("the ClusterRoleBinding %s has no effect: since Kubernetes 1.12 nothing in kube-controller-manager approves serving certificates", words(bindings[0])).
		with("approve the request, or install an approver (docs/approvers.md); the binding can go", "kubectl delete clusterrolebinding "+quoted(bindings[0])))
}
