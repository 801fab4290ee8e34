package discovery

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Pin is what a CA is known by: "sha256:" and the hexadecimal SHA-256 of its public key (RawSubjectPublicKeyInfo), in lower case, as
// kubeadm prints it and RFC 7469 2.4 defines it.
type Pin string

// Pins are the CAs that are believed.
type Pins []Pin

const pinPrefix = "sha256:"

// ParsePins reads pins as people write them.
func ParsePins(texts []string) (Pins, error) {
	var pins Pins
	for _, text := range texts {
		digits, ok := strings.CutPrefix(text, pinPrefix)
		sum, err := hex.DecodeString(digits)
		if !ok || err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%q is not sha256: and 64 hexadecimal digits", text)
		}
		pins = append(pins, Pin(pinPrefix+hex.EncodeToString(sum)))
	}
	return pins, nil
}

// PinOf returns what a certificate is known by.
func PinOf(certificate *x509.Certificate) Pin {
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return Pin(pinPrefix + hex.EncodeToString(sum[:]))
}

// Have says whether the key of a certificate is pinned.
func (p Pins) Have(certificate *x509.Certificate) bool { return slices.Contains(p, PinOf(certificate)) }
