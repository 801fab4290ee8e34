package status

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
)

var update = flag.Bool("update", false, "write the golden files anew")

// pictures are the situations that users see most.
var pictures = map[string]func() (Observed, config.Config){
	"well":    func() (Observed, config.Config) { return healthy(), settings },
	"nothing": func() (Observed, config.Config) { return empty(), settings },
	"serving-off": func() (Observed, config.Config) {
		cfg := settings
		cfg.Serving = "off"
		return healthy(), cfg
	},
	"discovering": func() (Observed, config.Config) {
		o, cfg := empty(), settings
		undiscovered(&o, &cfg)
		return o, cfg
	},
	"waiting-for-approval": func() (Observed, config.Config) {
		o := empty()
		o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent)
		return o, settings
	},
	"placeholder": func() (Observed, config.Config) {
		o := healthy()
		o.Serving.Pair = servingPair("worker-1@bootstrap-agent-placeholder", time.Minute, 30*day)
		o.Serving.Pending = pending(csr.Serving, sent)
		return o, settings
	},
	"denied": func() (Observed, config.Config) {
		o := empty()
		o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent, ended(csr.Denied))
		return o, settings
	},
	"expired": func() (Observed, config.Config) {
		o := healthy()
		o.Client.Pair = pair(nodeUser, 365*day, -time.Hour)
		o.Serving.Pair, o.Serving.PairErr = nil, errDamaged
		return o, settings
	},
	"left-behind": func() (Observed, config.Config) {
		o := healthy()
		o.Bootstrap, o.BootstrapErr, o.Aside = bootstrapper, nil, []string{"/etc/kubernetes/token"}
		return o, settings
	},
	"no-agent": func() (Observed, config.Config) {
		o := healthy()
		o.Asker = &Asker{}
		return o, settings
	},
	"other-name": func() (Observed, config.Config) {
		o := healthy()
		o.Node = "worker-2"
		return o, settings
	},
	"overdue": func() (Observed, config.Config) {
		o := healthy()
		o.Client.Pair, o.Serving.Pair = pair(nodeUser, 350*day, 15*day), servingPair(nodeUser, 364*day, 30*time.Hour)
		return o, settings
	},
	"not-root": func() (Observed, config.Config) {
		o := empty()
		denied := &fs.PathError{Op: "open", Path: "/var/lib/kubelet/pki/kubelet-client-current.pem", Err: syscall.EACCES}
		o.Client.PairErr, o.Client.Unread, o.BootstrapErr = denied, denied, errors.New("bootstrap kubeconfig: /etc/kubernetes/bootstrap.kubeconfig does not exist")
		o.Asker = &Asker{AgentErr: denied, Unprivileged: true}
		return o, settings
	},
	"kubelet-was-told-otherwise": func() (Observed, config.Config) {
		o := healthy()
		o.Kubelets = []node.Kubelet{{
			Process: node.Process{PID: 815}, Kubeconfig: node.Told[string]{Value: settings.Kubeconfig, Known: true},
			RotatesClient: node.Told[bool]{Value: true, Known: true}, HostnameOverride: node.Told[string]{Value: "worker-1", Known: true},
		}}
		return o, settings
	},
}

func TestWhatUsersSee(t *testing.T) {
	for name, picture := range pictures {
		o, cfg := picture()
		report := o.Report(cfg)
		var text, data bytes.Buffer
		must(t, report.WriteText(&text, screen.Screen{}, 80))
		must(t, report.WriteJSON(&data))
		expectGolden(t, name+".txt", text.Bytes())
		expectGolden(t, name+".json", data.Bytes())
		expectUTC(t, name, text.String()+data.String())
	}
}

func expectGolden(t *testing.T, name string, content []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.WriteFile(path, content, 0o644))
	}
	expected, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(content, expected) {
		t.Errorf("%s:\n%s\nexpected:\n%s\n(go test ./internal/status -update, and look at the difference)", name, content, expected)
	}
}

var moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+(\S)`)

func expectUTC(t *testing.T, name, text string) {
	t.Helper()
	for _, found := range moment.FindAllStringSubmatch(text, -1) {
		if found[1] != "Z" || strings.Contains(found[0], ".") {
			t.Errorf("%s: %s is not a whole second in UTC", name, found[0])
		}
	}
}

func TestADistanceIsSaidInTheUnitsThatMatter(t *testing.T) {
	for d, text := range map[time.Duration]string{
		0:                             "in 0 s",
		59 * time.Second:              "in 59 s",
		-59 * time.Second:             "59 s ago",
		90 * time.Second:              "in 1 min 30 s",
		90 * time.Minute:              "in 1 h 30 min",
		-20 * time.Minute:             "20 min 0 s ago",
		47*time.Hour + 10*time.Minute: "in 47 h 10 min",
		48 * time.Hour:                "in 2 d 0 h",
		76 * time.Hour:                "in 3 d 4 h",
		-365 * day:                    "365 d ago",
	} {
		if said := distance(d); said != text {
			t.Errorf("%s is said as %q, expected %q", d, said, text)
		}
	}
}
