package e2e

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

func (g *guide) byTwoCommands() {
	n := newNode(g.t, g.cp)
	g.run(g.block(nil, "tool-cluster"))
	n.secret([]byte(g.secretIn("worker-1")))
	g.awaitThreeTimesYes()
	g.run(g.block(n, "tool-node"))
	n.expect(n.once("--serving=off"), 0)
	n.assertJoined()
	n.assertGone(n.bootstrapFile())
}

// secretIn is the secret part of the token that join-config has written into a folder.
func (g *guide) secretIn(folder string) string {
	g.t.Helper()
	content, err := os.ReadFile(filepath.Join(g.dir, folder, "secret.yaml"))
	must(g.t, err)
	var object struct {
		StringData map[string]string `json:"stringData"`
	}
	must(g.t, yaml.Unmarshal(content, &object))
	if len(object.StringData["token-secret"]) != 16 {
		g.t.Fatalf("there is no token in %s/secret.yaml", folder)
	}
	return object.StringData["token-secret"]
}

func (g *guide) byDiscovery() {
	n := newNode(g.t, g.cp)
	g.run(g.block(nil, "discovery-cluster"))
	n.secret([]byte(g.secretIn("worker-2")))
	g.run(g.block(n, "discovery-node"))

	made, err := os.ReadFile(n.path("config.yaml"))
	must(g.t, err)
	var is, should map[string]any
	must(g.t, yaml.Unmarshal(made, &is))
	must(g.t, yaml.Unmarshal([]byte(strings.ReplaceAll(g.block(nil, "discovery-config"), g.dir, "/etc/kubernetes")), &should))
	should["discoveryCACertHashes"] = []any{g.pin()}
	if !reflect.DeepEqual(is, should) {
		g.t.Errorf("join-config --discovery has made the configuration\n%v\nand the page says\n%v", is, should)
	}
	g.joinDiscovering(n, strings.ReplaceAll(string(made), "/etc/kubernetes", n.dir))
}

func (g *guide) byDiscoveryFile() {
	n := newNode(g.t, g.cp)
	token := n.secretToken().Token
	n.write(n.path("bootstrap.token"), []byte(token+"\n"), 0o600)
	file, err := os.ReadFile(filepath.Join(g.dir, "cluster-info.kubeconfig"))
	must(g.t, err)
	n.write(n.path("cluster-info.kubeconfig"), file, 0o644)
	g.joinDiscovering(n, g.block(n, "discovery-file"))
	n.assertThere(n.path("cluster-info.kubeconfig"))
}

// joinDiscovering shows that a node joins with a configuration and the token that is there, which is gone afterwards.
func (g *guide) joinDiscovering(n *node, config string) {
	g.t.Helper()
	n.write(n.path("config.yaml"), []byte(config), 0o644)
	n.assertThere(n.path("bootstrap.token"))
	n.expect(n.once("--config="+n.path("config.yaml"), "--serving=off"), 0)
	n.assertJoined()
	n.assertGone(n.path("bootstrap.token"))
	if user := n.csr(csr.Client).Spec.Username; !strings.HasPrefix(user, "system:bootstrap:") {
		g.t.Errorf("the request is of %s", user)
	}
}
