package status

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// situation is a state of the node, the exit code that status must have, and what each finding says, the worst first.
type situation struct {
	name     string
	from     func() Observed
	change   func(*Observed, *config.Config)
	level    Level
	findings []string
}

var situations = []situation{
	{"all is well", healthy, func(*Observed, *config.Config) {}, Well, nil},
	{"the serving certificate is the kubelet's", healthy, func(o *Observed, c *config.Config) {
		c.Serving = "off"
		o.Serving = Certificate{Kind: csr.Serving, PairErr: errNoPair}
	}, Well, nil},
	{"the certificates are not valid yet, which may be the clock's fault", healthy, func(o *Observed, _ *config.Config) {
		o.Client.Pair, o.Serving.Pair = pair(nodeUser, -day, 300*day), servingPair(nodeUser, -day, 300*day)
	}, Well, nil},

	// nothing yet
	{
		"nothing is there and nothing to bootstrap with", empty, func(*Observed, *config.Config) {}, Broken,
		[]string{"no client certificate yet; put a bootstrap kubeconfig at /etc/kubernetes/bootstrap.kubeconfig", "no serving certificate yet"},
	},
	{
		"a bootstrap credential has just come", empty, func(o *Observed, _ *config.Config) { o.Bootstrap, o.BootstrapErr = bootstrapper, nil }, Waiting,
		[]string{"no client certificate yet", "no serving certificate yet"},
	},
	{
		"the bootstrap kubeconfig is bad", empty, func(o *Observed, _ *config.Config) { o.BootstrapErr = errors.New("bootstrap kubeconfig: has no CA") }, Broken,
		[]string{"no client certificate yet; put", "has no CA", "no serving"},
	},
	{
		"the certificate is issued and the credential gone", empty, func(o *Observed, _ *config.Config) { o.Client.Pending = pending(csr.Client, sent, issued) }, Waiting,
		[]string{"no client certificate yet", "no serving"},
	},
	{"the machine has no name", empty, func(o *Observed, _ *config.Config) {
		o.Node, o.NodeErr, o.Bootstrap, o.BootstrapErr = "", errors.New("the machine has no name"), bootstrapper, nil
	}, Waiting, []string{"the machine has no name", "no client", "no serving"}},

	// requests
	{"the client's request waits for approval", empty, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent)
	}, Waiting, []string{"no client", "worker-1-kubelet-client-0123456789abcdef0123 waits for approval since 2026-03-01T11:58:30Z: kubectl certificate approve worker-1-kubelet-client-0123456789abcdef0123", "no serving"}},
	{"the client's request was denied", empty, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent, ended(csr.Denied))
	}, Broken, []string{"worker-1-kubelet-client-0123456789abcdef0123: denied (Policy: not today)", "no client", "no serving"}},
	{"the client's request was taken by another, and a new one follows", empty, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent, ended(csr.Replaced))
	}, Waiting, []string{"no client", "no serving"}},
	{"the client's request on disk is damaged", empty, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.Client.PendingErr = bootstrapper, nil, errors.New("it is damaged")
	}, Waiting, []string{"no client", "no serving", "the client request on disk is of no use (it is damaged); the agent makes another"}},
	{"the serving request waits for approval", healthy, func(o *Observed, _ *config.Config) {
		o.Serving.Pair, o.Serving.Pending = servingPair("worker-1@bootstrap-agent-placeholder", day, 29*day), pending(csr.Serving, sent)
	}, Attention, []string{"is a self-signed placeholder", "waits for approval since 2026-03-01T11:58:30Z: kubectl certificate approve worker-1-kubelet-serving-0123456789abcdef0123"}},
	{"the serving request was denied", healthy, func(o *Observed, _ *config.Config) {
		o.Serving.Pair, o.Serving.Pending = servingPair("worker-1@bootstrap-agent-placeholder", day, 29*day), pending(csr.Serving, sent, ended(csr.Denied))
	}, Attention, []string{"is a self-signed placeholder", "denied (Policy: not today)"}},
	{"the serving request has not been sent", healthy, func(o *Observed, _ *config.Config) { o.Serving.Pending = pending(csr.Serving) }, Well, nil},

	// what is there and of no use
	{
		"the client certificate is damaged", healthy, func(o *Observed, _ *config.Config) { o.Client.Pair, o.Client.PairErr = nil, errDamaged }, Broken,
		[]string{"the client certificate cannot be used: /var/lib/kubelet/pki/kubelet-client-2026-02-28-12-00-00.pem: the file is empty; put a bootstrap kubeconfig"},
	},
	{"the client certificate is damaged, and an older one is good", healthy, func(o *Observed, _ *config.Config) {
		o.Client.Pair, o.Client.PairErr, o.Client.Older = nil, errDamaged, pair(nodeUser, 2*day, 300*day)
	}, Waiting, []string{"the client certificate cannot be used"}},
	{"the client certificate is damaged, and there is a credential", healthy, func(o *Observed, _ *config.Config) {
		o.Client.Pair, o.Client.PairErr, o.Bootstrap, o.BootstrapErr = nil, errDamaged, bootstrapper, nil
	}, Waiting, []string{"the client certificate cannot be used"}},
	{
		"the client certificate expired", healthy, func(o *Observed, _ *config.Config) { o.Client.Pair = pair(nodeUser, 365*day, -time.Hour) }, Broken,
		[]string{"the client certificate expired at 2026-03-01T11:00:00Z; put a bootstrap kubeconfig"},
	},
	{
		"the client certificate expires now", healthy, func(o *Observed, _ *config.Config) { o.Client.Pair = pair(nodeUser, 365*day, 0) }, Broken,
		[]string{"the client certificate expired"},
	},
	{
		"the serving certificate is damaged", healthy, func(o *Observed, _ *config.Config) { o.Serving.Pair, o.Serving.PairErr = nil, errDamaged }, Waiting,
		[]string{"the serving certificate cannot be used"},
	},
	{
		"the serving certificate expired", healthy, func(o *Observed, _ *config.Config) { o.Serving.Pair = servingPair(nodeUser, 365*day, -time.Hour) }, Waiting,
		[]string{"the serving certificate expired at 2026-03-01T11:00:00Z"},
	},
	{"the kubelet serves a pair of its own", healthy, func(o *Observed, _ *config.Config) {
		o.Serving = Certificate{Kind: csr.Serving, PairErr: errNoPair, Adopted: servingPair("worker-1@1772366400", day, 364*day)}
	}, Attention, []string{"is a self-signed placeholder"}},

	// it works, and something is due
	{
		"the client certificate is due for rotation", healthy, func(o *Observed, _ *config.Config) { o.Client.Pair = pair(nodeUser, 350*day, 15*day) }, Attention,
		[]string{"the client certificate is due for rotation since 2026-0"},
	},
	{
		"the serving certificate is due for rotation", healthy, func(o *Observed, _ *config.Config) { o.Serving.Pair = servingPair(nodeUser, 350*day, 15*day) }, Attention,
		[]string{"the serving certificate is due for rotation since 2026-0"},
	},
	{
		"a bootstrap credential was left behind", healthy, func(o *Observed, _ *config.Config) { o.Bootstrap, o.BootstrapErr = bootstrapper, nil }, Attention,
		[]string{"a bootstrap credential is still in /etc/kubernetes/bootstrap.kubeconfig"},
	},
	{"a bootstrap credential is kept on purpose", healthy, func(o *Observed, c *config.Config) {
		o.Bootstrap, o.BootstrapErr, c.KeepBootstrapKubeconfig = bootstrapper, nil, true
	}, Well, nil},
	{"a systemd credential stays", healthy, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.BootstrapFile = bootstrapper, nil, "/run/credentials/bootstrap-agent.service/bootstrap.kubeconfig"
	}, Well, nil},
	{"the token of a systemd credential stays", healthy, func(o *Observed, c *config.Config) {
		o.Bootstrap, o.BootstrapErr = &kubeconfig.Bootstrap{Source: kubeconfig.TokenFile, SecretFile: "/creds/token"}, nil
		c.CredentialsDirectory = "/creds"
	}, Well, nil},
	{"a file lies aside beside a systemd credential", healthy, func(o *Observed, c *config.Config) {
		o.Aside, c.CredentialsDirectory = []string{"/etc/kubernetes/bootstrap.kubeconfig"}, "/creds"
	}, Attention, []string{"still in /etc/kubernetes/.bootstrap.kubeconfig.used"}},
	{"a systemd credential that cannot be used", empty, func(o *Observed, _ *config.Config) {
		o.BootstrapErr, o.BootstrapFile = errDamaged, "/run/credentials/bootstrap-agent.service/bootstrap.kubeconfig"
	}, Broken, []string{"put a bootstrap kubeconfig at /etc/kubernetes/bootstrap.kubeconfig", "the file is empty", "no serving certificate yet"}},
	{"an exec plugin is no secret", healthy, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr = &kubeconfig.Bootstrap{Source: kubeconfig.ExecPlugin}, nil
	}, Well, nil},
	{
		"a credential lies aside", healthy, func(o *Observed, _ *config.Config) { o.Aside = []string{"/etc/kubernetes/bootstrap.kubeconfig"} }, Attention,
		[]string{"still in /etc/kubernetes/.bootstrap.kubeconfig.used"},
	},

	// a person must act
	{
		"the machine has another name now", healthy, func(o *Observed, _ *config.Config) { o.Node = "worker-2" }, Broken,
		[]string{"the identity is system:node:worker-1, and this machine is called worker-2 now; name it back, or put a bootstrap kubeconfig"},
	},
	{
		"the kubelet's kubeconfig is lost", healthy, func(o *Observed, _ *config.Config) { o.Kubelet, o.KubeletErr = nil, errKubeless }, Broken,
		[]string{"no such file or directory; put a bootstrap kubeconfig for the cluster at"},
	},
	{
		"nothing says who may call the kubelet", healthy, func(o *Observed, _ *config.Config) { o.ClientCA = nil }, Broken,
		[]string{"/var/lib/kubelet/pki/kubelet-client-ca.crt is missing or empty"},
	},
}

func TestTheReportSaysHowThingsStandAndWhatToDo(t *testing.T) {
	for _, s := range situations {
		o, cfg := s.from(), settings
		s.change(&o, &cfg)
		r := o.Report(cfg)
		if r.Level != s.level {
			t.Errorf("%s: %s, expected %s", s.name, r.Level, s.level)
		}
		said := len(r.Findings) == len(s.findings)
		for i := range s.findings {
			said = said && strings.Contains(r.Findings[i].Text, s.findings[i])
		}
		if !said {
			t.Errorf("%s: says %+v\nexpected %q", s.name, r.Findings, s.findings)
		}
		if !slices.IsSortedFunc(r.Findings, func(a, b Finding) int { return rank[b.Level] - rank[a.Level] }) {
			t.Errorf("%s: the worst is not first: %+v", s.name, r.Findings)
		}
	}
}

// Other programs look at the number.
func TestTheLevelsAreTheExitCodes(t *testing.T) {
	for level, expected := range map[Level]struct {
		code int
		word string
	}{Well: {0, "well"}, Waiting: {1, "waiting"}, Broken: {3, "broken"}, Attention: {4, "attention"}} {
		text, err := level.MarshalText()
		if int(level) != expected.code || string(text) != expected.word || err != nil {
			t.Errorf("%d is %s (%v), expected %+v", level, text, err, expected)
		}
	}
}
