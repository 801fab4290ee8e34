package join_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
)

func TestOnlyManifestsForKubectlArePrintedTogether(t *testing.T) {
	t.Parallel()
	for _, good := range [][]string{nil, {"secret", "rbac"}, {"rbac", "secret"}, {"secret"}, {"kubeconfig"}, {"user-data"}, {"token"}, {"static-token-line"}, {"ca-cert-hash"}} {
		if got, err := join.ParseOutputs(good); err != nil || len(got) != len(good) {
			t.Errorf("%q: %q, %v", good, got, err)
		}
	}
	for text, says := range map[string]string{
		"secret,kubeconfig": "kubeconfig is a file of its own", "token,secret": "token is a file", "user-data,rbac": "user-data is",
		"token,ca-cert-hash": "--token-file", "secret,secret": "twice", "secrets": "what can be is secret, kubeconfig,", "": "cannot be printed",
		token.ID + "." + token.Secret: "cannot be printed",
	} {
		_, err := join.ParseOutputs(strings.Split(text, ","))
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, expected %q", text, err, says)
			continue
		}
		silent(t, err, token.Secret)
	}
}

func TestEachOutputIsWhatItSaysAndEndsItsLine(t *testing.T) {
	t.Parallel()
	i := invitation(t, "system:bootstrappers:a")
	for _, o := range join.Outputs() {
		got, err := i.Print([]join.Output{o})
		must(t, err)
		if !strings.HasSuffix(got, "\n") || strings.Contains(got, token.Secret) != o.HasToken() {
			t.Errorf("%s: has the token: %v", o, !o.HasToken())
		}
		without := i
		without.Cluster = join.Cluster{}
		same, err := without.Print([]join.Output{o})
		if needs := o.NeedsServer() || o.NeedsCA(); (err == nil && same == got) == needs {
			t.Errorf("%s needs a cluster: %v; without one: %v", o, needs, err)
		}
	}
	both, err := i.Print([]join.Output{join.RBACManifests, join.Secret})
	must(t, err)
	manifests, secret := both[:strings.LastIndex(both, "---\n")], both[strings.LastIndex(both, "---\n")+4:]
	if secret != i.Secret() || len(bindingsIn(t, manifests)) != 3 {
		t.Errorf("joined:\n%s", both)
	}
}

func TestWithDiscoveryThereIsNeitherAKubeconfigNorAStaticToken(t *testing.T) {
	t.Parallel()
	i := invitation(t)
	i.Discovery = true
	for _, o := range join.Outputs() {
		_, err := i.Print([]join.Output{o})
		if refused := slices.Contains([]join.Output{join.Kubeconfig, join.StaticTokenLine}, o); refused != (err != nil) {
			t.Errorf("%s: %v", o, err)
		}
	}
}

func TestATokenIsConcealedWhereverItStands(t *testing.T) {
	t.Parallel()
	for _, around := range []string{"%", "--%", "x%x", "file %: no such file", "ABC%", "%\n%", "a.%.b"} {
		for _, secret := range []string{token.Secret, strings.ToUpper(token.Secret)} {
			text := strings.ReplaceAll(around, "%", token.ID+"."+secret)
			if got := join.Conceal(text); strings.Contains(got, secret) {
				t.Errorf("%q is left", around)
			}
		}
	}
	for _, plain := range []string{"out/secret.yaml", "ca.crt", "api.example.com", "/etc/kubernetes/bootstrap.kubeconfig", "node-1.internal.example.com"} {
		if join.Conceal(plain) != plain {
			t.Errorf("%s becomes %s", plain, join.Conceal(plain))
		}
	}
}
