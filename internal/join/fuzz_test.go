package join_test

import (
	"bytes"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
)

// FuzzInvitation looks for a server, a name, groups and a token that are taken and make texts that say something else when they are read
// again, or whose error tells the token. The word TOKEN stands for a real one.
func FuzzInvitation(f *testing.F) {
	f.Add(server, "", "system:bootstrappers:a,system:bootstrappers:b", "TOKEN")
	f.Add("https://[2001:db8::1%25eth0]:6443/x", "kubernetes", "", "123456.1234567890123456")
	f.Add("https://a/\n      token: x", "a\n  b: c", "system:bootstrappers:a\n- kind: User", "TOKEN\n")
	f.Add("https://u:TOKEN@a", "TOKEN", "system:bootstrappers:TOKEN", "TOKEN.x")
	f.Add("https://\"#'{}<TOKEN><CA>", "192.0.2.1", "system:masters", "0x1234.0000000000000e10")
	f.Fuzz(func(t *testing.T, server, serverName, groups, tokenText string) {
		real := token.ID + "." + token.Secret
		with := strings.NewReplacer("TOKEN", real)
		i := invitation(t)
		i.Cluster.Server, i.Cluster.TLSServerName = with.Replace(server), with.Replace(serverName)
		read, err := discovery.ParseToken(with.Replace(tokenText))
		if err != nil {
			silent(t, err, token.Secret)
			return
		}
		i.Token = read
		if groups != "" {
			if i.Groups, err = join.CheckGroups(strings.Split(with.Replace(groups), ",")); err != nil {
				silent(t, err, token.Secret)
				return
			}
		}
		expectOnlyWhatWentIn(t, i)
		if err := i.Cluster.Check(); err != nil {
			silent(t, err, token.Secret)
			if text, err := i.UserData(); err == nil {
				t.Errorf("refused, and made all the same:\n%s", text)
			}
			return
		}
		text, err := i.Kubeconfig()
		must(t, err)
		expectLoads(t, i, text)
		if len(userDataOf(t, i).WriteFiles) != 1 {
			t.Errorf("the user-data write something else, too")
		}
		i.Discovery = true
		if settings, err := i.Config(); err == nil {
			expectFields(t, settings, "apiVersion", "kind", "discoveryTokenFile", "apiServers", "discoveryCACertHashes")
			if len(userDataOf(t, i).WriteFiles) != 2 {
				t.Errorf("the user-data with discovery write something else, too")
			}
		}
	})
}

// expectOnlyWhatWentIn reads the Secret, the RBAC and the static token again.
func expectOnlyWhatWentIn(t *testing.T, i join.Invitation) {
	t.Helper()
	s := secretOf(t, i.Secret())
	groups := strings.Join(i.Groups, ",")
	if s.StringData["token-id"] != i.Token.ID || s.StringData["token-secret"] != i.Token.Secret || s.StringData["auth-extra-groups"] != groups || s.Namespace != "kube-system" {
		t.Errorf("the Secret is another one: %d fields, groups %q", len(s.StringData), s.StringData["auth-extra-groups"])
	}
	manifests, err := join.RBAC(i.Groups)
	must(t, err)
	expected := 1 + 2*max(1, len(i.Groups))
	if got := bindingsIn(t, manifests); len(got) != expected {
		t.Errorf("%d bindings, expected %d", len(got), expected)
	}
	if line := i.StaticTokenLine(); strings.Count(line, "\n") != 1 || strings.Count(line, `"`) != 2 {
		t.Errorf("the line of the token file is not one")
	}
}

func expectFields(t *testing.T, text string, fields ...string) {
	t.Helper()
	var read map[string]any
	must(t, yaml.UnmarshalStrict([]byte(text), &read))
	for name := range read {
		if !slices.Contains(fields, name) {
			t.Errorf("%s has a field %q", text, name)
		}
	}
}

// FuzzAuthorities looks for a CA file that is taken though it holds something else than CAs that are valid, or whose error tells a piece
// of a key. The words CA, KEY and LEAF stand for real ones.
func FuzzAuthorities(f *testing.F) {
	_, key := theCA()
	for _, text := range []string{"CA", "CALEAF", "KEY", "CA\nKEY", "text\nCA\nCA", "-----BEGIN X-----\nKEY", "CA-----BEGIN CERTIFICATE-----\n", "\x30\x82CA"} {
		f.Add([]byte(text), int64(0))
	}
	f.Add([]byte("CA"), int64(time.Hour))
	other := leaf()
	f.Fuzz(func(t *testing.T, bundle []byte, later int64) {
		for word, block := range map[string][]byte{"CA": caPEM(), "KEY": key, "LEAF": other} {
			bundle = bytes.ReplaceAll(bundle, []byte(word+"\n"), block)
			if before, is := bytes.CutSuffix(bundle, []byte(word)); is {
				bundle = slices.Concat(before, block)
			}
		}
		at := now.Add(time.Duration(later))
		ca, _, err := join.Authorities(bundle, at)
		if err != nil {
			silent(t, err, string(key))
			return
		}
		again, _, err := join.Authorities(discovery.EncodeBundle(ca), at)
		if err != nil || len(again) != len(ca) || len(join.Hashes(ca)) > len(ca) {
			t.Errorf("%d CAs that are %d when they are read again: %v", len(ca), len(again), err)
		}
		for _, c := range ca {
			if at.After(c.NotAfter) || at.Before(c.NotBefore) || c.BasicConstraintsValid && !c.IsCA {
				t.Errorf("taken: %s", c.Subject)
			}
		}
		for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				t.Errorf("taken with a %s in it", block.Type)
			}
		}
	})
}
