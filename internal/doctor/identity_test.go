package doctor

import (
	"os"
	"path/filepath"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

// client stores another identity.
func client(commonName string, from, until time.Duration) func(*sick) {
	return func(n *sick) { n.storeClient(n.ca.issue(n.t, commonName, n.now.Add(from), n.now.Add(until))) }
}

func issuedServing(from, until time.Duration) func(*sick) {
	return func(n *sick) { n.storeServing(n.ca.issue(n.t, nodeSubject, n.now.Add(from), n.now.Add(until))) }
}

func placeholder(n *sick) {
	pair, err := serving.Placeholder("worker-1", serving.NamesFor("worker-1", nil, nil, nil), n.now)
	must(n.t, err)
	n.storeServing(pair)
}

// request leaves one under way on the disk.
func request(kind csr.Kind, change func(*csr.Pending, time.Time)) func(*sick) {
	return func(n *sick) {
		p, err := csr.New(csr.Wish{Kind: kind, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256"}, apiserver.Endpoint{Server: apiServer, CA: n.ca.pem})
		must(n.t, err)
		change(p, n.now)
		text, err := p.Encode()
		must(n.t, err)
		prefix := certdir.Client
		if kind == csr.Serving {
			prefix = certdir.Serving
		}
		must(n.t, n.dir().WritePending(prefix, text))
	}
}

func accepted(p *csr.Pending, now time.Time) { p.UID, p.Accepted = "uid", now.Add(-time.Hour) }

func ended(how csr.Result) func(*csr.Pending, time.Time) {
	return func(p *csr.Pending, now time.Time) {
		accepted(p, now)
		p.Ended = &csr.Ended{Outcome: how, Reason: "Policy", Message: "not today", At: now.Add(-time.Minute)}
	}
}

// both changes a node twice.
func both(changes ...func(*sick)) func(*sick) {
	return func(n *sick) {
		for _, change := range changes {
			change(n)
		}
	}
}

func unnamed(name string) func(*sick) { return func(n *sick) { n.cfg.HostnameOverride = name } }

func identityIllnesses() []illness {
	bootstrapped := func(n *sick) { n.bootstrap(apiServer) }
	gone := (*sick).noIdentity
	garbage := func(n *sick) { n.write(filepath.Join(n.cfg.CertDir, "kubelet-client-current.pem"), "", 0o600) }
	return []illness{
		{name: "the identity is another node's", make: unnamed("worker-2"), check: "node-name", verdict: Broken, says: []string{"worker-1's", "called worker-2", "hostnameOverride: worker-1", "bootstrap.kubeconfig"}},
		{name: "no name", make: unnamed("localhost"), check: "node-name", verdict: Waiting, says: []string{"localhost", "hostnamectl hostname"}},
		{name: "a name that no node can have", make: unnamed("a_b"), check: "node-name", verdict: Broken, says: []string{"a_b", "hostnamectl hostname"}},
		{name: "another name after the next boot", make: both(gone, unnamed("")), check: "node-name", verdict: Attention, says: []string{"says worker-1", "the next boot", "hostnamectl hostname"}},

		{name: "nothing to get one with", make: gone, check: "client-certificate", verdict: Broken, says: []string{"no client certificate yet", "nothing to get one with", "bootstrap-kubeconfig"}},
		{name: "one comes", make: both(gone, bootstrapped), check: "client-certificate", verdict: Waiting, says: []string{"no client certificate yet", agentLog}},
		{name: "damaged", make: garbage, check: "client-certificate", verdict: Broken, says: []string{"cannot be used", "the file is empty"}},
		{name: "expired, and an older one is good", make: client(nodeSubject, -2*day, -day), check: "client-certificate", verdict: Waiting, says: []string{"has expired at", agentLog}},
		{name: "expired", make: func(n *sick) {
			n.remove(n.dir().Pairs(certdir.Client)...)
			client(nodeSubject, -2*day, -day)(n)
		}, check: "client-certificate", verdict: Broken, says: []string{"has expired at"}},
		{name: "no node's", make: both(client("kubernetes-admin", -day, day), unnamed("worker-1")), check: "client-certificate", verdict: Broken, says: []string{"kubernetes-admin", "no node", "install -m 0600"}},
		{name: "due", make: client(nodeSubject, -99*day, day), check: "client-certificate", verdict: Attention, says: []string{"due for rotation since", agentLog}},
		{name: "due, and the kubelet's", make: both(client(nodeSubject, -99*day, day), func(n *sick) { n.cfg.RotateCertificates = false }), check: "client-certificate", verdict: Attention, says: []string{"left to the kubelet", "rotateCertificates: true"}},
		{name: "not valid yet", make: client(nodeSubject, time.Hour, day), check: "client-certificate", verdict: Attention, says: []string{"valid from", "clock", "timedatectl"}},
		{name: "short-lived", make: client(nodeSubject, -time.Minute, 9*time.Minute), check: "client-certificate", verdict: Attention, says: []string{"10m", "--cluster-signing-duration"}},
		{name: "a link in a ring", make: func(n *sick) {
			n.remove(filepath.Join(n.cfg.CertDir, "kubelet-client-current.pem"))
			must(n.t, os.Symlink("kubelet-client-current.pem", filepath.Join(n.cfg.CertDir, "kubelet-client-current.pem")))
		}, check: "client-certificate", verdict: Waiting, says: []string{"cannot be used", agentLog}},

		{name: "off", make: func(n *sick) { n.cfg.Serving = "off" }, check: "serving-certificate", verdict: OK, says: []string{"left to the kubelet"}},
		{name: "before the identity", make: gone, check: "serving-certificate", verdict: OK, says: []string{"when the node has its identity"}},
		{name: "a placeholder", make: placeholder, check: "serving-certificate", verdict: Attention, says: []string{"self-signed placeholder", agentLog}},
		{name: "a placeholder that waits for approval", make: both(placeholder, request(csr.Serving, accepted)), check: "serving-certificate", verdict: Attention, says: []string{"self-signed placeholder", "kubectl certificate approve worker-1-"}},
		{name: "missing", make: func(n *sick) { n.remove(n.dir().Pairs(certdir.Serving)...) }, check: "serving-certificate", verdict: Waiting, says: []string{"no serving certificate yet", agentLog}},
		{name: "expired", make: issuedServing(-2*day, -day), check: "serving-certificate", verdict: Waiting, says: []string{"has expired at"}},
		{name: "due", make: issuedServing(-99*day, day), check: "serving-certificate", verdict: Attention, says: []string{"due for rotation since"}},

		{name: "dangling", make: func(n *sick) { n.remove(n.dir().Pairs(certdir.Serving)...) }, check: "serving-names", verdict: Broken, says: []string{"kubelet.key leads to nothing", "everybody can read", restartAgent}},
		{name: "one is not linked", make: func(n *sick) { n.remove(filepath.Join(n.cfg.CertDir, "kubelet.key")) }, check: "serving-names", verdict: Attention, says: []string{"do not both lead to", restartAgent}},
		{name: "no pair", make: func(n *sick) {
			n.remove(n.dir().Pairs(certdir.Serving)...)
			for _, name := range []string{"kubelet.crt", "kubelet.key"} {
				n.remove(filepath.Join(n.cfg.CertDir, name))
				n.write(filepath.Join(n.cfg.CertDir, name), "", 0o600)
			}
		}, check: "serving-names", verdict: Waiting, says: []string{"no pair that can be used"}},

		{name: "waits for approval, with an identity", make: request(csr.Client, accepted), check: "requests", verdict: Attention, says: []string{"waits for approval since", "kubectl certificate approve worker-1-"}},
		{name: "waits for approval, without one", make: both(gone, request(csr.Client, accepted)), check: "requests", verdict: Waiting, says: []string{"waits for approval since", "kubectl certificate approve worker-1-"}},
		{name: "denied", make: both(gone, request(csr.Client, ended(csr.Denied))), check: "requests", verdict: Broken, says: []string{"denied at", "Policy: not today", "kubectl describe csr worker-1-"}},
		{name: "a denied serving request", make: request(csr.Serving, ended(csr.Denied)), check: "requests", verdict: Attention, says: []string{"denied at"}},
		{name: "refused", make: both(gone, request(csr.Client, ended(csr.Refused))), check: "requests", verdict: Broken, says: []string{"refused at", "--client-ca-file"}},
		{name: "deleted", make: both(gone, request(csr.Client, ended(csr.Deleted))), check: "requests", verdict: Waiting, says: []string{"deleted at", "asks again by itself"}},
		{name: "not sent", make: both(gone, request(csr.Client, func(*csr.Pending, time.Time) {})), check: "requests", verdict: Waiting, says: []string{"has not been seen to have it"}},
		{name: "of no use", make: func(n *sick) { must(n.t, n.dir().WritePending(certdir.Client, []byte("x"))) }, check: "requests", verdict: Attention, says: []string{"of no use", restartAgent}},

		{name: "missing beside an identity", make: func(n *sick) { n.remove(n.dir().ServerCA()) }, check: "ca-files", verdict: Broken, says: []string{"kubelet-apiserver-ca.crt", "is not there", "bootstrap kubeconfig"}},
		{name: "empty", make: func(n *sick) { n.write(n.dir().ClientCA(), "", 0o644) }, check: "ca-files", verdict: Broken, says: []string{"holds no certificate", "kubeletClientCAFile", restartAgent}},
		{name: "expired", make: ca(-day), check: "ca-files", verdict: Broken, says: []string{"has expired"}},
		{name: "soon to end", make: ca(10 * day), check: "ca-files", verdict: Attention, says: []string{"ends at", "in 10 days"}},

		{name: "missing beside an identity", make: func(n *sick) { n.remove(n.cfg.Kubeconfig) }, check: "kubelet-kubeconfig", verdict: Broken, says: []string{"no such file", "install -m 0600"}},
		{name: "no kubeconfig", make: func(n *sick) { n.write(n.cfg.Kubeconfig, "{", 0o600) }, check: "kubelet-kubeconfig", verdict: Broken, says: []string{"is not a kubeconfig", "kubectl --kubeconfig="}},
		{name: "another client certificate", make: func(n *sick) {
			n.writeKubeconfig(kubeconfig.Kubelet{Endpoint: apiserver.Endpoint{Server: apiServer}, CAFile: n.dir().ServerCA(), ClientPEM: "/other.pem"})
		}, check: "kubelet-kubeconfig", verdict: Attention, says: []string{"/other.pem", "does not see it rotate", "client-certificate"}},

		{name: "none, and no identity", make: gone, check: "bootstrap-kubeconfig", verdict: Broken, says: []string{"is not there", "install -m 0600 ./bootstrap.kubeconfig"}},
		{name: "none, and a request under way", make: both(gone, request(csr.Client, accepted)), check: "bootstrap-kubeconfig", verdict: Waiting, says: []string{"cannot be followed without it"}},
		{name: "good, and needed", make: both(gone, bootstrapped), check: "bootstrap-kubeconfig", verdict: OK, says: []string{"token for " + apiServer}},
		{name: "left beside an identity", make: bootstrapped, check: "bootstrap-kubeconfig", verdict: Attention, says: []string{"still in", agentLog}, mends: true},
		{name: "kept on purpose", make: both(bootstrapped, func(n *sick) { n.cfg.KeepBootstrapKubeconfig = true }), check: "bootstrap-kubeconfig", verdict: OK, says: []string{"is kept"}},
		{name: "others may read it", make: both(gone, bootstrapped, func(n *sick) { must(n.t, os.Chmod(n.cfg.BootstrapKubeconfig, 0o644)) }), check: "bootstrap-kubeconfig", verdict: Attention, says: []string{"mode 0644", "chmod 0600"}, mends: true},
		{name: "bad", make: both(gone, func(n *sick) { n.bootstrap("http://192.0.2.1") }), check: "bootstrap-kubeconfig", verdict: Broken, says: []string{"https"}},
		{name: "bad beside an identity", make: func(n *sick) { n.bootstrap("http://192.0.2.1") }, check: "bootstrap-kubeconfig", verdict: Attention, says: []string{"https"}},
		{name: "others may change it", make: both(gone, bootstrapped, func(n *sick) { must(n.t, os.Chmod(n.cfg.BootstrapKubeconfig, 0o666)) }), check: "bootstrap-kubeconfig", verdict: Broken, says: []string{"writable by others", "chmod go-w"}, mends: true},
		{name: "laid aside", make: func(n *sick) { n.write("/etc/kubernetes/.bootstrap.kubeconfig.used", "token: "+secretToken, 0o600) }, check: "bootstrap-kubeconfig", verdict: Attention, says: []string{".used", restartAgent}},
		{name: "a systemd credential", make: func(n *sick) {
			n.bootstrap(apiServer)
			must(n.t, os.MkdirAll(n.cfg.CredentialsDirectory, 0o755))
			must(n.t, os.Rename(n.cfg.BootstrapKubeconfig, filepath.Join(n.cfg.CredentialsDirectory, "bootstrap.kubeconfig")))
		}, check: "bootstrap-kubeconfig", verdict: OK, says: []string{"systemd credential", "LoadCredential="}},
	}
}

func ca(left time.Duration) func(*sick) {
	return func(n *sick) {
		n.write(n.dir().ServerCA(), string(newAuthority(n.t, "old", n.now.Add(left)).pem), 0o644)
	}
}
