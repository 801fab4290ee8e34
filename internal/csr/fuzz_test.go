package csr

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzDamagedPending looks for damage that makes a pending file another request, or a certificate that it never held.
func FuzzDamagedPending(f *testing.F) {
	f.Add(uint8(0), uint16(0), uint16(0), []byte(""))
	f.Add(uint8(0), uint16(100), uint16(1), []byte("A"))
	f.Add(uint8(0), uint16(900), uint16(0), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Add(uint8(1), uint16(900), uint16(400), []byte("\n"))
	f.Add(uint8(2), uint16(700), uint16(3000), []byte(""))
	f.Add(uint8(3), uint16(0), uint16(600), []byte("\x00\x00"))
	for at := uint16(0); at < 3000; at += 45 { // in every line of the file
		f.Add(uint8(0), at, uint16(1), []byte("A"))
	}
	var p, other *Pending
	f.Fuzz(func(t *testing.T, how uint8, at, size uint16, with []byte) {
		if p == nil {
			p, other = fullPending(t), fullPending(t)
		}
		file, others := encode(t, p), encode(t, other)
		from, to := int(at)%len(file), min(int(at)%len(file)+int(size), len(file))
		switch how % 4 {
		case 1: // a piece of another request in its place
			with = append(with, others[min(from, len(others)):min(to, len(others))]...)
		case 2: // cut off
			to = len(file)
		case 3: // a piece of its own, once more
			with = append(slices.Clone(file[from:to]), with...)
			to = from
		}
		damaged := slices.Concat(file[:from], with, file[to:])
		again, err := DecodePending(damaged)
		if err == nil && reflect.DeepEqual(again, other) {
			return // all of it was replaced
		}
		expectSameOrNothing(t, "damaged", damaged, p)
	})
}

// FuzzPendingFields looks for a request that its file does not give back.
func FuzzPendingFields(f *testing.F) {
	f.Add("worker-1", "settings", "uid", "Policy", "no; \"really\"\n", int32(3600), int64(0), 3, "worker-1,worker-1.example.com")
	f.Add("ü", "\u2028<&>", "-----BEGIN CERTIFICATE-----", "\x00", "-----END BOOTSTRAP AGENT STATE-----\n", int32(-1), int64(1<<40), -1, ",")
	f.Add("", "", "", "", "", int32(0), int64(-1<<36), 0, "")
	f.Fuzz(func(t *testing.T, node, settings, uid, reason, message string, seconds int32, unix int64, key int, names string) {
		for _, text := range []string{node, settings, uid, reason, message, names} {
			if strings.ToValidUTF8(text, "") != text { // the API server's words are JSON, and the node's name is checked
				return
			}
		}
		wish := Wish{Kind: Serving, NodeName: node, KeyAlgorithm: "ecdsa-p256", ExpirationSeconds: seconds, DNSNames: strings.Split(names, ",")}
		p, err := New(wish, endpoint)
		if err != nil {
			return // no request can say that
		}
		at := time.Unix(unix%(1<<37), 0).UTC()
		p.Settings, p.UID, p.Accepted, p.Key, p.GivenUp = settings, uid, at, key, at
		p.Ended = &Ended{Outcome: Failed, Reason: reason, Message: message, At: at}
		file, err := p.Encode()
		if err != nil {
			if at.Year() >= 0 && at.Year() <= 9999 {
				t.Errorf("cannot be written: %v", err)
			}
			return
		}
		again, err := DecodePending(file)
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("read again it is another one: %v\n%+v\n%+v", err, again, p)
		}
	})
}

// deviations are the ways in which an issued certificate can differ from what was asked for, which is the first of each.
var deviations = []struct {
	of     string
	number int
	good   int // how many of them, from the first, may be used
}{
	{"key", 3, 1}, {"common name", 5, 1}, {"organization", 6, 1}, {"usage", 6, 2}, {"key usage", 4, 2}, {"CA", 2, 1}, {"DNS names", 5, 2}, {"addresses", 5, 2}, {"validity", 3, 3},
}

// FuzzIssuedCertificate looks for a certificate that is taken though it is not for our key, subject, use and names, or refused
// though it is. One byte chooses each deviation.
func FuzzIssuedCertificate(f *testing.F) {
	f.Add(false, []byte{})
	f.Add(true, []byte{})
	for i, d := range deviations {
		for n := range d.number {
			recipe := make([]byte, len(deviations))
			recipe[i] = byte(n)
			f.Add(n%2 == 0, recipe)
			f.Add(n%2 == 1, recipe)
		}
	}
	var keys [2]*Pending
	f.Fuzz(func(t *testing.T, serving bool, recipe []byte) {
		if keys[0] == nil {
			keys = [2]*Pending{newPending(t, clientWish), newPending(t, servingWish)}
		}
		p, other := *keys[0], keys[1]
		if serving {
			p, other = *keys[1], keys[0]
		}
		choice, good := make([]int, len(deviations)), true
		for i, d := range deviations {
			if i < len(recipe) {
				choice[i] = int(recipe[i]) % d.number
			}
			names := d.of == "DNS names" || d.of == "addresses"
			good = good && (choice[i] < d.good || names && !serving) // nobody asked for names of a client
		}
		otherKey, err := other.PublicKey()
		must(t, err)
		p.CertificatePEM = theSigner().issue(t, &p, func(c *x509.Certificate) { deviate(c, choice, otherKey, serving) })
		if len(recipe) > len(deviations) { // a chain behind it, whoever's
			p.CertificatePEM = append(p.CertificatePEM, theSigner().issue(t, other, nil)...)
		}
		leaf, err := p.Check()
		if (err == nil) != good {
			t.Errorf("deviations %v of a certificate for servers %v: %v", choice, serving, err)
		}
		if err == nil {
			expectOurs(t, &p, leaf)
		}
	})
}

func deviate(c *x509.Certificate, choice []int, otherKey crypto.PublicKey, serving bool) {
	wanted, unwanted := x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	if serving {
		wanted, unwanted = unwanted, wanted
	}
	switch choice[0] {
	case 1:
		c.PublicKey = otherKey
	case 2:
		c.PublicKey = theSigner().key.Public()
	}
	c.Subject.CommonName = []string{c.Subject.CommonName, "system:node:worker-2", "", "system:node:worker-1 ", "system:node:Worker-1"}[choice[1]]
	c.Subject.Organization = [][]string{{NodesGroup}, {"system:masters"}, nil, {NodesGroup, "system:masters"}, {"system:masters", NodesGroup}, {NodesGroup, NodesGroup}}[choice[2]]
	c.ExtKeyUsage = [][]x509.ExtKeyUsage{{wanted}, {unwanted, wanted}, {unwanted}, nil, {x509.ExtKeyUsageAny}, {x509.ExtKeyUsageCodeSigning}}[choice[3]]
	c.KeyUsage = []x509.KeyUsage{x509.KeyUsageDigitalSignature, x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, x509.KeyUsageKeyEncipherment, 0}[choice[4]]
	if c.IsCA = choice[5] == 1; c.IsCA {
		c.KeyUsage |= x509.KeyUsageCertSign
	}
	more, less := append(slices.Clone(c.DNSNames), "more.example.com"), []string{"worker-1"}
	c.DNSNames = [][]string{c.DNSNames, more, less, nil, {"*.example.com", "worker-1"}}[choice[6]]
	c.IPAddresses = [][]net.IP{c.IPAddresses, append(slices.Clone(c.IPAddresses), ips("192.0.2.99")...), ips("192.0.2.10"), nil, ips("::ffff:192.0.2.11", "2001:db8::10")}[choice[7]]
	switch choice[8] { // judged by Window, and by the clock of the API server
	case 1:
		c.NotBefore, c.NotAfter = noon.AddDate(-2, 0, 0), noon.AddDate(-1, 0, 0)
	case 2:
		c.NotBefore, c.NotAfter = noon.AddDate(1, 0, 0), noon.AddDate(2, 0, 0)
	}
}

// expectOurs looks at a certificate that was taken, in other words than Check.
func expectOurs(t *testing.T, p *Pending, leaf *x509.Certificate) {
	t.Helper()
	block, _ := pem.Decode(p.RequestPEM)
	request, err := x509.ParseCertificateRequest(block.Bytes)
	must(t, err)
	missing := slices.ContainsFunc(request.DNSNames, func(name string) bool { return !slices.Contains(leaf.DNSNames, name) })
	for _, ip := range request.IPAddresses {
		missing = missing || !slices.ContainsFunc(leaf.IPAddresses, ip.Equal)
	}
	if string(leaf.RawSubjectPublicKeyInfo) != string(request.RawSubjectPublicKeyInfo) || leaf.Subject.String() != request.Subject.String() || missing || leaf.IsCA {
		t.Errorf("taken: %s, %v %v, a CA's: %v; asked was %s, %v %v", leaf.Subject, leaf.DNSNames, leaf.IPAddresses, leaf.IsCA, request.Subject, request.DNSNames, request.IPAddresses)
	}
}
