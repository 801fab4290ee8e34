package join

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	bootstrapapi "k8s.io/cluster-bootstrap/token/api"

	"github.com/bootstrap-agent/bootstrap-agent/deploy/rbac"
)

// CheckGroups checks the groups that a bootstrap token is to have besides system:bootstrappers: the API server takes no token of which
// one is not below that. It returns each once.
func CheckGroups(groups []string) ([]string, error) {
	var each []string
	for _, group := range groups {
		switch {
		case group == bootstrapapi.BootstrapDefaultGroup:
			return nil, errors.New("group system:bootstrappers has every bootstrap token in it; leave --group out, or name one below it")
		case !regexp.MustCompile(bootstrapapi.BootstrapGroupPattern).MatchString(group): // compiled here, and not at every start of the agent
			return nil, fmt.Errorf("group %q cannot be one of a bootstrap token; it looks like system:bootstrappers:NAME, with colons, dashes and a-z0-9", Conceal(group))
		case !slices.Contains(each, group):
			each = append(each, group)
		}
	}
	return each, nil
}

// RBAC is what a cluster needs for nodes to join and stay, for kubectl apply: the manifests of deploy/rbac. With groups their tokens may
// join, and not every token there is. Each group has bindings of its own, so that applying it for another takes nothing away.
func RBAC(groups []string) (string, error) {
	joining, err := rbac.Manifests.ReadFile("bootstrappers.yaml")
	if err != nil {
		return "", err
	}
	staying, err := rbac.Manifests.ReadFile("nodes.yaml")
	if err != nil {
		return "", err
	}
	if len(groups) == 0 {
		return documents(string(joining), string(staying)), nil
	}
	var each []string
	for _, group := range groups {
		below := strings.TrimPrefix(group, bootstrapapi.BootstrapDefaultGroup)
		each = append(each, bindings(string(joining), group, below))
	}
	return documents(append(each, string(staying))...), nil
}

// bindings are the manifests about system:bootstrappers for a group below it.
func bindings(manifests, group, below string) string {
	var b strings.Builder
	for line := range strings.Lines(manifests) {
		switch name, is := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "  name: bootstrap-agent:"); {
		case is:
			fmt.Fprintf(&b, "  name: bootstrap-agent:%s%s\n", name, below)
		case line == "  name: "+bootstrapapi.BootstrapDefaultGroup+"\n":
			fmt.Fprintf(&b, "  name: %s\n", group)
		case strings.HasPrefix(line, "# For nodes that join") || strings.HasPrefix(line, "# kubeadm clusters"): // about the other group
		default:
			b.WriteString(line)
		}
	}
	return "# For nodes that join with a bootstrap token of group " + group + ".\n" + b.String()
}

// documents joins YAML documents into one stream.
func documents(each ...string) string { return strings.Join(each, "---\n") }
