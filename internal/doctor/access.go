package doctor

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// right is something that a credential must be able to do, and whether it may.
type right struct {
	apiserver.Access
	may bool
	err error
}

func checkAccess(ctx context.Context, p *Patient) []Result {
	return p.askOf(ctx, func(w *way) Result { return p.access(ctx, w) })
}

// askOf asks something about each credential that is accepted; about one that is not tried nothing is said.
func (p *Patient) askOf(ctx context.Context, question func(*way) Result) []Result {
	return distinct(each(p.network.ways, func(w *way) []Result {
		if w.unused != "" {
			return nil
		}
		if err := w.accepted(ctx); err != nil {
			return one(notLooked(strings.TrimPrefix(err.Error(), errNotAsked.Error()+": ")))
		}
		return one(question(w))
	}))
}

// may asks for several rights at once.
func (w *way) may(ctx context.Context, wanted ...apiserver.Access) []*right {
	rights := make([]*right, len(wanted))
	for i, access := range wanted {
		rights[i] = &right{Access: access}
	}
	each(rights, func(r *right) []Result {
		r.err = w.ask(ctx, func(ctx context.Context, api *apiserver.Client) (err error) {
			r.may, err = api.May(ctx, r.Access)
			return err
		})
		return nil
	})
	return rights
}

func (p *Patient) access(ctx context.Context, w *way) Result {
	rights := w.may(ctx, apiserver.Access{Verb: "create"}, apiserver.Access{Verb: "get"}, apiserver.Access{Verb: "watch"})
	var lacking []string
	for _, r := range rights {
		if r.err != nil {
			return w.noReview(r.err)
		}
		if !r.may {
			lacking = append(lacking, r.Verb)
		}
	}
	switch {
	case len(lacking) == 0:
		return ok("%s may create, get and watch certificate signing requests at %s", w, w.endpoint.Server)
	case len(lacking) == 1 && lacking[0] == "watch":
		remedy, command := w.bind("node-bootstrapper", "system:node-bootstrapper")
		return attention("%s may not watch certificate signing requests at %s, so that the agent reads them every 2 to 30 seconds", w, w.endpoint.Server).with(remedy, command)
	}
	text := fmt.Sprintf("%s (%s) may not %s certificate signing requests at %s", w, words(w.user.Name), strings.Join(lacking, ", "), w.endpoint.Server)
	if w.asNode {
		remedy, command := w.bind("nodes", "system:node")
		return say(Broken, "%s", text).with("have kube-apiserver run with --authorization-mode=Node,RBAC; where the node authorizer cannot be had: "+remedy, command)
	}
	remedy, command := w.bind("node-bootstrapper", "system:node-bootstrapper")
	return say(w.atMost(Broken), "%s", text).with(remedy, command)
}

// noReview is when the API server does not say what a credential may do.
func (w *way) noReview(err error) Result {
	if errors.Is(err, errNotAsked) {
		return notLooked(w.stopped())
	}
	reason := apiserver.ReasonOf(err)
	r := unknown("%s does not say what %s may do (%s): %s", w.endpoint.Server, w, reason, words(innermost(err)))
	if reason == apiserver.Forbidden {
		return r.with("everybody who is authenticated may ask that (SelfSubjectAccessReview) where the ClusterRole system:basic-user is bound to them; an administrator of the cluster asks instead",
			fmt.Sprintf("kubectl auth can-i -A create certificatesigningrequests.certificates.k8s.io --as=%s", quoted(w.user.Name)))
	}
	return r.with("see what is wrong with the API server, and run doctor again; where kubectl works", "kubectl get --raw '/readyz?verbose'")
}

const administers = "an administrator of the cluster"

// bind is what gives a credential's user a role, as deploy/rbac does: the same bindings by name, for the group that such credentials have.
func (w *way) bind(name, role string) (remedy, command string) {
	subject, suffix := w.subject()
	return administers, fmt.Sprintf("kubectl create clusterrolebinding %s --clusterrole=%s %s", quoted("bootstrap-agent:"+name+suffix), role, subject)
}

// subject is whom to bind a role to: the narrowest group that all credentials of the kind have, or else the user himself. suffix tells
// the binding from those of deploy/rbac that have another subject.
func (w *way) subject() (subject, suffix string) {
	groups := map[string]bool{}
	for _, group := range w.user.Groups {
		groups[group] = true
		if strings.HasPrefix(group, "system:bootstrappers:") && plainName(group) {
			_, last, _ := strings.Cut(strings.TrimPrefix(group, "system:bootstrappers:"), ":")
			if last == "" {
				last = strings.TrimPrefix(group, "system:bootstrappers:")
			}
			return "--group=" + group, "-" + strings.ReplaceAll(last, ":", "-")
		}
	}
	switch {
	case w.asNode && groups["system:nodes"]:
		return "--group=system:nodes", ""
	case groups["system:bootstrappers"]:
		return "--group=system:bootstrappers", ""
	case groups["system:kubelet-bootstrap"]:
		return "--group=system:kubelet-bootstrap", "-static-token"
	}
	return "--user=" + quoted(w.user.Name), "-for-one"
}

// plainName says whether a group's name can stand in the name of an object.
func plainName(group string) bool {
	return quoted(group) == group && !strings.ContainsAny(group, "/%@=,+")
}
