package boot

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// publishClusterInfo has the cluster say to everybody where it is, as kubeadm does; the real bootstrapsigner signs that with each token. It
// may be called again.
func publishClusterInfo(t *testing.T, cp *controlplane.ControlPlane) {
	t.Helper()
	ctx, admin := t.Context(), cp.AdminClient()
	kubeconfig, err := cp.Kubeconfig(server(cp), clientcmdapi.AuthInfo{})
	must(t, err)
	name := metav1.ObjectMeta{Name: "cluster-info"}
	eventually(t, "the API server has made namespace kube-public", func() bool {
		_, err := admin.CoreV1().Namespaces().Get(ctx, metav1.NamespacePublic, metav1.GetOptions{})
		return err == nil
	})
	_, err = admin.CoreV1().ConfigMaps(metav1.NamespacePublic).Create(ctx, &corev1.ConfigMap{
		ObjectMeta: name, Data: map[string]string{"kubeconfig": string(kubeconfig)},
	}, metav1.CreateOptions{})
	mustBeThere(t, err)
	_, err = admin.RbacV1().Roles(metav1.NamespacePublic).Create(ctx, &rbacv1.Role{
		ObjectMeta: name,
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{name.Name}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{})
	mustBeThere(t, err)
	_, err = admin.RbacV1().RoleBindings(metav1.NamespacePublic).Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: name,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "system:anonymous"}},
	}, metav1.CreateOptions{})
	mustBeThere(t, err)
}

func mustBeThere(t *testing.T, err error) {
	t.Helper()
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}
