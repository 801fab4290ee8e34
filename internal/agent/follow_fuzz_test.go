package agent

import (
	"bytes"
	"regexp"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
)

var anyPrivateKey = regexp.MustCompile(`-----BEGIN [^\n]*PRIVATE KEY`)

// Whatever stands in the CA file: what is used of it are its certificates, all of them and nothing else.
func FuzzCAFile(f *testing.F) {
	both := bundleOf("old, new")
	for _, seed := range [][]byte{
		nil, both, both[:len(both)-1], both[:len(both)-40], append([]byte("# the CA\n"), both...), bytes.Repeat(bundleOf("old"), 3),
		append(bytes.Clone(both), "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"...),
		append([]byte("-----BEGIN PRIVATE KEY-----\n"), both...), bytes.ReplaceAll(both, []byte("\n"), []byte("\r\n")),
		bytes.Replace(both, []byte("-----\n"), []byte("-----\nProc-Type: 4,ENCRYPTED\n\n"), 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		bundle, err := parseCAFile("/ca.crt", data, nil, began)
		if err != nil {
			if bundle != nil {
				t.Error("certificates of a file that cannot be used")
			}
			return
		}
		if len(bundle) == 0 || anyPrivateKey.Match(data) || bytes.Count(data, []byte("-----BEGIN ")) != len(bundle) {
			t.Errorf("%d certificates of\n%s", len(bundle), data)
		}
		written := discovery.EncodeBundle(bundle)
		again, err := parseCAFile("/ca.crt", written, nil, began)
		if err != nil || !discovery.SameBundle(bundle, again) || !discovery.SameBundle(bundle, discovery.InUse(written)) {
			t.Errorf("what is written is not what was read (%v):\n%s", err, written)
		}
	})
}
