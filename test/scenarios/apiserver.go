package scenarios

// apiServer are those of the API server.
var apiServer = []Scenario{
	{"api-server-down", "nothing listens at the API server's address", "unreachable", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="unreachable"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "tcp waiting",
		"find out what is in the way, from the address outwards (`bootstrap-agent doctor`); the agent goes on by itself, at the latest after 5 minutes",
	}},
	{"api-server-closes", "connections are accepted and closed at once", "unreachable", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="unreachable"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "tls waiting",
		"find out what is in the way, from the address outwards (`bootstrap-agent doctor`); the agent goes on by itself, at the latest after 5 minutes; a load balancer without a backend looks so",
	}},
	{"api-server-hangs", "connections are accepted and never answered", "timeout", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="timeout"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "tls waiting",
		"find out what is in the way, from the address outwards (`bootstrap-agent doctor`); the agent goes on by itself, at the latest after 5 minutes",
	}},
	{"api-server-closes-mid-body", "the answer breaks off in the middle", "unreachable", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="unreachable"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "api-server-version waiting",
		"find out what is in the way, from the address outwards (`bootstrap-agent doctor`); the agent goes on by itself, at the latest after 5 minutes",
	}},
	{"api-server-401", "the token is not known yet", "unauthorized", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="unauthorized"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "who-am-i broken",
		"make the token's Secret (`kubectl -n kube-system get secrets --field-selector type=bootstrap.kubernetes.io/token`), or put a new bootstrap kubeconfig in place; both are taken up by themselves",
	}},
	{"api-server-403", "the credential may not create requests", "forbidden", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="forbidden"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "csr-access broken",
		"bind the credential's group to the ClusterRole `system:node-bootstrapper`; it is tried again every 30 s to 5 min",
	}},
	{"api-server-429", "the API server is overloaded and names a time", "throttled", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="throttled"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "api-server-version waiting",
		"nothing for this node: the agent waits for as long as the API server asks; look why it is overloaded",
	}},
	{"api-server-500", "the API server fails", "server-error", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="server-error"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "api-server-version waiting",
		"look at the log of kube-apiserver and at etcd; the agent goes on by itself",
	}},
	{"api-server-nonsense", "something else than an API server answers", "bad-answer", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="bad-answer"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "api-server-version broken",
		"correct `server` in the bootstrap kubeconfig, or the portal or proxy that answers in the API server's place",
	}},
	{"api-server-certificate-not-yet-valid", "the API server's certificate begins in the future by the local clock", "clock", notInTime, GoesOn, Signs{
		`errors_total{phase="clock",reason="server-certificate"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "tls broken",
		"look at `timedatectl` first: the local clock is often what is wrong; else have the API server's certificate renewed",
	}},
	{"api-server-certificate-expired", "the API server's certificate has expired by the local clock", "clock", notInTime, GoesOn, Signs{
		`errors_total{phase="clock",reason="server-certificate"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "tls broken",
		"look at `timedatectl` first: the local clock is often what is wrong; else have the API server's certificate renewed",
	}},
	{"api-server-of-another-ca", "the server's certificate is of another CA than the kubeconfig's", "reason=tls", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="tls"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "tls broken",
		"correct `certificate-authority-data` or `server` in the bootstrap kubeconfig; an HTTPS proxy in between looks so too",
	}},
	{"api-server-down-with-identity", "the API server is down, and the identity is on the disk", "the kubelet can start", done, GoesOn, Signs{
		"ready == 1", "",
		well, "", "tcp waiting",
		"nothing for this node: the kubelet has its certificates, and the agent needs the API server only for the next rotation",
	}},
	{"redirect-token", "the server redirects a request with a token", "redirects are refused", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="redirect"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "api-server-version broken",
		"put the address of the API server itself into `server` of the bootstrap kubeconfig; nothing was sent to where the answer led",
	}},
	{"redirect-token-file", "the server redirects a request with a token from a file", "redirects are refused", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="redirect"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "api-server-version broken",
		"put the address of the API server itself into `server` of the bootstrap kubeconfig; nothing was sent to where the answer led",
	}},
	{"redirect-client-certificate", "the server redirects a request with a client certificate", "redirects are refused", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="redirect"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "api-server-version broken",
		"put the address of the API server itself into `server` of the bootstrap kubeconfig; nothing was sent to where the answer led",
	}},
	{"redirect-exec", "the server redirects a request with an exec plugin's token", "redirects are refused", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="redirect"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "api-server-version broken",
		"put the address of the API server itself into `server` of the bootstrap kubeconfig; nothing was sent to where the answer led",
	}},
	{"exec-plugin-fails", "the exec plugin cannot be run, or fails", "exec", notInTime, GoesOn, Signs{
		`errors_total{phase="client",reason="credential"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "who-am-i broken",
		"run the plugin's command by hand as root; it is run again by itself",
	}},
}
