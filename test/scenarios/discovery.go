package scenarios

// discovery are those of a node that has a discovery token, and finds out where its cluster is.
var discovery = []Scenario{
	{"discovery-nobody-there", "nothing listens at the address where the cluster is to be found out", "unreachable", notInTime, GoesOn, Signs{
		`errors_total{phase="discovery",reason="unreachable"} > 0`, "BootstrapStuck",
		waiting, "where its cluster is has to be found out first", "discovery waiting",
		"correct `--api-server`, or find out what is in the way (`bootstrap-agent doctor`, lines `discovery`, `dns` and `tcp`); the agent goes on by itself, at the latest after 5 minutes",
	}},
	{"discovery-not-published", "the cluster has no cluster-info", "not-published", notInTime, GoesOn, Signs{
		`errors_total{phase="discovery",reason="not-published"} > 0`, "BootstrapStuck",
		waiting, "where its cluster is has to be found out first", "discovery broken",
		"publish it, and let system:anonymous read it ([the guide](joining.md)), or put a bootstrap kubeconfig in place; the agent goes on by itself",
	}},
	{"discovery-not-signed", "cluster-info is not signed with the token, or not yet", "not-signed", notInTime, GoesOn, Signs{
		`errors_total{phase="discovery",reason="not-signed"} > 0`, "BootstrapStuck",
		waiting, "where its cluster is has to be found out first", "discovery waiting",
		"make the token's Secret, with `usage-bootstrap-signing`, and have kube-controller-manager run `bootstrapsigner`; the agent goes on by itself once it is signed",
	}},
	{"discovery-wrong-secret", "cluster-info is signed with another token of the same ID", "signature", notInTime, GoesOn, Signs{
		`errors_total{phase="discovery",reason="signature"} > 0`, "BootstrapStuck",
		waiting, "where its cluster is has to be found out first", "discovery broken",
		"compare the token with the cluster's (`kubeadm token list`) and put the right one in place, which is taken up at once; if it is right, somebody changes what the API server answers",
	}},
	{"discovery-wrong-hash", "the CA in cluster-info is not the one that is pinned", "none of its 1 CA certificates is pinned", notInTime, Waits, Signs{
		`errors_total{phase="discovery",reason="pin"} > 0`, "BootstrapStuck",
		waiting, "where its cluster is has to be found out first", "discovery broken",
		"compare `--discovery-ca-cert-hash` with what a control plane node prints (`bootstrap-agent join-config --ca-file=/etc/kubernetes/pki/ca.crt --print=ca-cert-hash`), correct it and restart the agent; if it is right, somebody else answers there",
	}},
	{"discovery-server-unverified", "the server that cluster-info names has a certificate of another CA", "it names the server", notInTime, GoesOn, Signs{
		`errors_total{phase="discovery",reason="tls"} > 0`, "BootstrapStuck",
		waiting, "where its cluster is has to be found out first", "discovery broken",
		"correct the server in cluster-info (`kubectl -n kube-public edit configmap cluster-info`), or its certificate; the agent goes on by itself",
	}},
	{"discovery-changed", "cluster-info is another one at the second look, which is verified", "says something else", notInTime, GoesOn, Signs{
		`errors_total{phase="discovery",reason="changed"} > 0`, "BootstrapStuck",
		waiting, "where its cluster is has to be found out first", "discovery waiting",
		"nothing, if somebody has just changed it; if it goes on, find out who changes what is answered on the way",
	}},
	{"discovery-redirect", "the question for cluster-info is answered with a redirect", "redirects are refused", notInTime, GoesOn, Signs{
		`errors_total{phase="discovery",reason="redirect"} > 0`, "BootstrapStuck",
		waiting, "where its cluster is has to be found out first", "discovery broken",
		"give `--api-server` the address of the API server itself; nothing was sent to where the answer led",
	}},
	{"discovery-rogue-ca", "cluster-info names a CA beside the pinned one that has not been signed by it", "neither pinned nor signed by one that is", done, GoesOn, Signs{
		"ready == 1", "",
		well, "", "cluster-ca attention",
		"nothing for this node, which does not trust it; find out who put it there (`kubectl -n kube-public get configmap cluster-info -o yaml`)",
	}},
}

// joining are those of a machine that has its certificate and may not become the node.
var joining = []Scenario{
	{"node-taken", "another live machine is the node already", "another machine, with the machine ID", needsPerson, GoesOn, Signs{
		`errors_total{phase="client",reason="node-taken"} > 0`, "BootstrapStuck",
		waiting, "no client certificate yet", "node-taken broken",
		"give one of the two another name, or switch the other one off: the agent goes on by itself, at the latest after 5 minutes; `--allow-node-takeover` to take its place while it lives ([safe joining](safe-joining.md))",
	}},
}

// following are those of a node whose API server's CA follows something.
var following = []Scenario{
	{"ca-file-unusable", "the file that the CA of the API server follows cannot be used", "the CA of the API server is not followed", done, GoesOn, Signs{
		`errors_total{phase="ca",reason="file"} > 0`, "CANotFollowed",
		attention, "does not follow caFile", "ca-following attention",
		"put the cluster's CA into the file; the node goes on with the CA that it has, and takes the new one up by itself",
	}},
	{"ca-not-trusted", "the cluster is about to have a CA that is neither pinned nor signed by one that the node trusts", "neither pinned nor signed by one in use", done, Waits, Signs{
		`errors_total{phase="ca",reason="untrusted"} > 0`, "CANotFollowed",
		well, "", "cluster-ca attention",
		"compare its key with what a control plane node prints (`bootstrap-agent join-config --ca-file=/etc/kubernetes/pki/ca.crt --print=ca-cert-hash`); if it is the same, add it to `discoveryCACertHashes` and restart the agent, before the API server shows a certificate of it",
	}},
}
