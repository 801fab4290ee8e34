package apiserver

import (
	"testing"

	bootstraputil "k8s.io/cluster-bootstrap/token/util"
)

func TestABootstrapTokenIsWhatTheClusterTakesForOne(t *testing.T) {
	for _, text := range []string{
		"abcdef.0123456789abcdef", "000000.0000000000000000", "", ".", "abcdef", "abcdef.", "abcdef.0123456789abcde", "abcdef.0123456789abcdef0", "abcde.0123456789abcdef",
		"abcdefg.0123456789abcdef", "Abcdef.0123456789abcdef", "abcdef.0123456789abcdeF", "abcdef.0123456789abc.ef", "abc.ef.0123456789abcdef", "abcdef.0123456789abcd\n",
		"abcdef.0123456789abcdef\n", " abcdef.0123456789abcdef", "abcdé.0123456789abcdef", "abcdef.0123456789abcdé", "abcdef-0123456789abcdef", "abcdef..0123456789abcde", "`bcdef.0123456789abcdef",
		"{bcdef.0123456789abcdef", "/bcdef.0123456789abcdef", ":bcdef.0123456789abcdef",
	} {
		id, secret, ok := CutBootstrapToken(text)
		if ok != bootstraputil.IsValidBootstrapToken(text) || ok && id+"."+secret != text {
			t.Errorf("%q: %q, %q, %v", text, id, secret, ok)
		}
	}
}
