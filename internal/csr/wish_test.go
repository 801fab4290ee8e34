package csr

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/util/validation"
)

var algorithms = []string{"ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-4096"}

func TestEveryAlgorithmMakesItsKey(t *testing.T) {
	for _, algorithm := range algorithms {
		key, err := NewKey(algorithm)
		must(t, err)
		made := ""
		switch key := key.(type) {
		case *ecdsa.PrivateKey:
			made = fmt.Sprintf("ecdsa-p%d", key.Params().BitSize)
		case *rsa.PrivateKey:
			made = fmt.Sprintf("rsa-%d", key.N.BitLen())
		}
		if made != algorithm {
			t.Errorf("%s makes %s", algorithm, made)
		}
	}
	if _, err := NewKey("ed25519"); err == nil {
		t.Error("an unknown algorithm makes a key")
	}
	if _, err := New(Wish{Kind: Client, NodeName: "a", KeyAlgorithm: ""}, endpoint); err == nil {
		t.Error("a request without an algorithm was made")
	}
}

func TestKeyEnciphermentIsAskedForWithRSAOnly(t *testing.T) {
	for _, algorithm := range algorithms {
		for kind, auth := range map[Kind]certificatesv1.KeyUsage{Client: certificatesv1.UsageClientAuth, Serving: certificatesv1.UsageServerAuth} {
			expected := []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature}
			if strings.HasPrefix(algorithm, "rsa") {
				expected = append(expected, certificatesv1.UsageKeyEncipherment)
			}
			if usages := (Wish{Kind: kind, KeyAlgorithm: algorithm}).Usages(); !slices.Equal(usages, append(expected, auth)) {
				t.Errorf("%s, %s: %v", kind, algorithm, usages)
			}
		}
	}
}

// The rules by which kube-controller-manager's signers and the API server's admission refuse a request, copied from
// k8s.io/kubernetes pkg/apis/certificates/helpers.go (ValidateKubeletServingCSR, ValidateKubeletClientCSR), which cannot be imported.
func TestTheRequestsSatisfyTheSigners(t *testing.T) {
	allowed := map[Kind][]string{
		Client:  {"client auth,digital signature", "client auth,digital signature,key encipherment"},
		Serving: {"digital signature,key encipherment,server auth", "digital signature,server auth"},
	}
	for _, wish := range []Wish{clientWish, servingWish} {
		for _, algorithm := range algorithms[:3] {
			wish.KeyAlgorithm = algorithm
			request, err := newPending(t, wish).request()
			must(t, err)
			must(t, request.CheckSignature())
			if !slices.Equal(request.Subject.Organization, []string{"system:nodes"}) || request.Subject.CommonName != "system:node:worker-1" {
				t.Errorf("%s: subject %s", wish.Kind, request.Subject)
			}
			if len(request.EmailAddresses) > 0 || len(request.URIs) > 0 {
				t.Errorf("%s: email addresses or URIs", wish.Kind)
			}
			if named := len(request.DNSNames)+len(request.IPAddresses) > 0; named != (wish.Kind == Serving) {
				t.Errorf("%s: names %v %v: none for a client, at least one for a server", wish.Kind, request.DNSNames, request.IPAddresses)
			}
			if usages := sortedUsages(wish); !slices.Contains(allowed[wish.Kind], usages) {
				t.Errorf("%s: usages %s", wish.Kind, usages)
			}
		}
	}
	if Client.Signer() != "kubernetes.io/kube-apiserver-client-kubelet" || Serving.Signer() != "kubernetes.io/kubelet-serving" {
		t.Errorf("signers %s, %s", Client.Signer(), Serving.Signer())
	}
}

func sortedUsages(wish Wish) string {
	var texts []string
	for _, usage := range wish.Usages() {
		texts = append(texts, string(usage))
	}
	slices.Sort(texts)
	return strings.Join(texts, ",")
}

func TestTheServingRequestHoldsEveryWantedName(t *testing.T) {
	request, err := newPending(t, servingWish).request()
	must(t, err)
	if !slices.Equal(request.DNSNames, servingWish.DNSNames) || !slices.EqualFunc(request.IPAddresses, ips(servingWish.IPAddresses...), net.IP.Equal) {
		t.Errorf("names %v %v", request.DNSNames, request.IPAddresses)
	}
}

// each changes one thing that is asked for.
var wishChanges = map[string]func(*Wish){
	"kind":               func(w *Wish) { w.Kind = Client },
	"node name":          func(w *Wish) { w.NodeName = "worker-2" },
	"key algorithm":      func(w *Wish) { w.KeyAlgorithm = "rsa-2048" },
	"a DNS name more":    func(w *Wish) { w.DNSNames = append(slices.Clone(w.DNSNames), "a") },
	"a DNS name less":    func(w *Wish) { w.DNSNames = w.DNSNames[1:] },
	"an address more":    func(w *Wish) { w.IPAddresses = append(slices.Clone(w.IPAddresses), "192.0.2.11") },
	"an address less":    func(w *Wish) { w.IPAddresses = w.IPAddresses[1:] },
	"expiration seconds": func(w *Wish) { w.ExpirationSeconds = 7200 },
}

func TestTheNameFollowsFromKeyAndWishAndFromEachPartOfIt(t *testing.T) {
	key, err := NewKey("ecdsa-p256")
	must(t, err)
	first, err := nameOf(servingWish, key.Public())
	must(t, err)
	again, err := nameOf(servingWish, key.Public())
	must(t, err)
	if first != again || !strings.HasPrefix(first, "worker-1-kubelet-serving-") {
		t.Errorf("%s, then %s: expected the same readable name", first, again)
	}
	seen := map[string]string{first: "nothing"}
	for what, change := range wishChanges {
		wish := servingWish
		change(&wish)
		name, err := nameOf(wish, key.Public())
		must(t, err)
		if other, ok := seen[name]; ok {
			t.Errorf("%s and %s changed give the same name %s", what, other, name)
		}
		seen[name] = what
	}
	other, err := NewKey("ecdsa-p256")
	must(t, err)
	if name, err := nameOf(servingWish, other.Public()); err != nil || seen[name] != "" {
		t.Errorf("another key has the name %s (%v)", name, err)
	}
	if _, err := nameOf(servingWish, "no key"); err == nil {
		t.Error("no key has a name")
	}
}

// The API server takes any path segment as the name of a CertificateSigningRequest (pkg/apis/certificates/validation
// ValidateCertificateRequestName: "we don't care what you call your certificate requests"), of any length.
func TestTheNameIsOneThatTheAPIServerTakesHoweverLongTheNodesName(t *testing.T) {
	longest := strings.Repeat("a.", 126) + "z"
	for _, node := range []string{"a", "worker-1", "192.0.2.10", "ip-10-0-0-1.eu-central-1.compute.internal", longest} {
		if problems := validation.IsDNS1123Subdomain(node); len(problems) > 0 {
			t.Fatalf("%s is no node name: %v", node, problems)
		}
		wish := clientWish
		wish.NodeName = node
		p := newPending(t, wish)
		if problems := content.IsPathSegmentName(p.Name); len(problems) > 0 {
			t.Errorf("%s: %v", p.Name, problems)
		}
		if !strings.HasPrefix(p.Name, node+"-kubelet-client-") || len(p.Name) != len(node)+len("-kubelet-client-")+20 {
			t.Errorf("%s: expected the node, the kind and 20 digits", p.Name)
		}
		if problems := validation.IsDNS1123Subdomain(p.Name); len(problems) > 0 && len(p.Name) <= validation.DNS1123SubdomainMaxLength {
			t.Errorf("%s: %v", p.Name, problems)
		}
	}
}

func TestARequestCoversAWishThatAsksForNothingMore(t *testing.T) {
	for what, change := range wishChanges {
		wanted := servingWish
		change(&wanted)
		if covers := strings.HasSuffix(what, "less"); servingWish.Covers(wanted) != covers {
			t.Errorf("%s changed: covers %v, expected %v", what, !covers, covers)
		}
	}
	other := servingWish
	other.DNSNames, other.IPAddresses = slices.Clone(servingWish.DNSNames), slices.Clone(servingWish.IPAddresses)
	slices.Reverse(other.DNSNames)
	slices.Reverse(other.IPAddresses)
	if !servingWish.Covers(other) || !servingWish.Covers(servingWish) || !clientWish.Covers(clientWish) {
		t.Error("the same in another order is not covered")
	}
}
