package boot

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // what OpenPGP has for fingerprints
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// installRepository gives a machine that is switched off a signed repository with the package, and nothing else to install from.
// It returns what an entry of sources.list says of it, and the armoured public key.
func (n *node) installRepository(deb []byte) (entry string, publicKey []byte) {
	n.t.Helper()
	for _, path := range []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d"} { // Debian's archive is out of reach
		must(n.t, os.RemoveAll(n.Path(path)))
	}
	n.Write("/srv/repository/bootstrap-agent.deb", string(deb), 0o644)
	read := exec.Command("chroot", n.Root, "dpkg-deb", "--field", "/srv/repository/bootstrap-agent.deb")
	read.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	control, err := read.CombinedOutput()
	if err != nil {
		n.t.Fatalf("read the package's control file: %v: %s", err, control)
	}
	packages := fmt.Sprintf("%sFilename: ./bootstrap-agent.deb\nSize: %d\nSHA256: %x\n", control, len(deb), sha256.Sum256(deb))
	release := fmt.Sprintf("Date: %s\nSHA256:\n %x %d Packages\n", time.Now().UTC().Format(time.RFC1123), sha256.Sum256([]byte(packages)), len(packages))
	key := newSigningKey(n.t)
	n.Write("/srv/repository/Packages", packages, 0o644)
	n.Write("/srv/repository/Release", release, 0o644)
	n.Write("/srv/repository/Release.gpg", armour("SIGNATURE", key.sign(n.t, 0x00, []byte(release))), 0o644)
	return "file:/srv/repository ./", []byte(armour("PUBLIC KEY BLOCK", key.public(n.t)))
}

// signingKey makes the few packets of OpenPGP (RFC 4880) that apt asks of a repository.
type signingKey struct {
	*rsa.PrivateKey
	made uint32
}

func newSigningKey(t *testing.T) signingKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	return signingKey{key, uint32(time.Now().Add(-time.Hour).Unix())} //nolint:gosec // until 2106
}

const user = "a repository for tests"

// body is the public key as it is hashed, and in its packet (§5.5.2).
func (k signingKey) body() []byte {
	body := binary.BigEndian.AppendUint32([]byte{4}, k.made)
	body = append(append(body, 1), mpi(k.N.Bytes())...)
	return append(body, mpi([]byte{1, 0, 1})...)
}

func (k signingKey) hashed() []byte { return prefixed(0x99, 2, k.body()) }

// public is the key with a user and the signature that ties them (§11.1).
func (k signingKey) public(t *testing.T) []byte {
	t.Helper()
	tied := append(k.hashed(), prefixed(0xb4, 4, []byte(user))...)
	return bytes.Join([][]byte{packet(6, k.body()), packet(13, []byte(user)), k.sign(t, 0x13, tied)}, nil)
}

// sign is a signature over data (§5.2.3): 0x00 of a document, 0x13 of a key's user.
func (k signingKey) sign(t *testing.T, kind byte, data []byte) []byte {
	t.Helper()
	fingerprint := sha1.Sum(k.hashed()) //nolint:gosec // as above
	subpackets := append(binary.BigEndian.AppendUint32([]byte{5, 2}, k.made), 2, 27, 0x03)
	subpackets = append(append(subpackets, 22, 33, 4), fingerprint[:]...)
	head := append([]byte{4, kind, 1, 8, 0, byte(len(subpackets))}, subpackets...)
	hash := sha256.New()
	hash.Write(data)
	hash.Write(head)
	hash.Write(binary.BigEndian.AppendUint32([]byte{4, 0xff}, uint32(len(head)))) //nolint:gosec // a few bytes
	digest := hash.Sum(nil)
	signature, err := rsa.SignPKCS1v15(rand.Reader, k.PrivateKey, crypto.SHA256, digest)
	must(t, err)
	unhashed := append([]byte{0, 10, 9, 16}, fingerprint[12:]...)
	return packet(2, bytes.Join([][]byte{head, unhashed, digest[:2], mpi(signature)}, nil))
}

func packet(tag byte, body []byte) []byte { return prefixed(0x80|tag<<2|1, 2, body) }

// prefixed is a body after an octet and its length in so many octets.
func prefixed(octet byte, octets int, body []byte) []byte {
	length := binary.BigEndian.AppendUint32(nil, uint32(len(body))) //nolint:gosec // a few hundred
	return append(append([]byte{octet}, length[4-octets:]...), body...)
}

// mpi is a number with the count of its bits before it (§3.2).
func mpi(number []byte) []byte {
	bits := len(number) * 8
	for bit := byte(0x80); number[0]&bit == 0; bit >>= 1 {
		bits--
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(bits)), number...) //nolint:gosec // 2048
}

func armour(what string, content []byte) string {
	text := base64.StdEncoding.EncodeToString(content)
	var lines strings.Builder
	for ; len(text) > 64; text = text[64:] {
		lines.WriteString(text[:64] + "\n")
	}
	return fmt.Sprintf("-----BEGIN PGP %s-----\n\n%s%s\n=%s\n-----END PGP %s-----\n", what, lines.String(), text, checksum(content), what)
}

// checksum is CRC-24 (§6.1).
func checksum(content []byte) string {
	crc := uint32(0xb704ce)
	for _, octet := range content {
		crc ^= uint32(octet) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864cfb
			}
		}
	}
	return base64.StdEncoding.EncodeToString([]byte{byte(crc >> 16), byte(crc >> 8), byte(crc)})
}
