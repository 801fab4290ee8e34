package status

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
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

var denied = &fs.PathError{Op: "open", Path: "/a", Err: syscall.EACCES}

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

	// a discovery token
	{"a discovery token has come, and its cluster is found out first", empty, undiscovered, Waiting, []string{
		"no client certificate yet: where its cluster is has to be found out first, at https://192.0.2.1:6443, https://192.0.2.2:6443; the agent is at it; what stands in its way; bootstrap-agent doctor",
		"no serving",
	}},
	{"a file says where the cluster of the discovery token is", empty, func(o *Observed, c *config.Config) {
		undiscovered(o, c)
		c.APIServers, c.DiscoveryFile, o.DiscoveryFile = nil, "/etc/kubernetes/cluster.kubeconfig", &apiserver.Endpoint{Server: "https://192.0.2.1:6443"}
	}, Waiting, []string{"no client certificate yet; the agent is at it", "no serving"}},
	{"there is no discovery token, nor a bootstrap kubeconfig", empty, func(_ *Observed, c *config.Config) { byDiscovery(c) }, Broken, []string{
		"no client certificate yet; put a bootstrap token at /etc/kubernetes/bootstrap.token, or a bootstrap kubeconfig at /etc/kubernetes/bootstrap.kubeconfig", "no serving",
	}},
	{"the discovery token is malformed", empty, func(o *Observed, c *config.Config) {
		byDiscovery(c)
		o.BootstrapErr, o.BootstrapFile = errors.New("discovery token /etc/kubernetes/bootstrap.token is malformed"), c.DiscoveryTokenFile
	}, Broken, []string{"no client certificate yet; put a bootstrap token at", "is malformed; mend it, or put another one in its place", "no serving"}},
	{"a discovery token lies beside an identity", healthy, undiscovered, Attention, []string{"a bootstrap credential is still in /etc/kubernetes/bootstrap.token"}},
	{"the kubelet's kubeconfig is lost, and a token would bring it back", healthy, func(o *Observed, c *config.Config) {
		byDiscovery(c)
		o.Kubelet, o.KubeletErr = nil, errKubeless
	}, Broken, []string{"no such file or directory; put a bootstrap token for the cluster at /etc/kubernetes/bootstrap.token, or a bootstrap kubeconfig for the cluster at /etc/kubernetes/bootstrap.kubeconfig, which brings server and CA back"}},
	{"the certificate is issued, and another machine may be the node", empty, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent, issued)
	}, Waiting, []string{"no client certificate yet; the agent is at it; what stands in its way; bootstrap-agent doctor", "no serving"}},

	// the CA that is followed
	{"the file with the CA is not there", healthy, func(_ *Observed, c *config.Config) { c.CAFile = "/nonexistent/ca.crt" }, Attention, []string{
		"the CA of the API server does not follow caFile: open /nonexistent/ca.crt: no such file or directory; put the cluster's CA there, one certificate behind the other, or change caFile",
	}},
	{"the file with the CA holds something else", healthy, func(_ *Observed, c *config.Config) { c.CAFile = "/etc/hosts" }, Attention, []string{
		"does not follow caFile: /etc/hosts holds no PEM certificate; put the cluster's CA there",
	}},

	// requests
	{"the client's request waits for approval", empty, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent)
	}, Waiting, []string{"no client", "worker-1-kubelet-client-0123456789abcdef0123 waits for approval since 2026-03-01T11:58:30Z; an administrator of the cluster looks at it and approves it; kubectl certificate approve worker-1-kubelet-client-0123456789abcdef0123", "no serving"}},
	{"the client's request was denied", empty, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent, ended(csr.Denied))
	}, Broken, []string{"worker-1-kubelet-client-0123456789abcdef0123: denied (Policy: not today)", "no client", "no serving"}},
	{"the signer cannot issue the client's certificate", empty, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent, ended(csr.Failed))
	}, Broken, []string{"failed (Policy: not today); look at the signer's log (kube-controller-manager) for the reason; a new request follows by itself; to ask at once; " +
		"rm /var/lib/kubelet/pki/kubelet-client.pending.pem && systemctl restart bootstrap-agent", "no client", "no serving"}},
	{"the client's request was taken by another, and a new one follows", empty, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent, ended(csr.Replaced))
	}, Waiting, []string{"no client", "no serving"}},
	{"the client's request on disk is damaged", empty, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr, o.Client.PendingErr = bootstrapper, nil, errors.New("it is damaged")
	}, Waiting, []string{"no client", "no serving", "the client request on disk is of no use (it is damaged); the agent makes another"}},
	{"the serving request waits for approval", healthy, func(o *Observed, _ *config.Config) {
		o.Serving.Pair, o.Serving.Pending = servingPair("worker-1@bootstrap-agent-placeholder", day, 29*day), pending(csr.Serving, sent)
	}, Attention, []string{"is a self-signed placeholder", "waits for approval since 2026-03-01T11:58:30Z; an administrator of the cluster looks at it and approves it; kubectl certificate approve worker-1-kubelet-serving-0123456789abcdef0123"}},
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
	{"what a shell would take for more is quoted", healthy, func(o *Observed, _ *config.Config) {
		o.Bootstrap, o.BootstrapErr = &kubeconfig.Bootstrap{Source: kubeconfig.TokenFile, SecretFile: "/etc/kubernetes/the token; id"}, nil
	}, Attention, []string{"if nothing else needs it; rm '/etc/kubernetes/the token; id'"}},
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

	// nobody looks after it
	{
		"no agent runs, and all is well", healthy, func(o *Observed, _ *config.Config) { o.Asker = &Asker{} }, Attention,
		[]string{"no agent runs on /var/lib/kubelet/pki: nothing is asked for, and nothing is rotated; start it; systemctl start bootstrap-agent"},
	},
	{"no agent runs, and the node is to join", empty, func(o *Observed, _ *config.Config) {
		o.Asker, o.Bootstrap, o.BootstrapErr = &Asker{}, bootstrapper, nil
	}, Waiting, []string{"no agent runs", "no client certificate yet; ; ", "no serving"}},
	{"no agent runs, and a person must act first", empty, func(o *Observed, _ *config.Config) { o.Asker = &Asker{} }, Broken, []string{"no client", "no agent runs", "no serving"}},
	{"it cannot be told whether an agent runs", healthy, func(o *Observed, _ *config.Config) { o.Asker = &Asker{AgentErr: errDamaged} }, Well, nil},
	{"nobody looked whether an agent runs", healthy, func(o *Observed, _ *config.Config) { o.Asker = nil }, Well, nil},
	{"the agent is at it", empty, func(o *Observed, _ *config.Config) { o.Bootstrap, o.BootstrapErr = bootstrapper, nil }, Waiting, []string{
		"no client certificate yet; the agent is at it; what stands in its way; bootstrap-agent doctor", "no serving",
	}},

	// files that cannot be read
	{"whoever asks may not read the files", empty, func(o *Observed, _ *config.Config) {
		o.Asker, o.Client.Unread, o.BootstrapErr = &Asker{Unprivileged: true, Agent: 1}, denied, denied
	}, Broken, []string{
		"permission denied; only root may read it, so ask as root; sudo bootstrap-agent status",
		"permission denied; only root may read it, so ask as root; sudo bootstrap-agent status", "no serving",
	}},
	{"root may not read the files", healthy, func(o *Observed, _ *config.Config) { o.Client.Unread = denied }, Broken, []string{
		"the client certificate's files cannot be read: open /a: permission denied; the agent runs as root; find out what denies it (owner, mode, SELinux, AppArmor)",
	}},
	{"the disk of the serving certificate fails", healthy, func(o *Observed, _ *config.Config) {
		o.Serving.Unread = &fs.PathError{Op: "read", Path: "/a", Err: syscall.EIO}
	}, Broken, []string{"the serving certificate's files cannot be read: read /a: input/output error; the disk may be failing: look at the kernel's log (dmesg)"}},

	// a person must act
	{
		"the machine has another name now", healthy, func(o *Observed, _ *config.Config) { o.Node = "worker-2" }, Broken,
		[]string{"the identity is system:node:worker-1, and this machine is called worker-2 now; put a bootstrap kubeconfig at /etc/kubernetes/bootstrap.kubeconfig to join under the new name, or name it back; hostnamectl hostname worker-1"},
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

// byDiscovery are the settings of a node that joins with a discovery token.
func byDiscovery(c *config.Config) {
	c.DiscoveryTokenFile, c.APIServers = "/etc/kubernetes/bootstrap.token", []string{"192.0.2.1", "192.0.2.2:6443"}
	c.DiscoveryCACertHashes = []string{"sha256:" + strings.Repeat("0", 64)}
}

func undiscovered(o *Observed, c *config.Config) {
	byDiscovery(c)
	o.Undiscovered = &kubeconfig.Bootstrap{Path: c.DiscoveryTokenFile, Source: kubeconfig.DiscoveryToken}
	o.BootstrapErr, o.BootstrapFile = ErrUndiscovered, c.DiscoveryTokenFile
}

// whole is a finding with all that it says to do.
func whole(f Finding) string { return strings.Join([]string{f.Text, f.Remedy, f.Command}, "; ") }

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
			said = said && strings.Contains(whole(r.Findings[i]), s.findings[i])
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
