package boot

import (
	"encoding/pem"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestAnImageMadeOfANodeHoldsNothingOfItAndJoinsAgain does to a node what docs/images.md says, looks for what must not be in an image,
// and starts it again with other user-data.
func TestAnImageMadeOfANodeHoldsNothingOfItAndJoinsAgain(t *testing.T) {
	t.Parallel()
	token := ""
	n := newNode(t, options{prepare: func(n *node) {
		token = n.token()
		n.giveUserData(n.userData("user-data.yaml", token))
	}})
	n.approveServing(0)
	n.Start()
	n.AwaitBoot(bootLimit)
	n.awaitReady()
	client, serving, machineID := n.keyLine("client"), n.keyLine("server"), n.Read("/etc/machine-id")
	if len(n.filesWith(client)) == 0 {
		t.Fatal("this test does not find what it looks for")
	}

	n.Shell(script(t, "images.md", "cleaning"))
	for what, secret := range map[string]string{"the token": token, "the client key": client, "the serving key": serving} {
		if left := slices.DeleteFunc(n.filesWith(secret), inMemory); len(left) > 0 {
			t.Errorf("%s is left in %s", what, left)
		}
	}
	if said, err := n.Try("bootstrap-agent", "reset"); err != nil {
		t.Errorf("something of the node is left: %s", said)
	}
	if id := n.Read("/etc/machine-id"); id != "" {
		t.Error("the image has a machine ID")
	}

	n.Halt()
	n.giveUserData(n.userData("user-data.yaml", n.token()))
	started := time.Now()
	n.Start()
	n.AwaitBoot(bootLimit)
	eventually(t, "the node is there again", func() bool { return n.heartbeat().After(started) })
	if requests, _ := n.requests(); len(requests) != 2 {
		t.Errorf("%d client requests; one for each identity are two", len(requests))
	}
	if n.keyLine("client") == client || n.Read("/etc/machine-id") == machineID {
		t.Error("what the image becomes is what it was made of")
	}
}

// inMemory says whether a file goes when the machine is switched off, and so is in no image.
func inMemory(path string) bool { return strings.HasPrefix(path, "/run/") }

// keyLine is a line of the private key of a certificate in use.
func (n *node) keyLine(kind string) string {
	n.t.Helper()
	rest := []byte(n.Run("cat", certDir+"/kubelet-"+kind+"-current.pem"))
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			n.t.Fatalf("the %s pair has no key", kind)
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return strings.Split(string(pem.EncodeToMemory(block)), "\n")[1]
		}
	}
}

// script is a marked block of shell of a page of docs/.
func script(t *testing.T, page, part string) string {
	t.Helper()
	content, err := os.ReadFile("../../../docs/" + page)
	must(t, err)
	_, rest, found := strings.Cut(string(content), "<!-- "+part)
	_, rest, fenced := strings.Cut(rest, "```sh\n")
	block, _, ended := strings.Cut(rest, "```\n<!-- end of "+part)
	if !found || !fenced || !ended {
		t.Fatalf("docs/%s has no shell marked %s", page, part)
	}
	return block
}
