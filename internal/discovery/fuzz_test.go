package discovery

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// fuzzBundles are made once: what is found must mean the same in the next run, so that their keys' hashes are no part of an input.
var fuzzBundles = sync.OnceValue(func() (all []bundleCase) { return bundleCases() })

// FuzzClusterInfo looks for a ConfigMap that panics, that is believed though the token has not signed it, or whose judgement keeps a CA that
// nobody with a pinned key has to do with, or a server that is not https.
func FuzzClusterInfo(f *testing.F) {
	ca, rogue := root("kubernetes"), root("rogue")
	bundle := EncodeBundle(bundleOf(ca, rogue, ca.signs("below")))
	pins := pinsOf(ca)
	marked := base64.StdEncoding.EncodeToString(bundle)
	token := Token{"abcdef", "s3cr3ts3cr3ts3cr"}
	good := strings.Replace(clusterInfo(theServer, bundle), marked, "BUNDLE", 1)
	f.Add(good, true, "")
	f.Add(strings.Replace(good, `name: ""`, "name: x", 1)+"\ncontexts: [{name: y, context: {cluster: x}}]", true, "jws")
	f.Add(strings.Replace(good, "https://", "http://", 1), true, "")
	f.Add(strings.Replace(good, "https://", "https://a:b@", 1), true, "")
	f.Add(strings.Replace(good, "BUNDLE", base64.StdEncoding.EncodeToString(EncodeBundle(bundleOf(rogue))), 1), false, "a..b")
	f.Add(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"","cluster":{"server":"https://a","certificate-authority-data":"BUNDLE"}},{"name":"","cluster":null}]}`, true, "")
	f.Add("a: &a [*a,*a]\nclusters: null\ncontexts: [null]\ncurrent-context: x", true, "")
	f.Add("clusters:\n- cluster: ~\n  name: \"\"\ncontexts:\n- context: ~\n  name: x\ncurrent-context: x\napiVersion: v1\nkind: Config\n", true, "")
	f.Fuzz(func(t *testing.T, text string, signs bool, signature string) {
		text = strings.ReplaceAll(text, "BUNDLE", marked) // mutated base64 would never be a certificate
		info := apiserver.ClusterInfo{Kubeconfig: text, Signatures: map[string]string{token.ID: signature}}
		if right := handSignature(token.ID, token.Secret, text); signs {
			info.Signatures[token.ID] = right
		} else if signature == right {
			t.Skip()
		}
		if err := (Wish{Token: token}).signed(theServer, info); (err == nil) != signs {
			t.Fatalf("signed: %t, and %v", signs, err)
		}
		begin := time.Now()
		is, err := clusterOf(text, pins, noon)
		if took := time.Since(begin); took > 20*time.Second {
			t.Fatalf("it took %s", took)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Remedy == "" {
				t.Fatalf("%v", err)
			}
			return
		}
		kept, err := ParseBundle(is.endpoint.CA)
		must(t, err)
		byHand := vouched(append(slices.Clone(kept), ca.Certificate), pins, noon)
		for _, c := range kept {
			if !slices.ContainsFunc(byHand, c.Equal) {
				t.Fatalf("%s is kept", c.Subject)
			}
		}
		if e := is.endpoint; !strings.HasPrefix(strings.ToLower(e.Server), "https://") || strings.Contains(e.Server, "@") && apiserver.CheckServer(e.Server) != nil || e.ProxyURL != "" || e.TLSServerName != "" {
			t.Fatalf("it leads to %q", e.Server)
		}
	})
}

// FuzzSignature looks for a signature that is believed and is not the one that is made by hand.
func FuzzSignature(f *testing.F) {
	f.Add("joshua", vectorSecret, vectorContent, vector)
	f.Add("joshua", vectorSecret, "", vectorEmpty)
	f.Add("", "", "", "..")
	f.Add("\xff\"", "\x00", "<&>", "eyJhbGciOiJub25lIn0..")
	f.Fuzz(func(t *testing.T, id, secret, content, signature string) {
		plain := !strings.ContainsFunc(id, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
		right := handSignature(id, secret, content)
		if err := signedBy(id, secret, content, signature); err == nil && plain && signature != right {
			t.Fatalf("%q is taken for %q", signature, right)
		} else if err != nil && secret != "" && len(secret) > 8 && !strings.Contains(id, secret) && strings.Contains(err.Error()+err.Remedy, secret) {
			t.Fatal("the secret is said")
		}
		if err := signedBy(id, secret, content, right); plain && err != nil {
			t.Fatalf("the right one is refused: %v", err)
		}
	})
}

// FuzzPins looks for text that is taken for a pin and is none, and for two texts of one pin.
func FuzzPins(f *testing.F) {
	f.Add("sha256:" + pinnedHash)
	f.Add("sha256:" + strings.ToUpper(pinnedHash))
	f.Add("sha256:" + pinnedHash + " ")
	f.Add("SHA256:" + pinnedHash)
	f.Fuzz(func(t *testing.T, text string) {
		pins, err := ParsePins([]string{text})
		digits, prefixed := strings.CutPrefix(text, "sha256:")
		isHex := len(digits) == 64 && strings.Trim(strings.ToLower(digits), "0123456789abcdef") == "" && len(strings.ToLower(digits)) == 64
		if (err == nil) != (prefixed && isHex) {
			t.Fatalf("%q: %v, %v", text, pins, err)
		}
		if err == nil && (len(pins) != 1 || string(pins[0]) != strings.ToLower(text)) {
			t.Fatalf("%q is %q", text, pins)
		}
	})
}

// FuzzToken looks for text that is taken for a token and is none, and for an error that quotes it.
func FuzzToken(f *testing.F) {
	f.Add("abcdef.0123456789abcdef\n")
	f.Add("abcdef.0123456789abcde\x00")
	f.Add("\u2028abcdef.0123456789abcdef")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		alphabet := func(s string) bool { return strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == "" }
		trimmed := strings.TrimSpace(text)
		good := len(trimmed) == 23 && trimmed[6] == '.' && alphabet(trimmed[:6]) && alphabet(trimmed[7:])
		if (err == nil) != good || good && token.ID+"."+token.Secret != trimmed {
			t.Fatalf("%q: %v, %v", text, token, err)
		}
		if err != nil && len(trimmed) > 16 && strings.Contains(err.Error(), trimmed) {
			t.Fatal("the error quotes it")
		}
	})
}

// FuzzBundle looks for a bundle that panics, or of which a certificate is kept that no pinned key vouches for. The choice says which bundle
// of the tests' is taken, cut and stirred; text is what stands before.
func FuzzBundle(f *testing.F) {
	for i := range fuzzBundles() {
		f.Add(uint8(i), []byte{1, 2, 3}, "", uint16(0), byte(0))
	}
	f.Add(uint8(1), []byte{}, pinnedPEM, uint16(300), byte(1))
	f.Fuzz(func(t *testing.T, choice uint8, order []byte, text string, at uint16, flip byte) {
		all := fuzzBundles()
		c := all[int(choice)%len(all)]
		bundle := bundleOf(append(slices.Clone(c.kept), c.dropped...)...)
		for i, by := range order {
			i, j := i%len(bundle), int(by)%len(bundle)
			bundle[i], bundle[j] = bundle[j], bundle[i]
		}
		raw := []byte(text)
		for _, certificate := range bundle {
			der := slices.Clone(certificate.Raw)
			if int(at) < len(der) {
				der[at] ^= flip // past the PEM, which would only break its base64
			}
			raw = append(raw, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
		}
		read, err := ParseBundle(raw)
		if err != nil {
			return
		}
		pins := pinsOf(c.pinned...)
		kept, dropped := Trusted(read, pins, bundleOf(c.anchors...), noon)
		trusted := vouched(append(bundleOf(c.anchors...), read...), append(slices.Clone(pins), pinsOf(c.anchors...)...), noon)
		for _, k := range kept {
			if !slices.ContainsFunc(trusted, k.Equal) {
				t.Fatalf("%s: of %s %s is kept", c.name, names(read), k.Subject)
			}
		}
		if again, err := ParseBundle(EncodeBundle(kept)); len(kept) > 0 && (err != nil || len(again) != len(kept)) {
			t.Fatalf("what is kept cannot be read again: %v", err)
		}
		if len(kept)+len(dropped) > len(read) || bytes.Contains(EncodeBundle(kept), []byte("PRIVATE")) {
			t.Fatal("more comes out than went in")
		}
	})
}
