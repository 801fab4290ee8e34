package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
)

// byToken has a node be one that joins with a discovery token, which is there.
func byToken(n *sick) {
	n.cfg.DiscoveryTokenFile, n.cfg.APIServers = n.path("/etc/kubernetes/bootstrap.token"), []string{"192.0.2.1"}
	n.cfg.DiscoveryCACertHashes = []string{string(discovery.PinOf(n.ca.cert))}
	n.write(n.cfg.DiscoveryTokenFile, secretToken+"\n", 0o600)
}

// byFile has a kubeconfig without a credential say where the cluster is.
func byFile(text func(*sick) string) func(*sick) {
	return func(n *sick) {
		byToken(n)
		n.cfg.APIServers, n.cfg.DiscoveryFile = nil, n.path("/etc/kubernetes/cluster.kubeconfig")
		n.write(n.cfg.DiscoveryFile, text(n), 0o644)
	}
}

func clusterAt(server string) func(*sick) string {
	return func(n *sick) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]\n", server, base64Of(n.ca.pem))
	}
}

func tokenSays(text string) func(*sick) {
	return both(byToken, func(n *sick) { n.write(n.cfg.DiscoveryTokenFile, text, 0o600) })
}

func token(n *sick) string { return n.cfg.DiscoveryTokenFile }

func asCredential(n *sick) {
	n.cfg.DiscoveryTokenFile = ""
	n.write(filepath.Join(n.cfg.CredentialsDirectory, "discovery.token"), secretToken, 0o400)
}

func discoveryIllnesses() []illness {
	gone := (*sick).noIdentity
	without := func(n *sick) { n.remove(n.cfg.DiscoveryTokenFile) }
	expired := func(n *sick) {
		n.ca = newAuthority(n.t, "kubernetes", n.now.Add(-day))
		byFile(clusterAt(apiServer))(n)
		n.cfg.DiscoveryCACertHashes = nil
	}
	const check = "discovery-token"
	return []illness{
		{name: "good, and needed", make: both(gone, byToken), check: check, verdict: OK, says: []string{"bootstrap.token has a bootstrap token with the ID abcdef", "until when it is good only its Secret says"}},
		{name: "its cluster is found out", make: both(gone, byToken), check: check, verdict: OK, says: []string{"found out at https://192.0.2.1:6443, by a CA with the key sha256:"}},
		{name: "none, and no identity", make: both(gone, byToken, without), check: check, verdict: Broken, says: []string{"bootstrap.token is not there, and the node has no identity", "install -m 0600 ./bootstrap.token"}},
		{name: "none, and a request under way", make: both(gone, byToken, without, request(csr.Client, accepted)), check: check, verdict: Waiting, says: []string{"cannot be followed without it"}},
		{name: "none beside an identity", make: both(byToken, without), check: check, verdict: OK, says: []string{"bootstrap.token is gone, as it should be"}},
		{name: "empty", make: both(gone, tokenSays("")), check: check, verdict: Broken, says: []string{"is empty", "still being written"}},
		{name: "no token", make: both(gone, tokenSays("abcdef.0123456789")), check: check, verdict: Broken, says: []string{"is malformed", "put a good one in its place"}},
		{name: "no token, beside an identity", make: tokenSays("x"), check: check, verdict: Attention, says: []string{"is malformed", "may hold a secret"}},
		{name: "others may read it", make: both(gone, byToken, chmod(0o644, token)), check: check, verdict: Attention, says: []string{"mode 0644", "chmod 0600"}, mends: true},
		{name: "others may change it", make: both(gone, byToken, chmod(0o666, token)), check: check, verdict: Broken, says: []string{"writable by others", "chmod go-w"}, mends: true},
		{name: "another user's", make: both(gone, byToken, func(n *sick) { must(n.t, os.Chown(token(n), 12345, 12345)) }), check: check, verdict: Broken, says: []string{"belongs to user 12345", "chown"}, mends: true},
		{name: "left beside an identity", make: byToken, check: check, verdict: Attention, says: []string{"a bootstrap credential (discovery", "still in", agentLog}, mends: true},
		{name: "kept on purpose", make: both(byToken, func(n *sick) { n.cfg.KeepBootstrapKubeconfig = true }), check: check, verdict: OK, says: []string{"is kept"}},
		{name: "beside a bootstrap kubeconfig", make: both(gone, byToken, func(n *sick) { n.bootstrap(apiServer) }), check: check, verdict: OK, says: []string{"is left alone", "wins"}},
		{name: "a systemd credential", make: both(byToken, without, asCredential), check: check, verdict: OK, says: []string{"systemd credential: it stays"}},
		{name: "a systemd credential, and nothing says where its cluster is", make: both(gone, asCredential), check: check, verdict: Attention, says: []string{"nothing says where its cluster is", "discoveryCACertHashes", restartAgent}},
		{name: "it is said where the cluster is, and there is no token", make: both(byToken, without, func(n *sick) { n.cfg.DiscoveryTokenFile = "" }), check: check, verdict: Attention, says: []string{"there is no discovery token for it", "discoveryTokenFile", restartAgent}},

		{name: "a file says where the cluster is", make: both(gone, byFile(clusterAt(apiServer))), check: check, verdict: OK, says: []string{"cluster.kubeconfig says that its cluster is " + apiServer}},
		{name: "the CA in the file has time", make: both(gone, byFile(clusterAt(apiServer))), check: check, verdict: OK, says: []string{"cluster.kubeconfig: 1 until"}},
		{name: "the CA in the file has expired", make: both(gone, expired), check: check, verdict: Broken, says: []string{"cluster.kubeconfig has expired", "put the cluster's CA into it"}},
		{name: "the file is not there", make: both(gone, byFile(clusterAt(apiServer)), func(n *sick) { n.remove(n.cfg.DiscoveryFile) }), check: check, verdict: Broken, says: []string{"discovery file: ", "no such file", "put another one there"}},
		{name: "the file leads to plain HTTP", make: both(gone, byFile(clusterAt("http://192.0.2.1"))), check: check, verdict: Broken, says: []string{"it must be https"}},
		{name: "the file holds a credential", make: both(gone, byFile(func(n *sick) string {
			return clusterAt(apiServer)(n) + "users: [{name: u, user: {token: " + secretToken + "}}]\n"
		})), check: check, verdict: Broken, says: []string{"holds a credential", "--bootstrap-kubeconfig"}},
		{name: "no CA in the file is pinned", make: both(gone, byFile(clusterAt(apiServer)), func(n *sick) {
			n.cfg.DiscoveryCACertHashes = []string{string(discovery.PinOf(newAuthority(n.t, "other", n.now.Add(day)).cert))}
		}), check: check, verdict: Broken, says: []string{"none of its 1 CA certificates is pinned", "sha256:"}},

		{name: "the node joins with a discovery token", make: both(gone, byToken), check: "bootstrap-kubeconfig", verdict: OK, says: []string{"is not there: the node joins with a discovery token"}},
		{name: "one comes by a discovery token", make: both(gone, byToken), check: "client-certificate", verdict: Waiting, says: []string{"no client certificate yet", agentLog}},
		{name: "nothing to get one with, not even a discovery token", make: both(gone, byToken, without), check: "client-certificate", verdict: Broken, says: []string{"see discovery-token"}},
		{name: "a copy beside the discovery token", make: both(byToken, without, func(n *sick) { n.write(n.cfg.DiscoveryTokenFile+".save", secretToken, 0o600) }), check: "token-copies", verdict: Attention, says: []string{"bootstrap.token.save", "rm "}, mends: true},
		{name: "not in the folder of the discovery token", make: both(byToken, func(n *sick) {
			n.cfg.DiscoveryTokenFile = n.path("/var/lib/tokens/bootstrap.token")
			n.write(n.cfg.DiscoveryTokenFile, secretToken, 0o600)
		}), check: "sandbox", verdict: Broken, says: []string{"does not let it write in", "/var/lib/tokens"}},
		{name: "others may change the folder of the discovery token", make: both(byToken, func(n *sick) {
			n.cfg.DiscoveryTokenFile = n.path("/var/lib/tokens/bootstrap.token")
			n.write(n.cfg.DiscoveryTokenFile, secretToken, 0o600)
			must(n.t, os.Chmod(n.path("/var/lib/tokens"), 0o777))
		}), check: "owners-and-modes", verdict: Broken, says: []string{"/var/lib/tokens is writable by others"}, mends: true},

		{name: "none", make: func(n *sick) { n.remove("/etc/machine-id") }, check: "machine-id", verdict: Attention, says: []string{"machine-id is not there", "cannot be told", "systemd-machine-id-setup"}},
		{name: "an image's that has not been booted", make: func(n *sick) { n.write("/etc/machine-id", "uninitialized\n", 0o444) }, check: "machine-id", verdict: Attention, says: []string{"holds no machine ID", "systemd-machine-id-setup"}},
		{name: "nobody's own", make: func(n *sick) { n.write("/etc/machine-id", "00000000000000000000000000000000\n", 0o444) }, check: "machine-id", verdict: Attention, says: []string{"nobody's own", "systemd-machine-id-setup"}},
		{name: "an image's that was booted before", make: func(n *sick) {
			n.write("/var/lib/cloud/data/instance-id", "i-new\n", 0o644)
			n.write("/var/lib/cloud/instances/i-new/sem/config_ssh", "", 0o644)
			n.write("/var/lib/cloud/instances/i-builder/sem/config_ssh", "", 0o644)
			n.age(n.now.Add(-30*day), n.path("/var/lib/cloud/instances/i-builder/sem/config_ssh"))
			n.age(n.now.Add(-30*day-time.Minute), n.path("/etc/machine-id"))
		}, check: "machine-id", verdict: Unknown, says: []string{"was made when this disk was the machine i-builder, and it is i-new now", "docs/images.md"}},
		{name: "its own, on an image that was booted before", make: func(n *sick) {
			n.write("/var/lib/cloud/data/instance-id", "i-new\n", 0o644)
			n.write("/var/lib/cloud/instances/i-builder/sem/config_ssh", "", 0o644)
			n.age(n.now.Add(-30*day), n.path("/var/lib/cloud/instances/i-builder/sem/config_ssh"))
		}, check: "machine-id", verdict: OK, says: []string{ourMachine}},
	}
}

// followedFile has the CA of the API server follow a file.
func followedFile(text func(*sick) string) func(*sick) {
	return func(n *sick) {
		n.cfg.CAFile = n.path("/etc/kubernetes/pki/ca.crt")
		n.write(n.cfg.CAFile, text(n), 0o644)
	}
}

func followingIllnesses() []illness {
	ours := func(n *sick) string { return string(n.ca.pem) }
	and := func(name string, until time.Duration) func(*sick) string {
		return func(n *sick) string { return ours(n) + string(newAuthority(n.t, name, n.now.Add(until)).pem) }
	}
	says := func(text string) func(*sick) string { return func(*sick) string { return text } }
	const check = "ca-following"
	return []illness{
		{name: "cluster-info", make: func(n *sick) { n.cfg.CAFromClusterInfo = true }, check: check, verdict: OK, says: []string{"follows kube-public/cluster-info"}},
		{name: "a file that is what is in use", make: followedFile(ours), check: check, verdict: OK, says: []string{"ca.crt: 1 until"}},
		{name: "a file with a new CA beside", make: followedFile(and("new", 900*day)), check: check, verdict: Attention, says: []string{"is not yet what is in use", "kubelet-apiserver-ca.crt", agentLog}},
		{name: "a file that is not there", make: both(followedFile(ours), func(n *sick) { n.remove(n.cfg.CAFile) }), check: check, verdict: Attention, says: []string{"does not follow caFile", "no such file", "change caFile"}},
		{name: "a file that is empty", make: followedFile(says("")), check: check, verdict: Attention, says: []string{"is empty", "still being written"}},
		{name: "a file that is half written", make: followedFile(func(n *sick) string { return ours(n) + ours(n)[:300] }), check: check, verdict: Attention, says: []string{"is not complete"}},
		{name: "a file with a private key", make: followedFile(func(n *sick) string { return string(n.current("kubelet-client")) }), check: check, verdict: Attention, says: []string{"holds a private key"}},
		{name: "a file with nothing that is valid any more", make: followedFile(func(n *sick) string { return string(newAuthority(n.t, "old", n.now.Add(-day)).pem) }), check: check, verdict: Attention, says: []string{"only certificates that have expired"}},
		{name: "a file that others may change", make: both(followedFile(ours), chmod(0o666, func(n *sick) string { return n.cfg.CAFile })), check: check, verdict: Attention, says: []string{"writable by others", "chmod go-w"}, mends: true},
		{name: "a file whose last CA ends soon", make: followedFile(func(n *sick) string { return string(newAuthority(n.t, "old", n.now.Add(10*day)).pem) }), check: check, verdict: Attention, says: []string{"ends at", "in 10 days"}},
	}
}
