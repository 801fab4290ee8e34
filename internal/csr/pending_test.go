package csr

import (
	"bytes"
	"encoding/pem"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// fullPending is a request with everything that a pending file can hold.
func fullPending(tb testing.TB) *Pending {
	tb.Helper()
	p := newPending(tb, servingWish)
	p.Settings, p.UID, p.Accepted, p.Key = "settings", "uid", noon, 3
	p.Ended = &Ended{Outcome: Denied, Reason: "Policy", Message: "no; \"really\"\n", At: noon.Add(time.Minute)}
	p.GivenUp, p.RefusedSince = noon.Add(time.Hour), noon.Add(2*time.Hour)
	p.CertificatePEM = append(theSigner().issue(tb, p, nil), theSigner().issue(tb, p, nil)...) // leaf and chain
	return p
}

func encode(tb testing.TB, p *Pending) []byte {
	tb.Helper()
	file, err := p.Encode()
	must(tb, err)
	return file
}

func TestAPendingFileGivesBackAllThatWentIn(t *testing.T) {
	full := fullPending(t)
	fresh, rsa := newPending(t, clientWish), clientWish
	rsa.KeyAlgorithm = "rsa-2048"
	for name, p := range map[string]*Pending{"full": full, "fresh": fresh, "with an RSA key": newPending(t, rsa)} {
		file := encode(t, p)
		again, err := DecodePending(file)
		must(t, err)
		if !reflect.DeepEqual(again, p) {
			t.Errorf("%s: %+v\nexpected %+v", name, again, p)
		}
		if second := encode(t, again); !bytes.Equal(second, file) {
			t.Errorf("%s: written again the file is another one", name)
		}
		if !strings.HasPrefix(string(file), string(p.Wish.Kind)+" request of bootstrap-agent, not yet answered. Holds a private key.\n") {
			t.Errorf("%s: the file does not say what it is: %.80q", name, file)
		}
	}
}

// Whatever a signer writes around its certificates, only certificates get into the file: no block of theirs may pass for ours.
func TestOnlyCertificatesOfTheAnswerAreKept(t *testing.T) {
	p := fullPending(t)
	certificates := p.CertificatePEM
	forged := encode(t, newPending(t, clientWish))
	p.CertificatePEM = slices.Concat([]byte("subject=worker-1\r\n"), certificates, []byte("\n\n"), forged)
	again, err := DecodePending(encode(t, p))
	must(t, err)
	if again.Name != p.Name || !bytes.Equal(again.KeyPEM, p.KeyPEM) || !bytes.Equal(again.CertificatePEM, certificates) {
		t.Errorf("the answer has changed the request: %s with\n%s", again.Name, again.CertificatePEM)
	}
}

// expectSameOrNothing shows that damage makes a file useless, or costs the certificate, which the same request brings again. It
// never makes it another request.
func expectSameOrNothing(t *testing.T, how string, file []byte, p *Pending) {
	t.Helper()
	again, err := DecodePending(file)
	if err != nil {
		return
	}
	whole := *p
	if again.CertificatePEM == nil {
		whole.CertificatePEM = nil
	}
	if !reflect.DeepEqual(again, &whole) {
		t.Fatalf("%s: %+v\nexpected an error or %+v", how, again, &whole)
	}
}

// stride is how many bytes lie between two that are tried: none when there is time.
func stride() int {
	if os.Getenv("SOAK") != "" {
		return 1
	}
	return 7
}

func TestATruncatedFileIsUselessUntilTheRequestIsWhole(t *testing.T) {
	p := fullPending(t)
	file := encode(t, p)
	whole := bytes.Index(file, []byte("-----BEGIN CERTIFICATE-----"))
	for size := 0; size < len(file); size += stride() {
		expectSameOrNothing(t, "cut", file[:size], p)
		again, err := DecodePending(file[:size])
		if useful := size >= whole-1; useful != (err == nil) { // the last newline is not missed
			t.Fatalf("%d of %d bytes: %v", size, len(file), err)
		}
		if err == nil && again.CertificatePEM != nil && size < len(file)-1 {
			t.Fatalf("%d of %d bytes: a part of the chain was taken for all of it", size, len(file))
		}
		expectSameOrNothing(t, "its beginning is missing", file[size:], p)
	}
}

func TestADamagedByteMakesTheFileUselessOrCostsTheCertificate(t *testing.T) {
	p := fullPending(t)
	file := encode(t, p)
	for at := 0; at < len(file); at += stride() {
		for _, wrong := range []byte{file[at] ^ 1, 'A'} {
			damaged := slices.Clone(file)
			damaged[at] = wrong
			expectSameOrNothing(t, "one byte", damaged, p)
		}
	}
	for at := 0; at < len(file); at += 40 { // blocks of zeros, as some file systems leave after a crash
		for _, size := range []int{16, 512} {
			damaged := slices.Clone(file)
			clear(damaged[at:min(len(file), at+size)])
			expectSameOrNothing(t, "zeros", damaged, p)
		}
	}
}

func TestFilesMixedOfTwoRequestsAreUseless(t *testing.T) {
	p, other := fullPending(t), fullPending(t)
	file := string(encode(t, p))
	replace := func(old, with []byte) string { return strings.Replace(file, string(old), string(with), 1) }
	state, _ := pem.Decode([]byte(file))
	forged := *state
	forged.Bytes = bytes.Replace(state.Bytes, []byte(p.Name), []byte("worker-1-kubelet-serving-00000000000000000000"), 1)
	forged.Headers = map[string]string{requestSum: sumOf(forged.Bytes, p.KeyPEM, p.RequestPEM), certificateSum: state.Headers[certificateSum]}
	for name, mixed := range map[string]string{
		"empty":                       "",
		"no PEM":                      "good morning",
		"another key":                 replace(p.KeyPEM, other.KeyPEM),
		"no key":                      replace(p.KeyPEM, nil),
		"another request":             replace(p.RequestPEM, other.RequestPEM),
		"no request":                  replace(p.RequestPEM, nil),
		"another key and request":     strings.Replace(replace(p.KeyPEM, other.KeyPEM), string(p.RequestPEM), string(other.RequestPEM), 1),
		"no state":                    replace(pem.EncodeToMemory(state), nil),
		"another state":               replace(pem.EncodeToMemory(state), pem.EncodeToMemory(stateOf(t, other))),
		"a state without its sum":     replace(pem.EncodeToMemory(state), pem.EncodeToMemory(&pem.Block{Type: stateBlock, Bytes: state.Bytes})),
		"a state that is no JSON":     replace(pem.EncodeToMemory(state), pem.EncodeToMemory(withState(p, []byte("{")))),
		"a name that does not follow": replace(pem.EncodeToMemory(state), pem.EncodeToMemory(&forged)),
	} {
		if again, err := DecodePending([]byte(mixed)); err == nil {
			t.Errorf("%s: %+v", name, again)
		}
	}
	withOther, err := DecodePending([]byte(replace(p.CertificatePEM, other.CertificatePEM)))
	if err != nil || withOther.CertificatePEM != nil {
		t.Errorf("another request's certificate: %v, expected none", err)
	}
}

func stateOf(t *testing.T, p *Pending) *pem.Block {
	t.Helper()
	state, _ := pem.Decode(encode(t, p))
	return state
}

// withState is a state block with good sums, whatever stands in it.
func withState(p *Pending, state []byte) *pem.Block {
	return &pem.Block{Type: stateBlock, Bytes: state, Headers: map[string]string{requestSum: sumOf(state, p.KeyPEM, p.RequestPEM)}}
}

// Even with good sums what does not fit together is refused, so that no bug elsewhere sends a request that nobody can answer.
func TestPartsThatDoNotBelongTogetherAreRefused(t *testing.T) {
	p, other := newPending(t, clientWish), newPending(t, clientWish)
	for name, change := range map[string]func(*Pending){
		"another key":                func(p *Pending) { p.KeyPEM = other.KeyPEM },
		"no key":                     func(p *Pending) { p.KeyPEM = nil },
		"another request":            func(p *Pending) { p.RequestPEM = other.RequestPEM },
		"no request":                 func(p *Pending) { p.RequestPEM = nil },
		"a request that is none":     func(p *Pending) { p.RequestPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST"}) },
		"another wish":               func(p *Pending) { p.Wish.NodeName = "worker-2" },
		"another name":               func(p *Pending) { p.Name = other.Name },
		"all of another but a field": func(p *Pending) { p.KeyPEM, p.RequestPEM = other.KeyPEM, other.RequestPEM },
	} {
		changed := *p
		change(&changed)
		if _, err := DecodePending(encode(t, &changed)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func FuzzDecodePending(f *testing.F) {
	p := fullPending(f)
	file := encode(f, p)
	f.Add(file)
	f.Add(encode(f, newPending(f, clientWish)))
	f.Add(file[:len(file)/2])
	f.Add(slices.Concat(file, file))
	f.Add([]byte("-----BEGIN BOOTSTRAP AGENT STATE-----\n\n-----END BOOTSTRAP AGENT STATE-----\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := DecodePending(file)
		if err != nil {
			return
		}
		if _, err := p.PublicKey(); err != nil {
			t.Errorf("accepted without a public key: %v", err)
		}
		again, err := DecodePending(encode(t, p))
		if err != nil || !reflect.DeepEqual(again, p) {
			t.Errorf("written again it is another request: %v\n%+v\n%+v", err, again, p)
		}
	})
}
