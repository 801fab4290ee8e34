package discovery

import (
	"slices"
	"strings"
	"testing"
)

// A CA, and what openssl x509 -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum (3.0.19) makes of it.
const (
	pinnedPEM = `-----BEGIN CERTIFICATE-----
MIIBgTCCASegAwIBAgIUAjbk9cU5JrzkCbP3QUNa+TPlI2gwCgYIKoZIzj0EAwIw
FTETMBEGA1UEAwwKa3ViZXJuZXRlczAgFw0yNjExMjIxNTQ0MjVaGA8yMTI2MTAy
OTE1NDQyNVowFTETMBEGA1UEAwwKa3ViZXJuZXRlczBZMBMGByqGSM49AgEGCCqG
SM49AwEHA0IABPfRdkAK4q0MhWEqHMhd+HIjEX8jCY+Q7QI7fX0/lN9I4+48sIzx
FD3N56p0BTsIoYOEte8a5wpM9LXJXG0ajqajUzBRMB0GA1UdDgQWBBRmnbt0KoUY
1dvaR+GvOFoJcBq79zAfBgNVHSMEGDAWgBRmnbt0KoUY1dvaR+GvOFoJcBq79zAP
BgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIQDxtxZ/n4ETqUtFSFn6
SQrWdVv2Ibdqn69+h2CsYSL9KQIgK9CeSSY339VN6DoreauCcgiDkpBKms9ksrQT
v453xQk=
-----END CERTIFICATE-----
`
	pinnedHash = "cda57a05f4eb61165059241cb084dffb1cd774943edd3c7178757c0759d70ffc"
)

func TestAPinIsTheHashOfThePublicKeyAsOpenSSLMakesIt(t *testing.T) {
	bundle, err := ParseBundle([]byte(pinnedPEM))
	must(t, err)
	if pin := PinOf(bundle[0]); pin != "sha256:"+pinnedHash {
		t.Errorf("the pin is %s", pin)
	}
	other := root("kubernetes")
	if renewed := other.again(tooOld); PinOf(renewed.Certificate) != PinOf(other.Certificate) || PinOf(other.Certificate) == PinOf(bundle[0]) {
		t.Error("it depends on something else than the key")
	}
}

func TestPinsAreWrittenInUpperOrLowerCase(t *testing.T) {
	bundle, err := ParseBundle([]byte(pinnedPEM))
	must(t, err)
	for _, digits := range []string{pinnedHash, strings.ToUpper(pinnedHash), pinnedHash[:32] + strings.ToUpper(pinnedHash[32:])} {
		pins, err := ParsePins([]string{"sha256:" + strings.Repeat("0", 64), "sha256:" + digits})
		must(t, err)
		if !pins.Have(bundle[0]) || pins[1] != "sha256:"+pinnedHash {
			t.Errorf("%s is not the pin of that CA but %s", digits, pins[1])
		}
	}
	if pins := (Pins{}); pins.Have(bundle[0]) {
		t.Error("no pin pins something")
	}
}

func TestWhatIsNoPinIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "sha256:", pinnedHash, "sha256:" + pinnedHash[1:], "sha256:" + pinnedHash + "00", "sha1:" + pinnedHash, "SHA256:" + pinnedHash,
		" sha256:" + pinnedHash, "sha256: " + pinnedHash[1:], "sha256:" + pinnedHash + "\n", "sha256:g" + pinnedHash[1:], "sha256:" + strings.Repeat("ab:", 31) + "ab",
		"sha256:" + strings.Repeat("ä", 32), "sha256//" + pinnedHash,
	} {
		if pins, err := ParsePins([]string{"sha256:" + pinnedHash, text}); err == nil || len(pins) > 0 {
			t.Errorf("%q: %v, %v", text, pins, err)
		}
	}
}

func TestATokenIsReadAsItStandsInAFile(t *testing.T) {
	for _, text := range []string{"abcdef.0123456789abcdef", "abcdef.0123456789abcdef\n", "\t abcdef.0123456789abcdef\r\n"} {
		if token, err := ParseToken(text); err != nil || token != (Token{"abcdef", "0123456789abcdef"}) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{
		"", "abcdef", "abcdef.", ".0123456789abcdef", "abcdef.0123456789abcde", "abcdef.0123456789abcdef0", "abcde.0123456789abcdef", "ABCDEF.0123456789abcdef",
		"abcdef.0123456789ABCDEF", "abcdef 0123456789abcdef", "abcdef:0123456789abcdef", "abcdef.0123456789abcdef.", "abcdef.01234567\n89abcdef", "token: abcdef.0123456789abcdef",
		"abcdef.0123456789abcdéf", "\"abcdef.0123456789abcdef\"", "abcdef.0123456789abcdef\x00",
	} {
		token, err := ParseToken(text)
		if err == nil || token != (Token{}) {
			t.Errorf("%q is taken", text)
			continue
		}
		for _, piece := range strings.FieldsFunc(text, func(r rune) bool { return r == '.' || r == ' ' || r == '\n' }) {
			if len(piece) > 6 && strings.Contains(err.Error(), piece) {
				t.Errorf("the error quotes %q", piece)
			}
		}
	}
}

func TestStrangersAreToldByNameAndPin(t *testing.T) {
	ca, rogue := root("kubernetes"), root("rogue")
	_, dropped := Trusted(bundleOf(rogue, ca), pinsOf(ca), nil, noon)
	if expected := []Stranger{{"CN=rogue", PinOf(rogue.Certificate)}}; !slices.Equal(Strangers(dropped), expected) {
		t.Errorf("%v, expected %v", Strangers(dropped), expected)
	}
}
