package join_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/deploy/rbac"
	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
)

func TestAGroupIsOneThatABootstrapTokenCanHave(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"system:bootstrappers:a", "system:bootstrappers:kubeadm:default-node-token", "system:bootstrappers:9"} {
		if got, err := join.CheckGroups([]string{good, good}); err != nil || !slices.Equal(got, []string{good}) {
			t.Errorf("%s: %q, %v", good, got, err)
		}
	}
	for bad, says := range map[string]string{
		"system:bootstrappers": "every bootstrap token", "system:masters": "looks like", "": "looks like", "system:bootstrappers:": "looks like",
		"system:bootstrappers:A": "looks like", "system:bootstrappers:a-": "looks like", "system:bootstrappers:a,system:masters": "looks like",
		"system:bootstrappers:a\nb": "looks like", "xsystem:bootstrappers:a": "looks like", "system:bootstrappers:a\n": "looks like",
	} {
		if got, err := join.CheckGroups([]string{"system:bootstrappers:a", bad}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
	_, err := join.CheckGroups([]string{token.ID + "." + token.Secret})
	if err == nil {
		t.Fatal("a token is taken for a group")
	}
	silent(t, err, token.Secret)
}

// bindingsIn reads manifests as kubectl does: "role → group" by name.
func bindingsIn(t *testing.T, manifests string) map[string]string {
	t.Helper()
	found := map[string]string{}
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifests)))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return found
		}
		must(t, err)
		var b rbacv1.ClusterRoleBinding
		must(t, yaml.UnmarshalStrict(document, &b))
		if b.APIVersion != "rbac.authorization.k8s.io/v1" || b.Kind != "ClusterRoleBinding" || len(b.Subjects) != 1 || b.Subjects[0].Kind != "Group" || found[b.Name] != "" {
			t.Errorf("%s %s twice, or with %v", b.Kind, b.Name, b.Subjects)
		}
		found[b.Name] = fmt.Sprintf("%s → %s", b.RoleRef.Name, b.Subjects[0].Name)
	}
}

const (
	asks     = "system:node-bootstrapper → "
	approved = "system:certificates.k8s.io:certificatesigningrequests:nodeclient → "
	rotates  = "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient → system:nodes"
)

func TestWithoutGroupsTheRBACIsWhatIsShipped(t *testing.T) {
	t.Parallel()
	got, err := join.RBAC(nil)
	must(t, err)
	joining, err := rbac.Manifests.ReadFile("bootstrappers.yaml")
	must(t, err)
	staying, err := rbac.Manifests.ReadFile("nodes.yaml")
	must(t, err)
	if got != string(joining)+"---\n"+string(staying) {
		t.Error("it is another text")
	}
	if bindings := bindingsIn(t, got); len(bindings) != 3 || bindings["bootstrap-agent:node-bootstrapper"] != asks+"system:bootstrappers" {
		t.Errorf("%q", bindings)
	}
}

// Whoever applies it for one group, and later for another, takes nothing from the first.
func TestEachGroupHasBindingsOfItsOwnAndTheGroupOfAllHasNone(t *testing.T) {
	t.Parallel()
	got, err := join.RBAC([]string{"system:bootstrappers:a", "system:bootstrappers:b:c"})
	must(t, err)
	want := map[string]string{
		"bootstrap-agent:node-bootstrapper:a": asks + "system:bootstrappers:a", "bootstrap-agent:approve-new-nodes:a": approved + "system:bootstrappers:a",
		"bootstrap-agent:node-bootstrapper:b:c": asks + "system:bootstrappers:b:c", "bootstrap-agent:approve-new-nodes:b:c": approved + "system:bootstrappers:b:c",
		"bootstrap-agent:approve-node-rotation": rotates,
	}
	if bindings := bindingsIn(t, got); fmt.Sprint(bindings) != fmt.Sprint(want) {
		t.Errorf("%q", bindings)
	}
	if strings.Contains(got, "every such token") {
		t.Error("it says that it is for every token")
	}
}
