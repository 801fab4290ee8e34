package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// TestWhatIsOnTheDiskIsWhatThePageOnSecuritySays looks at every file of a node that waits for its certificate, has joined, and has its
// serving certificate: there is no other, and none that the page has.
func TestWhatIsOnTheDiskIsWhatThePageOnSecuritySays(t *testing.T) {
	t.Parallel()
	n := newNode(t, shared(t))
	user := n.staticToken(controlplane.Unapproved)
	n.bootstrap(user)
	d := n.start()
	n.expectVerbs(csr.Client, "create", "watch")
	n.assertDisk(user.Token, "while its request waits", func(row []string) bool { return row[3] == "yes" })

	n.approve(csr.Client)
	n.awaitJoined()
	n.awaitRid()
	d.awaitStatus("kubectl certificate approve")
	n.assertDisk(user.Token, "when it has joined", func(row []string) bool { return row[4] != "no" })

	n.approve(csr.Serving)
	n.awaitServing()
	eventually(t, "the serving request is done with", func() bool { return !isThere(n.path("pki", "kubelet-server.pending.pem")) })
	n.assertDisk(user.Token, "when all is approved", func(row []string) bool { return row[4] == "yes" })
}

var timeOfPair = regexp.MustCompile(`\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d[^./]*`)

// assertDisk waits until the node's files, their modes and secrets are those of the rows that hold at this time: what is being written
// has another name for a moment.
func (n *node) assertDisk(token, when string, holds func(row []string) bool) {
	n.t.Helper()
	want := map[string]string{}
	for _, row := range pageTable(n.t, "disk") {
		if len(row) != 5 {
			n.t.Fatalf("docs/security.md: %q is no row about a file", row)
		}
		if holds(row) {
			path := strings.NewReplacer("/etc/kubernetes/", "", "/var/lib/kubelet/", "").Replace(row[0])
			secret := row[2]
			if strings.HasPrefix(secret, "no") {
				secret = "no"
			}
			want[path] = row[1] + ", " + secret
		}
	}
	differs := []string{"not looked at"}
	n.t.Cleanup(func() {
		for _, difference := range differs {
			n.t.Errorf("%s: %s", when, difference)
		}
	})
	eventually(n.t, when+" the disk is as the page says", func() bool {
		differs = n.differences(want, token)
		return len(differs) == 0
	})
}

// differences are how the files differ from what the page says of each, by its path.
func (n *node) differences(want map[string]string, token string) []string {
	var all []string
	is := map[string]string{}
	for _, name := range n.files() {
		if looks := n.describe(name, token); looks != "" {
			is[timeOfPair.ReplaceAllString(name, "TIME")] = looks
		}
	}
	for name, looks := range is {
		if want[name] != looks {
			all = append(all, fmt.Sprintf("there is %s: %s; the page says %q", name, looks, want[name]))
		}
	}
	for name := range want {
		if is[name] == "" {
			all = append(all, "there is no "+name+", which the page has")
		}
	}
	return all
}

// describe is a file's mode and what secret is in it, in the page's words; of a folder, and of what is gone meanwhile, nothing.
func (n *node) describe(name, token string) string {
	info, err := os.Lstat(n.path(name))
	if err != nil || info.IsDir() {
		return ""
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return "link, to the one before"
	}
	content, err := os.ReadFile(n.path(name))
	if err != nil {
		return ""
	}
	secret := "no"
	switch {
	case strings.Contains(string(content), token):
		secret = "the token"
	case strings.Contains(string(content), "PRIVATE KEY"):
		secret = "private key"
	}
	return fmt.Sprintf("%04o, %s", info.Mode().Perm(), secret)
}
