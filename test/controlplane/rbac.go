package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/deploy/rbac"
)

// testRBAC is what the users with static tokens may do that no real cluster would have.
const testRBAC = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "test:unapproved"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:node-bootstrapper"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "test:unapproved"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "test:no-watch"}
rules:
- {apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [create, get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "test:no-watch"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "test:no-watch"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "test:no-watch"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "test:approved"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:certificates.k8s.io:certificatesigningrequests:nodeclient"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: Group, name: "test:approved"}]
`

// applyRBAC creates the objects of deploy/rbac, just as users apply them, and those of the tests.
func (cp *ControlPlane) applyRBAC(ctx context.Context) error {
	names, err := fs.Glob(rbac.Manifests, "*.yaml")
	if err != nil {
		return err
	}
	for _, name := range names {
		content, err := rbac.Manifests.ReadFile(name)
		if err != nil {
			return err
		}
		if err := cp.createRBAC(ctx, content); err != nil {
			return fmt.Errorf("apply deploy/rbac/%s: %w", name, err)
		}
	}
	if err := cp.createRBAC(ctx, []byte(testRBAC)); err != nil {
		return fmt.Errorf("apply the RBAC of the tests: %w", err)
	}
	return nil
}

func (cp *ControlPlane) createRBAC(ctx context.Context, manifest []byte) error {
	documents := utilyaml.NewDocumentDecoder(io.NopCloser(bytes.NewReader(manifest)))
	defer documents.Close()
	buffer := make([]byte, len(manifest))
	for {
		n, err := documents.Read(buffer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := cp.createRBACObject(ctx, buffer[:n]); err != nil {
			return err
		}
	}
}

func (cp *ControlPlane) createRBACObject(ctx context.Context, document []byte) error {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	switch kind.Kind {
	case "ClusterRole":
		var role rbacv1.ClusterRole
		if err := yaml.UnmarshalStrict(document, &role); err != nil {
			return err
		}
		_, err := cp.admin.RbacV1().ClusterRoles().Create(ctx, &role, metav1.CreateOptions{})
		return err
	case "ClusterRoleBinding":
		var binding rbacv1.ClusterRoleBinding
		if err := yaml.UnmarshalStrict(document, &binding); err != nil {
			return err
		}
		_, err := cp.admin.RbacV1().ClusterRoleBindings().Create(ctx, &binding, metav1.CreateOptions{})
		return err
	case "": // comments only
		return nil
	default:
		return fmt.Errorf("no support for kind %s in a manifest of RBAC", kind.Kind)
	}
}
