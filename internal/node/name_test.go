package node

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestTheNodeNameIsTheKubelets(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"node-1":                             "node-1",
		"Node-1.EXAMPLE.com":                 "node-1.example.com",
		"  node-1\n":                         "node-1",
		"\tNODE ":                            "node",
		"1":                                  "1",
		"192.0.2.1":                          "192.0.2.1",
		"a.b.c.d":                            "a.b.c.d",
		"my-localhost":                       "my-localhost",
		strings.Repeat("a", 63) + ".example": strings.Repeat("a", 63) + ".example",
		strings.Repeat("a.", 126) + "a":      strings.Repeat("a.", 126) + "a", // 253 characters
	} {
		got, err := Name(given)
		if err != nil || got != want {
			t.Errorf("%q becomes %q (%v), expected is %q", given, got, err, want)
		}
	}
}

func TestANameThatSaysNothingIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, given := range []string{"", "  ", "(none)", "(NONE)", "localhost", "LOCALHOST", "localhost.localdomain", "localhost4", "localhost6.localdomain6", " localhost\n"} {
		name, err := clean(given)
		if name != "" || !errors.Is(err, ErrNoName) || !strings.Contains(err.Error(), "--hostname-override") {
			t.Errorf("%q becomes %q (%v)", given, name, err)
		}
	}
	if _, err := Name("   "); !errors.Is(err, ErrNoName) {
		t.Errorf("an override of white space is %v", err)
	}
}

func TestANameThatNoNodeCanHaveIsRefused(t *testing.T) {
	t.Parallel()
	for _, given := range []string{
		"node_1", "node 1", "node-1.", ".node", "-node", "node-", "a..b", "node/1", "nöde", "fd00::1", "node:10250", strings.Repeat("a", 254), "system:node:a", "a,b", "a\x00b",
	} {
		name, err := Name(given)
		if err == nil || errors.Is(err, ErrNoName) || name != "" {
			t.Errorf("%q becomes %q (%v)", given, name, err)
		}
	}
}

func TestWithoutAnOverrideTheHostNameCounts(t *testing.T) {
	t.Parallel()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	want, wantErr := clean(host)
	got, gotErr := Name("")
	if got != want || (gotErr == nil) != (wantErr == nil) {
		t.Errorf("it is %q (%v), the host name %q gives %q (%v)", got, gotErr, host, want, wantErr)
	}
}
