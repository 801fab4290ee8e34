package discovery

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var followNoon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// ca is a certificate for a key of its own, or of another's, signed by somebody.
type ca struct {
	*x509.Certificate
	key crypto.Signer
}

func newCA(name string, key, signer crypto.Signer, issuer *x509.Certificate, change ...func(*x509.Certificate)) ca {
	if key == nil {
		_, key, _ = ed25519.GenerateKey(rand.Reader) // of crypto/rand, which does not fail
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: followNoon.AddDate(-1, 0, 0), NotAfter: followNoon.AddDate(10, 0, 0),
	}
	for _, c := range change {
		c(template)
	}
	if signer == nil {
		signer, issuer = key, template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), signer)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return ca{certificate, key}
}

func until(t time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotAfter = t }
}

// cas are those of one story: a cluster that goes from old to new, and what others would like to see there.
var cas = sync.OnceValue(func() map[string]ca {
	m := map[string]ca{}
	signedBy := func(name string, key crypto.Signer, by ca, change ...func(*x509.Certificate)) ca {
		return newCA(name, key, by.key, by.Certificate, change...)
	}
	m["old"] = newCA("old", nil, nil, nil)
	m["new"] = newCA("new", nil, nil, nil)
	m["cross"] = signedBy("new", m["new"].key, m["old"])
	m["back"] = signedBy("old", m["old"].key, m["new"])
	m["next"] = signedBy("next", nil, m["new"])
	m["rogue"] = newCA("rogue", nil, nil, nil)
	m["old again"] = newCA("old", m["old"].key, nil, nil, until(followNoon.AddDate(20, 0, 0)))
	m["forged old"] = signedBy("old", m["old"].key, m["rogue"], until(followNoon.AddDate(7000, 0, 0)))
	m["forged new"] = signedBy("new", m["new"].key, m["rogue"], until(followNoon.AddDate(7000, 0, 0)))
	m["expired"] = newCA("expired", nil, nil, nil, until(followNoon.Add(-time.Second)))
	m["expired again"] = newCA("expired", m["expired"].key, nil, nil)
	m["expired cross"] = signedBy("expired", m["expired"].key, m["old"], until(followNoon.Add(-time.Second)))
	m["leaf"] = signedBy("leaf", nil, m["old"], func(c *x509.Certificate) { c.IsCA, c.KeyUsage = false, x509.KeyUsageDigitalSignature })
	m["short"] = newCA("short", nil, nil, nil, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	m["below short"] = signedBy("below short", nil, m["short"])
	m["no signer"] = newCA("no signer", nil, nil, nil, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })
	m["below no signer"] = signedBy("below no signer", nil, m["no signer"])
	return m
})

func these(names string) (certificates []*x509.Certificate) {
	for name := range strings.SplitSeq(names, ", ") {
		if name != "" {
			certificates = append(certificates, cas()[name].Certificate)
		}
	}
	return certificates
}

func namesOf(certificates []*x509.Certificate) string {
	var names []string
	for _, c := range certificates {
		for name, one := range cas() {
			if one.Equal(c) {
				names = append(names, name)
			}
		}
	}
	return strings.Join(names, ", ")
}

func pinsFor(names string) (pins Pins) {
	for _, c := range these(names) {
		pins = append(pins, PinOf(c))
	}
	return pins
}

func TestWhatBecomesOfABundleByWhatAClusterSays(t *testing.T) {
	t.Parallel()
	now := followNoon
	for _, c := range []struct {
		name, inUse, offered, pinned string
		want, dropped                string
		now, there                   time.Time
	}{
		{name: "nothing new", inUse: "old", offered: "old", want: "old"},
		{name: "a new CA that is pinned", inUse: "old", offered: "old, new", pinned: "new", want: "old, new"},
		{name: "a new CA that is pinned, and the old one is not named any more", inUse: "old", offered: "new", pinned: "new", want: "old, new"},
		{name: "a new CA that nobody signed", inUse: "old", offered: "old, new", want: "old", dropped: "new"},
		{name: "a new CA that the old one has signed", inUse: "old", offered: "old, cross", want: "old, cross"},
		{name: "its root comes along with the cross-signed certificate of its key", inUse: "old", offered: "new, old, cross", want: "old, new, cross"},
		{name: "whom the new one has signed, together with it", inUse: "old", offered: "next, cross", want: "old, next, cross"},
		{name: "whom the new one has signed, when that is in use", inUse: "old, cross", offered: "next", want: "old, cross, next"},
		{name: "whom a CA has signed that is not in use and not named", inUse: "old", offered: "next", want: "old", dropped: "next"},
		{name: "a CA that somebody puts beside the pinned one", inUse: "old", offered: "rogue, new", pinned: "new", want: "old, new", dropped: "rogue"},
		{name: "a certificate of the key in use that the key has signed", inUse: "old", offered: "old again", want: "old, old again"},
		{name: "a certificate of the key in use that somebody else has signed", inUse: "old", offered: "forged old", want: "old", dropped: "forged old"},
		{name: "that, though the key is pinned", inUse: "old", offered: "forged old", pinned: "old", want: "old", dropped: "forged old"},
		{name: "two certificates of a pinned key, one of them somebody else's", inUse: "old", offered: "forged new, new", pinned: "new", want: "old, new", dropped: "forged new"},
		{name: "a pinned CA whose issuer is not known", inUse: "old", offered: "next", pinned: "next", want: "old, next"},
		{name: "a pinned CA that has expired", inUse: "old", offered: "expired", pinned: "expired", want: "old"},
		{name: "a cross-signed CA that has expired", inUse: "old", offered: "expired cross", want: "old"},
		{name: "a certificate that is no CA's", inUse: "old", offered: "leaf", want: "old", dropped: "leaf"},
		{name: "below a CA that may have none below it", inUse: "short", offered: "below short", want: "short", dropped: "below short"},
		{name: "below a CA that may sign none", inUse: "no signer", offered: "below no signer", want: "no signer", dropped: "below no signer"},
		{name: "one in use has expired", inUse: "expired, old", offered: "old", want: "old"},
		{name: "and was named again", inUse: "expired, old", offered: "old, expired", pinned: "expired", want: "old"},
		{name: "it has expired by our clock only", inUse: "expired, old", offered: "old", want: "expired, old", there: now.Add(-time.Hour)},
		{name: "it has expired by the API server's clock only", inUse: "expired, old", offered: "old", want: "expired, old", now: now.Add(-time.Hour)},
		{name: "the API server's clock is not known", inUse: "expired, old", offered: "old", want: "expired, old", there: time.Unix(0, 0)},
		{name: "all in use have expired", inUse: "expired", offered: "old", want: "expired", dropped: "old"},
		{name: "all in use have expired, and a pinned one is there", inUse: "expired", offered: "old", pinned: "old", want: "old"},
		{name: "a new certificate of a key whose old one has expired", inUse: "expired, old", offered: "expired again", want: "old", dropped: "expired again"},
		{name: "whom an expired one has signed", inUse: "old, new", offered: "cross", now: now.AddDate(11, 0, 0), want: "old, new"},
	} {
		if c.now.IsZero() {
			c.now = now
		}
		if c.there.IsZero() {
			c.there = now
		}
		m := Merge(these(c.inUse), these(c.offered), pinsFor(c.pinned), c.now, c.there)
		if namesOf(m.Bundle) != c.want || namesOf(m.Dropped) != c.dropped {
			t.Errorf("%s: %s becomes %q by %s, without %q; expected %q, without %q", c.name, c.inUse, namesOf(m.Bundle), c.offered, namesOf(m.Dropped), c.want, c.dropped)
		}
		assertMerged(t, these(c.inUse), m)
	}
}

// assertMerged shows that the parts of the result go together.
func assertMerged(t *testing.T, inUse []*x509.Certificate, m Merged) {
	t.Helper()
	if len(m.Bundle) == 0 {
		t.Error("nothing is trusted any more")
	}
	again := slices.Concat(without(inUse, func(c *x509.Certificate) bool { return slices.ContainsFunc(m.Removed, c.Equal) }), m.Added)
	if !slices.EqualFunc(m.Bundle, again, (*x509.Certificate).Equal) {
		t.Errorf("%d in use, %d added, %d removed make %d", len(inUse), len(m.Added), len(m.Removed), len(m.Bundle))
	}
	if same := SameBundle(m.Bundle, inUse); same != (len(m.Added)+len(m.Removed) == 0) {
		t.Errorf("the same bundle: %t, added %d, removed %d", same, len(m.Added), len(m.Removed))
	}
}

func TestABundleDoesNotGrowWithoutEnd(t *testing.T) {
	t.Parallel()
	inUse, old := these("old"), cas()["old"]
	full := false
	for round := range 4 {
		var offered []*x509.Certificate
		for i := range MostFollowed / 2 {
			offered = append(offered, newCA(fmt.Sprintf("ca-%d-%d", round, i), nil, old.key, old.Certificate).Certificate)
		}
		m := Merge(inUse, offered, nil, followNoon, followNoon)
		inUse, full = m.Bundle, m.Full
	}
	if len(inUse) != MostFollowed || !full || !inUse[0].Equal(old.Certificate) {
		t.Errorf("it holds %d certificates, and says that it is full: %t", len(inUse), full)
	}
}

// What an answer adds does not depend on the order in which it names it, and a second look at the same answer changes nothing.
func FuzzMerge(f *testing.F) {
	f.Add([]byte{0}, []byte{1, 2, 3}, []byte{1}, int64(0), int64(0))
	f.Add([]byte{0, 9}, []byte{7, 8, 5}, []byte{0, 1}, int64(3600), int64(-3600))
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range cas() {
			if !yield(name) {
				return
			}
		}
	})
	pick := func(indexes []byte) (some []*x509.Certificate) {
		for _, i := range indexes[:min(len(indexes), 12)] {
			some = append(some, cas()[names[int(i)%len(names)]].Certificate)
		}
		return some
	}
	f.Fuzz(func(t *testing.T, used, said, pinned []byte, seconds, skew int64) {
		inUse, offered := pick(used), pick(said)
		var pins Pins
		for _, c := range pick(pinned) {
			pins = append(pins, PinOf(c))
		}
		if len(inUse) == 0 {
			return
		}
		now := followNoon.Add(time.Duration(seconds%(20*365*86400)) * time.Second)
		there := now.Add(time.Duration(skew%86400) * time.Second)
		m := Merge(inUse, offered, pins, now, there)
		assertMerged(t, inUse, m)
		assertJustified(t, inUse, offered, pins, now, m)
		if again := Merge(m.Bundle, offered, pins, now, there); len(again.Added)+len(again.Removed) > 0 {
			t.Errorf("a second look adds %q and removes %q", namesOf(again.Added), namesOf(again.Removed))
		}
		turned := slices.Clone(offered)
		slices.Reverse(turned)
		if back := Merge(inUse, turned, pins, now, there); !SameBundle(back.Bundle, m.Bundle) {
			t.Errorf("%q of %q in one order, %q in the other", namesOf(m.Added), namesOf(offered), namesOf(back.Added))
		}
	})
}

// assertJustified judges what was added and removed by other means than Merge does.
func assertJustified(t *testing.T, inUse, offered []*x509.Certificate, pins Pins, now time.Time, m Merged) {
	t.Helper()
	for _, c := range m.Added {
		signed := slices.ContainsFunc(m.Bundle, func(by *x509.Certificate) bool {
			return (slices.ContainsFunc(inUse, by.Equal) || pins.Have(by) || !by.Equal(c)) && c.CheckSignatureFrom(by) == nil
		})
		if !slices.ContainsFunc(offered, c.Equal) || now.After(c.NotAfter) || !pins.Have(c) && !signed {
			t.Errorf("%q was added", namesOf([]*x509.Certificate{c}))
		}
		if name := namesOf([]*x509.Certificate{c}); (name == "rogue" || strings.HasPrefix(name, "forged")) && !pins.Have(c) &&
			!slices.ContainsFunc(inUse, func(by *x509.Certificate) bool { return PinOf(by) == PinOf(cas()["rogue"].Certificate) }) && !pins.Have(cas()["rogue"].Certificate) {
			t.Errorf("%q was added, and nobody stands for it", name)
		}
	}
	for _, c := range m.Removed {
		if !now.After(c.NotAfter) {
			t.Errorf("%q was removed before it has expired", namesOf([]*x509.Certificate{c}))
		}
	}
}
