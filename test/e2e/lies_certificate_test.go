package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// forgery is a certificate that is not what was asked for.
type forgery struct {
	name  string
	twist func(*issue)
	says  string
	// of is the only certificate that it makes sense for; both if it is not said.
	of csr.Kind
	// lasts: it is kept, for its time will come.
	lasts bool
}

// certificateLies are all forgeries, of both certificates.
func certificateLies(t *testing.T) []lie {
	var all []lie
	for _, f := range slices.Concat(wrongKeys(t), wrongSubjects(), wrongPurposes(), wrongTimes(), wrongTexts(t)) {
		for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
			if f.of != "" && f.of != kind {
				continue
			}
			all = append(all, lie{name: string(kind) + ", " + f.name, about: kind, says: f.says, lasts: f.lasts, tell: func(v *lied) {
				v.tell(func(i *issue) {
					if i.kind == kind {
						f.twist(i)
					}
				}, nil)
			}})
		}
	}
	return all
}

func wrongKeys(t *testing.T) []forgery {
	t.Helper()
	const says = "for another key than ours"
	key := func(public any, err error) func(*issue) {
		must(t, err)
		return func(i *issue) { i.key = public }
	}
	onCurve := func(curve elliptic.Curve) func(*issue) {
		private, err := ecdsa.GenerateKey(curve, rand.Reader)
		return key(private.Public(), err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	ed, _, edErr := ed25519.GenerateKey(rand.Reader)
	huge := new(big.Int).SetBit(big.NewInt(1), 16383, 1) // as good a modulus as any for who has no use for it
	return []forgery{
		{name: "another key", twist: onCurve(elliptic.P256()), says: says},
		{name: "a key on P-224", twist: onCurve(elliptic.P224()), says: says},
		{name: "a key on P-521", twist: onCurve(elliptic.P521()), says: says},
		{name: "an Ed25519 key", twist: key(ed, edErr), says: says},
		{name: "an RSA key of 1024 bits", twist: key(small.Public(), err), says: says},
		{name: "an RSA key of 16384 bits", twist: key(&rsa.PublicKey{N: huge, E: 65537}, nil), says: says},
	}
}

func wrongSubjects() []forgery {
	subject := func(change func(*pkix.Name)) func(*issue) { return func(i *issue) { change(&i.template.Subject) } }
	name := func(change func(string) string) func(*issue) {
		return subject(func(n *pkix.Name) { n.CommonName = change(n.CommonName) })
	}
	organizations := func(all ...string) func(*issue) { return subject(func(n *pkix.Name) { n.Organization = all }) }
	attribute := func(id asn1.ObjectIdentifier, value string) func(*issue) {
		return subject(func(n *pkix.Name) {
			n.ExtraNames = append(n.ExtraNames, pkix.AttributeTypeAndValue{Type: id, Value: value})
		})
	}
	const says = "asked was"
	return []forgery{
		{name: "another node", twist: name(func(string) string { return "system:node:another" }), says: says},
		{name: "an administrator", twist: name(func(string) string { return "kubernetes-admin" }), says: says},
		{name: "nobody", twist: subject(func(n *pkix.Name) { *n = pkix.Name{} }), says: says},
		{name: "the name in capitals", twist: name(func(n string) string { return "SYSTEM" + n[len("system"):] }), says: says},
		{name: "the name and a space", twist: name(func(n string) string { return n + " " }), says: says},
		{name: "the name and a zero byte", twist: name(func(n string) string { return n + "\x00" }), says: says},
		{name: "the name and a line", twist: name(func(n string) string { return n + "\n" }), says: says},
		{name: "a name that looks like it", twist: name(func(n string) string { return "ѕystem" + n[len("system"):] }), says: says},
		{name: "a second name", twist: attribute(asn1.ObjectIdentifier{2, 5, 4, 3}, "system:node:another"), says: says},
		{name: "no organization", twist: organizations(), says: says},
		{name: "another organization", twist: organizations("system:masters"), says: says},
		{name: "an organization more", twist: organizations(csr.NodesGroup, "system:masters"), says: says},
		{name: "an organization before", twist: organizations("system:masters", csr.NodesGroup), says: says},
		{name: "the organization twice", twist: organizations(csr.NodesGroup, csr.NodesGroup), says: says},
		{name: "a megabyte of a name", twist: name(func(n string) string { return n + string(bytes.Repeat([]byte("a"), 1<<20)) }), says: "reason=bad-answer"},
	}
}

func wrongPurposes() []forgery {
	usage := func(usages ...x509.ExtKeyUsage) func(*issue) {
		return func(i *issue) { i.template.ExtKeyUsage = usages }
	}
	const says = "may not be used for what was asked"
	return []forgery{
		{name: "no usage", twist: usage(), says: says},
		{name: "any usage", twist: usage(x509.ExtKeyUsageAny), says: says},
		{name: "the other's usage", twist: func(i *issue) {
			other := map[csr.Kind]x509.ExtKeyUsage{csr.Client: x509.ExtKeyUsageServerAuth, csr.Serving: x509.ExtKeyUsageClientAuth}
			i.template.ExtKeyUsage = []x509.ExtKeyUsage{other[i.kind]}
		}, says: says},
		{name: "a usage for mail", twist: usage(x509.ExtKeyUsageEmailProtection), says: says},
		{name: "no key usage", twist: func(i *issue) { i.template.KeyUsage = 0 }, says: says},
		{name: "a key that may not sign", twist: func(i *issue) { i.template.KeyUsage = x509.KeyUsageKeyAgreement }, says: says},
		{name: "a CA", twist: func(i *issue) { i.template.IsCA, i.template.BasicConstraintsValid = true, true }, says: "is a CA's"},
		{name: "a critical extension that nobody knows", twist: func(i *issue) {
			i.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
		}, says: "critical extension"},
		{name: "an extension of half a megabyte", twist: func(i *issue) {
			i.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: make([]byte, 512<<10)}}
		}, says: "reason=bad-answer"},
		{name: "no DNS name", of: csr.Serving, twist: func(i *issue) { i.template.DNSNames = nil }, says: "asked were"},
		{name: "another DNS name", of: csr.Serving, twist: func(i *issue) { i.template.DNSNames = []string{"another"} }, says: "asked were"},
		{name: "a wildcard for the DNS name", of: csr.Serving, twist: func(i *issue) { i.template.DNSNames = []string{"*"} }, says: "asked were"},
		{name: "no address", of: csr.Serving, twist: func(i *issue) { i.template.IPAddresses = nil }, says: "asked were"},
	}
}

func wrongTimes() []forgery {
	window := func(from, until time.Duration) func(*issue) {
		return func(i *issue) {
			now := i.template.NotBefore
			i.template.NotBefore, i.template.NotAfter = now.Add(from), now.Add(until)
		}
	}
	const day = 24 * time.Hour
	return []forgery{
		{name: "not yet valid", twist: window(30*day, 60*day), says: "is valid from", lasts: true},
		{name: "not valid for a thousand years", twist: func(i *issue) {
			i.template.NotBefore, i.template.NotAfter = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(3001, 1, 1, 0, 0, 0, 0, time.UTC)
		}, says: "is valid from", lasts: true},
		{name: "expired", twist: window(-60*day, -30*day), says: "was valid until"},
		{name: "expired before it began", twist: window(60*day, -30*day), says: "reason=Expired"},
		{name: "of the last century", twist: func(i *issue) {
			i.template.NotBefore, i.template.NotAfter = time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
		}, says: "was valid until"},
	}
}

// wrongTexts are certificates that are as they should be, in a text that is not.
func wrongTexts(t *testing.T) []forgery {
	t.Helper()
	text := func(change func(good []byte) []byte) func(*issue) { return func(i *issue) { i.text = change } }
	block := func(change func(*pem.Block)) func(*issue) {
		return text(func(good []byte) []byte {
			block, _ := pem.Decode(good)
			change(block)
			return pem.EncodeToMemory(block)
		})
	}
	other := anotherLeaf(t)
	withHeader := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"Comment": "not this one"}, Bytes: other})
	const no = "is no PEM certificate"
	return []forgery{
		{name: "garbage", twist: text(func([]byte) []byte { return []byte("good morning") }), says: no},
		{name: "a zero byte", twist: text(func([]byte) []byte { return []byte{0} }), says: no},
		{name: "DER", twist: text(func(good []byte) []byte { block, _ := pem.Decode(good); return block.Bytes }), says: no},
		{name: "half of it", twist: text(func(good []byte) []byte { return good[:len(good)/2] }), says: no},
		{name: "another type of PEM", twist: block(func(b *pem.Block) { b.Type = "TRUSTED CERTIFICATE" }), says: no},
		{name: "a key for the certificate", twist: block(func(b *pem.Block) { b.Type = "PRIVATE KEY" }), says: no},
		{name: "a byte changed in its beginning", twist: block(func(b *pem.Block) { b.Bytes[0] ^= 1 }), says: no},
		{name: "a negative serial number", twist: block(func(b *pem.Block) { negate(b.Bytes) }), says: no},
		{name: "something behind it that is none", twist: text(func(good []byte) []byte { return append(good, pemOf([]byte("none"))...) }), says: no},
		{name: "a key behind it", twist: text(func(good []byte) []byte {
			return append(good, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("none")})...)
		}), says: no},
		{name: "another one with a header before it", twist: text(func(good []byte) []byte { return append(slices.Clone(withHeader), good...) }), says: no},
		{name: "two in one block", twist: block(func(b *pem.Block) { b.Bytes = append(b.Bytes, b.Bytes...) }), says: no},
		{name: "a header of its own", twist: block(func(b *pem.Block) { b.Headers = map[string]string{"A": "b"} }), says: no},
		{name: "the issuer before it", twist: text(func(good []byte) []byte { return append(pemOf(other), good...) }), says: "for another key than ours"},
		{name: "a chain of a thousand", twist: text(func(good []byte) []byte { return bytes.Repeat(good, 1000) }), says: "reason=bad-answer"},
		{name: "20 MB", twist: text(func(good []byte) []byte { return append(good, make([]byte, 20<<20)...) }), says: "reason=bad-answer"},
		{name: "an approval without a certificate", twist: text(func([]byte) []byte { return nil }), says: "approved and not issued yet"},
	}
}

// anotherLeaf is a certificate of somebody else.
func anotherLeaf(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "another"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	return der
}

// negate makes the serial number of a certificate negative: the first INTEGER behind the version.
func negate(der []byte) {
	at := bytes.Index(der, []byte{0xa0, 3, 2, 1, 2, 2}) + 6 // version 3, and the tag of an INTEGER
	der[at+1] |= 0x80
}

// harmless are certificates with more than what was asked for; nothing of it is the node's to judge.
var harmless = []forgery{
	{name: "a usage more", twist: func(i *issue) {
		i.template.ExtKeyUsage = append(i.template.ExtKeyUsage, x509.ExtKeyUsageAny, x509.ExtKeyUsageCodeSigning)
	}},
	{name: "more names", twist: func(i *issue) { i.template.DNSNames = append(i.template.DNSNames, "more.example.com") }},
	{name: "an extension that nobody needs to know", twist: func(i *issue) {
		i.template.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Value: make([]byte, 32<<10)}}
	}},
	{name: "comments around it", twist: func(i *issue) {
		i.text = func(good []byte) []byte { return slices.Concat([]byte("# the leaf\n"), good, []byte("\n# the end\n")) }
	}},
	{name: "itself in the chain", twist: func(i *issue) { i.text = func(good []byte) []byte { return bytes.Repeat(good, 20) } }},
	{name: "a life until the year 9999", twist: func(i *issue) {
		i.template.NotAfter = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	}},
}

func TestMoreThanWhatWasAskedForDoesNotStopANode(t *testing.T) {
	t.Parallel()
	for _, f := range harmless {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			v := newLied(t, lie{tell: func(v *lied) { v.tell(f.twist, nil) }}, newLiar(t, nil, nil))
			v.start()
			v.awaitTruth()
		})
	}
}
