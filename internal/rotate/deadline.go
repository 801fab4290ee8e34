// Package rotate is when: when to rotate a certificate, and when to try again. Pure functions of what they are given, each a
// table or a formula of its own; nothing here reads a clock, asks or waits. The Watcher says when the files are to be looked at again.
package rotate

import (
	"crypto/x509"
	"hash/fnv"
	"time"
)

// kubeletReread is how much of a client certificate's life must be left for the kubelet, which re-reads the file every 5 minutes
// (client-go transport/cert_rotation.go CertCallbackRefreshDuration), twice that to be safe.
const kubeletReread = 10 * time.Minute

// Deadline returns the wall-clock time at which the certificate is to be rotated: 70 to 90 % of its life after it was received,
// for short ones early enough for the kubelet to notice. It is the same after every restart and spread over a fleet, for its
// place in the range comes from the node's name and the serial number. Cf. client-go certificate_manager.go jitteryDuration.
func Deadline(leaf *x509.Certificate, stored time.Time, nodeName string) time.Time {
	received := Received(leaf, stored)
	life := leaf.NotAfter.Sub(received)
	latest := min(portion(life, 0.9), max(life-kubeletReread, portion(life, 0.6)))
	earliest := min(portion(life, 0.7), latest-portion(life, 0.1))
	return received.Add(earliest + portion(latest-earliest, place(nodeName, leaf)))
}

// Received is when the life of a certificate on this node began: when its file was written, which remains over restarts, or
// notBefore when that time cannot be right. Signers backdate notBefore.
func Received(leaf *x509.Certificate, stored time.Time) time.Time {
	if stored.Before(leaf.NotBefore) || !stored.Before(leaf.NotAfter) {
		return leaf.NotBefore
	}
	return stored
}

// place returns a number in [0, 1).
func place(nodeName string, leaf *x509.Certificate) float64 {
	hash := fnv.New64a()
	hash.Write([]byte(nodeName))
	hash.Write([]byte{0})
	if leaf.SerialNumber != nil {
		hash.Write(leaf.SerialNumber.Bytes())
	}
	return float64(hash.Sum64()>>11) / (1 << 53)
}

func portion(d time.Duration, of float64) time.Duration { return time.Duration(float64(d) * of) }
