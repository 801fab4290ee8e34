package certdir

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// pieces are what the texts of FuzzParsePair are put together from; a recipe names them by number.
func pieces(m material) [][]byte {
	goodCert, goodKey := splitPair(m.good)
	headed := slices.Concat([]byte("Bag Attributes\n    friendlyName: worker\n"), goodKey)
	return [][]byte{
		goodCert, goodKey, m.realCert, m.realKey, m.foreignCert, m.foreignKey,
		[]byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"),
		[]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n"),
		[]byte("subject=/CN=worker\n"), headed, []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), []byte("\n"),
	}
}

// cook puts a text together: each byte of the recipe names a piece and what is done to it.
func cook(m material, recipe []byte, between []byte) []byte {
	pieces := pieces(m)
	var text []byte
	for _, b := range recipe[:min(len(recipe), 12)] {
		piece := slices.Clone(pieces[int(b)%len(pieces)])
		switch int(b) / len(pieces) % 5 {
		case 1:
			piece = piece[:len(piece)/2]
		case 2:
			piece = bytes.ReplaceAll(piece, []byte("\n"), []byte("\r\n"))
		case 3:
			piece = bytes.TrimSuffix(piece, []byte("\n"))
		case 4:
			piece = append(piece, between...)
		}
		text = append(text, piece...)
	}
	return text
}

// FuzzParsePair looks for a text that is taken for a pair and is none, that changes when it is split, or whose error tells of its key.
func FuzzParsePair(f *testing.F) {
	for _, recipe := range []string{"\x00\x01", "\x01\x00", "\x00\x02\x01", "\x00\x03", "\x02\x00\x01", "\x00\x06\x07\x01", "\x00\x0b\x08\x09", "\x18\x19", "\x24\x25", "\x0c\x01", "\x0a\x01", "\x30\x01", ""} {
		f.Add([]byte(recipe), []byte("\n"))
	}
	f.Add([]byte("\x30\x01"), []byte("-----BEGIN \n-----END "))
	var m material
	f.Fuzz(func(t *testing.T, recipe, between []byte) {
		if m.good == nil {
			m = newMaterial(t)
		}
		text := cook(m, recipe, between)
		cert, key := splitPair(text)
		expectSplit(t, text, cert, key)
		pair, err := ParsePair(text)
		if err != nil {
			expectNoKeyIn(t, m, err.Error())
			return
		}
		block, _ := pem.Decode(cert)
		leaf, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		public := pair.Key.(crypto.Signer).Public().(interface{ Equal(crypto.PublicKey) bool })
		if !leaf.Equal(pair.Leaf) || !public.Equal(leaf.PublicKey) || !bytes.Equal(pair.PEM, text) {
			t.Errorf("%s with another key, or not the first certificate, or other bytes\n%s", pair.Leaf.Subject, text)
		}
		if parts, err := tls.X509KeyPair(cert, key); err != nil || !parts.Leaf.Equal(leaf) {
			t.Errorf("split it is another pair, or none: %v\n%s", err, text)
		}
	})
}

// expectSplit shows that every block is in one of the halves, in its order, and no key in the half that everybody may read.
func expectSplit(t *testing.T, text, cert, key []byte) {
	t.Helper()
	var certs, others []string
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			certs = append(certs, string(block.Bytes))
		} else {
			others = append(others, block.Type+string(block.Bytes))
		}
	}
	for block, rest := pem.Decode(cert); block != nil; block, rest = pem.Decode(rest) {
		if len(certs) == 0 || string(block.Bytes) != certs[0] || block.Type != "CERTIFICATE" {
			t.Fatalf("the certificate's half has a %s that is not the text's\n%s", block.Type, text)
		}
		certs = certs[1:]
	}
	for block, rest := pem.Decode(key); block != nil; block, rest = pem.Decode(rest) {
		if len(others) == 0 || block.Type+string(block.Bytes) != others[0] {
			t.Fatalf("the key's half has a %s that is not the text's\n%s", block.Type, text)
		}
		others = others[1:]
	}
	if len(certs)+len(others) > 0 {
		t.Errorf("%d certificates and %d other blocks are in neither half\n%s", len(certs), len(others), text)
	}
}

func expectNoKeyIn(t *testing.T, m material, said string) {
	t.Helper()
	for _, piece := range pieces(m) {
		for line := range strings.SplitSeq(string(piece), "\n") {
			if len(line) > 30 && strings.Contains(said, line[:20]) && !strings.HasPrefix(line, "-----") {
				t.Errorf("the error holds a line of the file: %s", said)
			}
		}
	}
}

// FuzzSweep looks for a listing of the cert-dir in which a sweep takes what it must not, or says another thing than it does.
func FuzzSweep(f *testing.F) {
	f.Add("kubelet-client-2026-01-01-00-00-00.pem/kubelet-client-2026-01-02-00-00-00.pem/.kubelet.crt"+random, []byte{0, 8, 0}, uint8(1))
	f.Add("kubelet-server-2026-01-01-00-00-00.pem/.x"+random+"/mine.pem", []byte{0, 1, 1}, uint8(0))
	f.Add("kubelet-client.pending.pem/kubelet.crt/kubelet.key.orig/.bootstrap-agent.lock/kubelet-client-ca.crt", []byte{0}, uint8(0))
	f.Add("kubelet-client-1999-01-01-00-00-00.pem/kubelet-client-2026-01-01-00-00-00.pem.bak/kubelet-2026-01-01-00-00-00.pem", []byte{8}, uint8(2))
	f.Add(".a"+random+"/..."+random+"/."+random+"/.a.abcdefghijklmnopqrstuvwxyz.tmp", []byte{2, 3, 4, 0}, uint8(0))
	var m material
	f.Fuzz(func(t *testing.T, listing string, traits []byte, keep uint8) {
		if m.good == nil {
			m = newMaterial(t)
		}
		d, later := newDir(t), noon.Add(time.Hour)
		defer os.RemoveAll(d.Path)
		must(t, d.Commit(Client, m.good, noon))
		for i, name := range strings.Split(listing, "/") {
			if i < 20 && len(traits) > 0 {
				d.litterAt(t, name, traits[i%len(traits)], m, later)
			}
		}
		before, safe := d.names(t), d.linkedByHand(t)
		kept := min(int(keep)%3, 1) // as the agent does
		var mayGo []string
		for _, name := range before {
			if info, err := os.Lstat(filepath.Join(d.Path, name)); err == nil && sweptByHand(name, info, later) && (!safe[name] || temporaryByHand(name)) {
				mayGo = append(mayGo, name)
			}
		}
		removed, err := d.Sweep([]Kind{Client, Serving}, kept, later)
		must(t, err)
		after := d.names(t)
		for _, name := range before {
			said := slices.Contains(removed, filepath.Join(d.Path, name))
			switch gone := !slices.Contains(after, name); {
			case gone && !slices.Contains(mayGo, name):
				t.Errorf("%q is gone, of %q", name, before)
			case gone != said:
				t.Errorf("%q is gone: %v, said to be: %v", name, gone, said)
			case !gone && strings.HasPrefix(name, ".") && slices.Contains(mayGo, name):
				t.Errorf("%q is left of a crash, and stays", name)
			case !gone && kept == 0 && slices.Contains(mayGo, name):
				t.Errorf("nothing needs %q, and it stays", name)
			}
		}
		d.expectCurrent(t, Client, m.good)
	})
}

// litterAt puts something at name, as the bits of trait say; a name that the kernel does not take is left out.
func (d Dir) litterAt(t *testing.T, name string, trait byte, m material, later time.Time) {
	t.Helper()
	path := filepath.Join(d.Path, name)
	if _, err := os.Lstat(path); err == nil || name == "" || name == "." || name == ".." || len(name) > 255 || strings.Contains(name, "\x00") {
		return
	}
	age := []time.Duration{time.Hour, 30 * time.Second, time.Minute, time.Minute + 1}[trait>>4&3]
	switch trait & 7 {
	case 1:
		must(t, os.Symlink(d.names(t)[0], path))
		return
	case 2:
		must(t, os.Symlink("nothing", path))
		return
	case 3:
		must(t, os.Mkdir(path, 0o700))
	default:
		content := m.next
		if trait&8 != 0 {
			content = m.next[:100]
		}
		must(t, os.WriteFile(path, content, 0o600))
	}
	must(t, os.Chtimes(path, later.Add(-age), later.Add(-age)))
}

// linkedByHand returns the names that a link leads to, other than one that a crash left.
func (d Dir) linkedByHand(t *testing.T) map[string]bool {
	t.Helper()
	linked := map[string]bool{}
	for _, name := range d.names(t) {
		if _, err := os.Readlink(filepath.Join(d.Path, name)); err != nil || temporaryByHand(name) {
			continue
		}
		if end, err := filepath.EvalSymlinks(filepath.Join(d.Path, name)); err == nil {
			linked[filepath.Base(end)] = true
		}
	}
	return linked
}

// sweptByHand says what a sweep may take, without the patterns of the code.
func sweptByHand(name string, info os.FileInfo, now time.Time) bool {
	if temporaryByHand(name) {
		return info.Mode()&os.ModeSymlink != 0 || info.Mode().IsRegular() && now.Sub(info.ModTime()) > time.Minute
	}
	stamp, pair := strings.CutPrefix(name, "kubelet-client-2")
	if !pair {
		stamp, pair = strings.CutPrefix(name, "kubelet-server-2")
	}
	shape := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, stamp)
	return pair && shape == "000-00-00-00-00-00.pem" && info.Mode().IsRegular() && now.Sub(info.ModTime()) > time.Minute
}

func temporaryByHand(name string) bool {
	stem, isTmp := strings.CutSuffix(name, ".tmp")
	return isTmp && len(stem) > 28 && stem[0] == '.' && stem[len(stem)-27] == '.' &&
		strings.Trim(stem[len(stem)-26:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}
