package design_test

import (
	"slices"
	"strings"
	"testing"
)

// graph says which of our own packages each package may import. One line a package; a new package needs a line here.
var graph = []struct {
	pkg     string
	imports []string
	why     string
}{
	{"cmd/bootstrap-agent", all, "wiring, and nothing else"},
	{"internal/agent", list("apiserver certdir config csr discovery durable kubeconfig node rotate serving status"), "the only loop: it knows everything that acts, and nobody but cmd knows it"},
	{"internal/doctor", list("apiserver certdir config csr discovery kubeconfig node rotate screen serving status unit"), "looks at everything and changes nothing: not durable, not agent"},
	{"internal/metrics", list("status"), "shows what was observed, and finds out nothing itself"},
	{"internal/status", list("apiserver certdir config csr kubeconfig node rotate screen serving"), "one Observed value made of what these saw"},
	{"internal/await", list("certdir config csr kubeconfig rotate status"), "waits for what status sees; changes nothing: not durable, not agent"},
	{"internal/reset", list("certdir config durable kubeconfig status"), "takes away what the agent has put there, while no agent runs: knows no network, not agent"},
	{"internal/join", append(list("apiserver config discovery durable"), "deploy/cloud-init", "deploy/rbac"), "makes texts and puts them into a folder; asks no cluster: not agent"},
	{"internal/csr", list("apiserver node"), "asks; storing is certdir's"},
	{"internal/certdir", list("durable"), "reads and stages files; knows no network"},
	{"internal/kubeconfig", list("apiserver durable"), "reads and writes files, in apiserver's words (Endpoint, Credential); sends nothing"},
	{"internal/serving", list("apiserver node"), "SANs come from the node's addresses or from its Node object"},
	{"internal/discovery", list("apiserver"), "reads cluster-info"},
	{"internal/unit", list("config"), "compares the paths of the settings with what the systemd unit allows"},
	{"internal/config", list("node"), "validation needs to know what a node name is"},
	{"internal/screen", nil, "bytes for a terminal"},
	{"internal/rotate", nil, "pure functions of time, and what says that files have changed"},
	{"internal/apiserver", nil, "at the bottom"},
	{"internal/durable", nil, "at the bottom"},
	{"internal/node", nil, "at the bottom"},
	{"deploy/cloud-init", nil, "texts"},
	{"deploy/rbac", nil, "texts"},
}

var all = []string{"*"}

func list(names string) []string {
	var imports []string
	for name := range strings.FieldsSeq(names) {
		imports = append(imports, "internal/"+name)
	}
	return imports
}

// allowed says whether pkg has a line in graph, and whether that allows it to import other. Both are paths inside the module.
func allowed(pkg, other string) (known, ok bool) {
	for _, line := range graph {
		if line.pkg == pkg {
			wired := slices.Equal(line.imports, all) && strings.HasPrefix(other, "internal/")
			return true, wired || slices.Contains(line.imports, other)
		}
	}
	return false, false
}

func TestImportsFollowTheGraph(t *testing.T) {
	for _, p := range sources(t) {
		pkg := strings.TrimPrefix(p.path, module+"/")
		if known, _ := allowed(pkg, ""); !known {
			t.Errorf("%s is not in the graph: give it a line in test/design/graph_test.go", pkg)
			continue
		}
		for _, path := range p.imports {
			other, ours := strings.CutPrefix(path, module+"/")
			if _, ok := allowed(pkg, other); ours && !ok {
				t.Errorf("%s must not import %s: the graph in test/design/graph_test.go does not allow it", pkg, other)
			}
		}
	}
}

func TestGraphRefuses(t *testing.T) {
	for name, edge := range map[string][2]string{
		"the bottom importing the top":                 {"internal/durable", "internal/agent"},
		"a package importing its neighbour":            {"internal/csr", "internal/kubeconfig"},
		"anybody but cmd importing the loop":           {"internal/doctor", "internal/agent"},
		"the command importing what tests are made of": {"cmd/bootstrap-agent", "test/controlplane"},
	} {
		if known, ok := allowed(edge[0], edge[1]); !known || ok {
			t.Errorf("%s: %s may import %s", name, edge[0], edge[1])
		}
	}
	if known, _ := allowed("internal/unheard-of", "internal/durable"); known {
		t.Error("a package without a line is known")
	}
}

func TestGraphHasOneLineAPackageWithAReason(t *testing.T) {
	seen := map[string]bool{}
	for _, line := range graph {
		if seen[line.pkg] {
			t.Errorf("%s has two lines", line.pkg)
		}
		seen[line.pkg] = true
		if line.why == "" {
			t.Errorf("%s has no reason", line.pkg)
		}
	}
	for _, line := range graph {
		for _, name := range line.imports {
			if name != "*" && !seen[name] {
				t.Errorf("%s may import %s, which has no line", line.pkg, name)
			}
		}
	}
}
