package discovery

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// bundleCase is a bundle, and who of it is kept.
type bundleCase struct {
	name          string
	pinned        []party
	anchors       []party
	kept, dropped []party
}

func bundleCases() []bundleCase {
	ca, rogue, namesake := root("kubernetes"), root("rogue"), root("kubernetes")
	below := ca.signs("intermediate")
	belowThat := below.signs("issuing")
	next := root("kubernetes-2")
	expiredBelow, futureBelow := ca.signs("old", tooOld), ca.signs("young", tooYoung)
	short, shorter := root("short", pathLength(1)), root("shorter", pathLength(0))
	shortBelow := short.signs("short below")
	shortCross, shortOld := root("short"), root("short renewed", pathLength(0))
	named, usage := root("named", namesOnly), root("usage", serversOnly)
	limited := ca.signs("limited", namesOnly)
	forged := ca.signs("forged")
	forged.Certificate = broken(forged.Certificate)
	leaf, plain, silent := ca.signs("leaf", notCA), ca.signs("plain", noBasicConstraints), root("silent", mayNotSign)
	old := root("old root", tooOld)
	impostor := rogue.crossSigns(ca, "kubernetes")
	all := func(parties ...party) []party { return parties }
	return []bundleCase{
		{"the pinned root alone", all(ca), nil, all(ca), nil},
		{"a rogue CA beside the pinned one", all(ca), nil, all(ca), all(rogue)},
		{"a rogue CA of the same name", all(ca), nil, all(ca), all(namesake)},
		{"what a rogue CA has signed", all(ca), nil, all(ca), all(rogue, rogue.signs("intermediate"))},
		{"what a rogue CA of the same name has signed", all(ca), nil, all(ca), all(namesake.signs("intermediate"), namesake)},
		{"nothing is pinned", nil, nil, nil, all(ca, below)},
		{"an intermediate of the pinned root", all(ca), nil, all(ca, below), nil},
		{"an intermediate whose root is not in the bundle", all(ca), nil, nil, all(below)},
		{"an intermediate of an intermediate", all(ca), nil, all(ca, below, belowThat), all(rogue)},
		{"an intermediate whose own issuer is missing", all(ca), nil, all(ca), all(belowThat)},
		{"a pinned intermediate, and not what is above or beside it", all(below), nil, all(below, belowThat), all(ca, ca.signs("beside"))},
		{"two that are pinned", all(ca, next), nil, all(ca, next), all(rogue)},
		{"a renewed root with its old key", all(ca), nil, all(ca, ca.again()), nil},
		{"a new root that the pinned one has cross-signed", all(ca), nil, all(ca, ca.crossSigns(next, "kubernetes-2"), next), nil},
		{"and what the new root has signed", all(ca), nil, all(ca, ca.crossSigns(next, "kubernetes-2"), next, next.signs("below next")), nil},
		{"a new root that a rogue CA has cross-signed", all(ca), nil, all(ca), all(rogue, rogue.crossSigns(next, "kubernetes-2"), next)},
		{"the pinned key in a certificate of somebody else, who is not let in by it", all(ca), nil, all(ca, impostor), all(rogue)},
		{"a cross-signed key under another name", all(ca), nil, all(ca, ca.crossSigns(next, "kubernetes-2")), all(party{signed(template("other name"), nil, next.key, next.key), next.key})},
		{"a leaf of the pinned root", all(ca), nil, all(ca), all(leaf)},
		{"a leaf that is pinned itself, and cannot vouch for others", all(leaf), nil, all(leaf), all(ca, leaf.signs("below a leaf"))},
		{"a certificate without basic constraints", all(ca), nil, all(ca), all(plain)},
		{"what a certificate without basic constraints has signed", all(ca), nil, all(ca), all(plain, plain.signs("below plain"))},
		{"a root that may not sign", all(silent), nil, all(silent), all(silent.signs("below silent"))},
		{"an expired intermediate, and what is below", all(ca), nil, all(ca), all(expiredBelow, expiredBelow.signs("below old"))},
		{"an intermediate that is not valid yet", all(ca), nil, all(ca), all(futureBelow)},
		{"the key of an expired intermediate in a new certificate", all(ca), nil, all(ca), all(expiredBelow, expiredBelow.again())},
		{"an expired root that is pinned, and not what is below", all(old), nil, all(old), all(old.signs("below old root"))},
		{"the key of an expired root in a new certificate", all(old), nil, all(old, old.again()), nil},
		{"a path length of one", all(short), nil, all(short, shortBelow), all(shortBelow.signs("too deep"))},
		{"a path length of none", all(shorter), nil, all(shorter), all(shorter.signs("too deep"))},
		{"the next key, signed under the own name, does not lengthen a path", all(shorter), nil, all(shorter, shorter.signs("shorter", pathLength(0))), all(shorter.signs("too deep"))},
		{"an own new certificate does not lengthen a path", all(shorter), nil, all(shorter, shorter.again(pathLength(0))), all(shorter.signs("too deep"))},
		{"a path length of none in a cross-signature", all(ca), nil, all(ca, ca.crossSigns(shortCross, "short", pathLength(0)), shortCross), all(shortCross.signs("too deep"))},
		{"a renewed root may have a longer path", all(shortOld), nil, all(shortOld, party{signed(template("short renewed"), nil, shortOld.key, shortOld.key), shortOld.key}), nil},
		{"an intermediate with limits of its own", all(ca), nil, all(ca, limited), nil},
		{"the same key without the limits", all(ca), nil, all(ca, limited), all(limited.again())},
		{"an intermediate below one with limits, which would lose them", all(ca), nil, all(ca, limited), all(limited.signs("below limited"))},
		{"an intermediate below a root for some names", all(named), nil, all(named), all(named.signs("below named"))},
		{"an intermediate below a root for servers", all(usage), nil, all(usage), all(usage.signs("below usage"))},
		{"an intermediate whose signature is broken", all(ca), nil, all(ca), all(forged)},
		{"what an anchor has signed", nil, all(ca), all(below), all(rogue)},
		{"an anchor itself, in the bundle too", nil, all(ca), all(ca), all(rogue)},
		{"an anchor's key in a new certificate, and what that has signed", nil, all(ca), all(ca.again(), below), nil},
		{"an anchor's key without the anchor's limits", nil, all(named), nil, all(named.again())},
		{"an expired anchor vouches for nobody", nil, all(old), nil, all(old.signs("below old root"))},
	}
}

// broken is a certificate with one bit of its signature changed.
func broken(c *x509.Certificate) *x509.Certificate {
	raw := slices.Clone(c.Raw)
	raw[len(raw)-1] ^= 1
	parsed, err := x509.ParseCertificate(raw)
	if err != nil {
		panic(err)
	}
	return parsed
}

func TestOfABundleOnlyWhatIsPinnedOrChainsToThatIsKept(t *testing.T) {
	source := sample.Random(t)
	for _, c := range bundleCases() {
		for range 5 { // in any order, and with something twice
			bundle := bundleOf(append(slices.Clone(c.kept), c.dropped...)...)
			bundle = append(bundle, bundle[source.IntN(len(bundle))])
			source.Shuffle(len(bundle), func(i, j int) { bundle[i], bundle[j] = bundle[j], bundle[i] })
			kept, _ := Trusted(bundle, pinsOf(c.pinned...), bundleOf(c.anchors...), noon)
			if expected := onlyThese(bundle, bundleOf(c.kept...)); !slices.EqualFunc(kept, expected, (*x509.Certificate).Equal) {
				t.Errorf("%s: of %s %s are kept, expected %s", c.name, names(bundle), names(kept), names(expected))
			}
		}
	}
}

// onlyThese are the certificates of a bundle that are wanted, each where it stands first.
func onlyThese(bundle, wanted []*x509.Certificate) (found []*x509.Certificate) {
	for _, c := range bundle {
		if slices.ContainsFunc(wanted, c.Equal) && !slices.ContainsFunc(found, c.Equal) {
			found = append(found, c)
		}
	}
	return found
}

func names(certificates []*x509.Certificate) (names []string) {
	for _, c := range certificates {
		names = append(names, fmt.Sprintf("%s/%s (%s)", c.Issuer.CommonName, c.Subject.CommonName, PinOf(c)[7:11]))
	}
	return names
}

// TestWhateverIsKeptIsVouchedForByHand has bundles of CAs that sign each other at random, and a check that does not use crypto/x509's.
func TestWhateverIsKeptIsVouchedForByHand(t *testing.T) {
	source := sample.Random(t)
	total, dropped := 0, 0
	bundles := 60
	if os.Getenv("SOAK") != "" {
		bundles = 3000
	}
	for range bundles {
		bundle, pins := randomBundle(source)
		kept, rest := Trusted(bundle, pins, nil, noon)
		byHand := vouched(bundle, pins, noon)
		for _, c := range kept {
			if !slices.ContainsFunc(byHand, c.Equal) {
				t.Fatalf("of %s with the pins %v %s is kept", names(bundle), pins, names([]*x509.Certificate{c}))
			}
		}
		total, dropped = total+len(bundle), dropped+len(rest)
	}
	t.Logf("%d of %d certificates were dropped", dropped, total)
	if dropped == 0 || dropped == total {
		t.Error("all or none were dropped, so that this shows nothing")
	}
}

func randomBundle(source *rand.Rand) ([]*x509.Certificate, Pins) {
	parties := []party{root("0"), root("1"), root("2", tooOld)}
	changes := []change{notCA, tooOld, namesOnly, noBasicConstraints, pathLength(0), pathLength(1), mayNotSign, func(*x509.Certificate) {}, func(*x509.Certificate) {}}
	for i := range 3 + source.IntN(5) {
		issuer, how := parties[source.IntN(len(parties))], changes[source.IntN(len(changes))]
		switch source.IntN(4) {
		case 0:
			parties = append(parties, issuer.crossSigns(parties[source.IntN(len(parties))], fmt.Sprint(i%4), how))
		case 1:
			parties = append(parties, issuer.again(how))
		default:
			parties = append(parties, issuer.signs(fmt.Sprint(i+3), how))
		}
	}
	pins := pinsOf(parties[source.IntN(len(parties))])
	source.Shuffle(len(parties), func(i, j int) { parties[i], parties[j] = parties[j], parties[i] })
	return bundleOf(parties[:1+source.IntN(len(parties))]...), pins
}

func TestABundleIsReadAndWrittenAsItIs(t *testing.T) {
	ca, next := root("kubernetes"), root("next")
	bundle := EncodeBundle(bundleOf(ca, next))
	read, err := ParseBundle(bytes.Join([][]byte{[]byte("a word before\n"), bundle, []byte("and one behind\n")}, nil))
	must(t, err)
	if !bytes.Equal(EncodeBundle(read), bundle) {
		t.Error("what comes back is something else")
	}
	long := bytes.Repeat(EncodeBundle(bundleOf(ca)), mostCertificates)
	if read, err := ParseBundle(long); err != nil || len(read) != mostCertificates {
		t.Errorf("%d certificates of %d: %v", len(read), mostCertificates, err)
	}
	for name, c := range map[string]struct{ text, says string }{
		"nothing":            {"", "holds no certificate"},
		"words":              {"no certificate at all", "holds no certificate"},
		"a private key":      {"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + string(bundle), "something else than certificates"},
		"half a certificate": {"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n" + string(bundle), "cannot be read"},
		"one more than 64":   {string(long) + string(bundle), "more than 64 certificates"},
	} {
		if _, err := ParseBundle([]byte(c.text)); err == nil || !bytes.Contains([]byte(err.Error()), []byte(c.says)) {
			t.Errorf("%s: %v, expected %q", name, err, c.says)
		}
	}
}
