package e2e

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// podOn is a pod that is bound to a node and mounts the Secret NAME-used.
func (v *visitor) podOn(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: v.n.name, Namespace: metav1.NamespaceDefault},
		Spec: corev1.PodSpec{
			NodeName: name, Containers: []corev1.Container{{Name: "a", Image: "a"}},
			Volumes: []corev1.Volume{{Name: "a", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: v.n.name + "-used"}}}},
		},
	}
}

// runsAPod has a pod with a Secret run on the node, as far as the API server is concerned, and another Secret that no pod uses.
func (v *visitor) runsAPod() {
	v.t.Helper()
	admin := v.n.cp.AdminClient().CoreV1()
	for _, name := range []string{v.n.name + "-used", v.n.name + "-unused"} {
		_, err := admin.Secrets(metav1.NamespaceDefault).Create(v.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		must(v.t, err)
	}
	eventually(v.t, "a pod with a Secret is bound to the node", func() bool { // its service account may have to be made first
		pod, err := admin.Pods(metav1.NamespaceDefault).Create(v.t.Context(), v.podOn(v.n.name), metav1.CreateOptions{})
		if err == nil {
			v.pod = string(pod.UID)
		}
		return err == nil
	})
	eventually(v.t, "the node authorizer has learned of the pod", func() bool { return v.readsSecret() == nil })
}

func (v *visitor) podUID() types.UID { return types.UID(v.pod) }

// readsSecret reads the Secret of the node's pod.
func (v *visitor) readsSecret() error {
	_, err := v.as.CoreV1().Secrets(metav1.NamespaceDefault).Get(v.t.Context(), v.n.name+"-used", metav1.GetOptions{})
	return err
}
