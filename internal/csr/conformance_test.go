package csr

import (
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// The cases of client-go's TestEnsureCompatible. There an object without a signer, from the time of v1beta1, is taken for ours; the
// API that is used here always has one, so that such an object was not made by this agent.
func TestAnObjectOfAnotherSignerIsNotReused(t *testing.T) {
	for _, kind := range []Kind{Client, Serving} {
		wish := map[Kind]Wish{Client: clientWish, Serving: servingWish}[kind]
		p := newPending(t, wish)
		for signer, ours := range map[string]bool{
			kind.Signer():         true,
			"":                    false,
			"example.com/another": false,
			certificatesv1.KubeAPIServerClientSignerName:                              false,
			"kubernetes.io/legacy-unknown":                                            false,
			map[Kind]string{Client: Serving.Signer(), Serving: Client.Signer()}[kind]: false,
		} {
			object := objectOf(p, "uid-1")
			object.Spec.SignerName = signer
			if p.ours(object, false) != ours {
				t.Errorf("%s, signer %q: ours %v, expected %v", kind, signer, !ours, ours)
			}
		}
	}
}
