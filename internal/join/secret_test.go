package join_test

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	bootstrapsecretutil "k8s.io/cluster-bootstrap/util/secrets"
	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
)

func TestEachTokenIsAnotherOneOfTheWholeAlphabet(t *testing.T) {
	t.Parallel()
	seen, letters := map[discovery.Token]bool{}, map[rune]bool{}
	for range 500 {
		made, err := join.NewToken()
		must(t, err)
		if seen[made] || len(made.ID) != 6 || len(made.Secret) != 16 {
			t.Fatalf("made twice, or of a wrong length: ID %s", made.ID)
		}
		seen[made] = true
		for _, r := range made.ID + made.Secret {
			letters[r] = true
		}
	}
	for _, r := range "abcdefghijklmnopqrstuvwxyz0123456789" {
		if !letters[r] {
			t.Errorf("%c is in none of 500 tokens", r)
		}
		delete(letters, r)
	}
	if len(letters) > 0 {
		t.Errorf("characters that no token may have: %v", letters)
	}
}

// secretOf reads a manifest as the API server does, which turns stringData into data.
func secretOf(t *testing.T, manifest string) *corev1.Secret {
	t.Helper()
	var s corev1.Secret
	must(t, yaml.UnmarshalStrict([]byte(manifest), &s))
	s.Data = map[string][]byte{}
	for key, value := range s.StringData {
		s.Data[key] = []byte(value)
	}
	return &s
}

// The judges are those that the API server's own authenticator and kube-controller-manager use.
func TestKubernetesReadsTheSecretAsItIsMeant(t *testing.T) {
	t.Parallel()
	groups := []string{"system:bootstrappers:workers", "system:bootstrappers:kubeadm:default-node-token"}
	s := secretOf(t, invitation(t, groups...).Secret())
	if s.Type != corev1.SecretTypeBootstrapToken || s.Namespace != "kube-system" || s.Name != "bootstrap-token-"+token.ID {
		t.Errorf("it is a %s, %s/%s", s.Type, s.Namespace, s.Name)
	}
	if id, is := bootstrapsecretutil.ParseName(s.Name); !is || id != token.ID {
		t.Errorf("its name says the ID %q", id)
	}
	for key, want := range map[string]string{
		"token-id": token.ID, "token-secret": token.Secret, "usage-bootstrap-authentication": "true", "usage-bootstrap-signing": "true",
	} {
		if got := bootstrapsecretutil.GetData(s, key); got != want {
			t.Errorf("%s is not what it should be, but has %d bytes", key, len(got))
		}
	}
	got, err := bootstrapsecretutil.GetGroups(s)
	if want := append([]string{"system:bootstrappers"}, groups...); err != nil || !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
		t.Errorf("groups %q, %v", got, err)
	}
	if bootstrapsecretutil.HasExpired(s, now.Add(time.Hour-time.Second)) || !bootstrapsecretutil.HasExpired(s, now.Add(time.Hour+time.Second)) {
		t.Errorf("it ends at %s, expected %s", s.StringData["expiration"], now.Add(time.Hour))
	}
	if s.StringData["description"] == "" {
		t.Error("kubeadm token list would not say where it comes from")
	}
}

func TestWithoutFurtherGroupsTheTokenIsInTheOneOfAll(t *testing.T) {
	t.Parallel()
	s := secretOf(t, invitation(t).Secret())
	if got, err := bootstrapsecretutil.GetGroups(s); err != nil || !slices.Equal(got, []string{"system:bootstrappers"}) {
		t.Errorf("groups %q, %v", got, err)
	}
}

func TestTheEndIsWrittenInUTCWhereverTheAdminSits(t *testing.T) {
	t.Parallel()
	i := invitation(t)
	i.Until = i.Until.In(time.FixedZone("Kathmandu", 20700))
	if got := secretOf(t, i.Secret()).StringData["expiration"]; got != "2026-03-01T13:00:00Z" {
		t.Errorf("expiration is %q", got)
	}
}

// numberLike are tokens that YAML takes for something else unless they are quoted.
var numberLike = []discovery.Token{
	{ID: "123456", Secret: "1234567890123456"},
	{ID: "000000", Secret: "0000000000000000"},
	{ID: "123e45", Secret: "0x12345678901234"},
	{ID: "0x1234", Secret: "12345678901234e5"},
	{ID: "0o1234", Secret: "0b10101010101010"},
	{ID: "190001", Secret: "nullnullnullnull"},
}

func TestATokenThatLooksLikeANumberStaysAToken(t *testing.T) {
	t.Parallel()
	for _, like := range numberLike {
		i := invitation(t)
		i.Token = like
		s := secretOf(t, i.Secret())
		if s.StringData["token-id"] != like.ID || s.StringData["token-secret"] != like.Secret || s.Name != "bootstrap-token-"+like.ID {
			t.Errorf("%v became %v", like, s.StringData)
		}
		kubeconfig, err := i.Kubeconfig()
		must(t, err)
		expectLoads(t, i, kubeconfig)
		data := userDataOf(t, i)
		if !strings.Contains(data.content(t, "/etc/kubernetes/bootstrap.kubeconfig"), like.Secret) {
			t.Errorf("the user-data do not have %v", like)
		}
	}
}

// kube-apiserver reads the file with encoding/csv, and splits the fourth column at commas.
func TestTheLineForATokenFileNamesUserAndGroupsAsTheSecretDoes(t *testing.T) {
	t.Parallel()
	line := invitation(t, "system:bootstrappers:a", "system:bootstrappers:b").StaticTokenLine()
	rows, err := csv.NewReader(strings.NewReader(line)).ReadAll()
	user := "system:bootstrap:" + token.ID
	want := []string{token.ID + "." + token.Secret, user, user, "system:bootstrappers,system:bootstrappers:a,system:bootstrappers:b"}
	if err != nil || len(rows) != 1 || !slices.Equal(rows[0], want) || !strings.HasSuffix(line, "\n") {
		t.Errorf("%v, %d rows: %q", err, len(rows), line)
	}
}

func TestATokenHasALifeOfAMinuteAtLeast(t *testing.T) {
	t.Parallel()
	for ttl, says := range map[time.Duration]string{
		0: "without an end", -time.Hour: "in the past", time.Minute - 1: "give 1m0s at least", time.Nanosecond: "at least",
		time.Minute: "", 24 * time.Hour: "", 8760 * time.Hour: "",
	} {
		err := join.CheckTTL(ttl)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, expected %q", ttl, err, says)
		}
	}
	if join.Long(24*time.Hour) || !join.Long(24*time.Hour+1) {
		t.Error("more than a day is what is worth a word")
	}
}
