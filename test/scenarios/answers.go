package scenarios

// answers are those of what comes back.
var answers = []Scenario{
	{"certificate-for-another-key", "the signer issues a certificate for another key", "for another key than ours", needsPerson, Waits, Signs{
		`certificate_signing_requests_total{certificate="client",result="refused"} > 0`, "CSRFailed BootstrapStuck ServingPlaceholder",
		broken, "refused (", "requests broken",
		"compare the signer's configuration with what the request asks for." + again,
	}},
	{"certificate-for-another-node", "the signer issues a certificate for another subject", "asked was", needsPerson, Waits, Signs{
		`certificate_signing_requests_total{certificate="client",result="refused"} > 0`, "CSRFailed BootstrapStuck ServingPlaceholder",
		broken, "refused (", "requests broken",
		"compare the signer's configuration with what the request asks for." + again,
	}},
	{"certificate-without-the-usage", "the signer issues a certificate that is not for client authentication", "may not be used for what was asked", needsPerson, Waits, Signs{
		`certificate_signing_requests_total{certificate="client",result="refused"} > 0`, "CSRFailed BootstrapStuck ServingPlaceholder",
		broken, "refused (", "requests broken",
		"compare the signer's configuration with what the request asks for." + again,
	}},
	{"certificate-not-yet-valid", "the signer issues a certificate that begins in the future by the API server's clock", "is valid from", notInTime, GoesOn, Signs{
		`errors_total{phase="clock",reason="issued-certificate"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "api-server-clock ok",
		"set the clock of the signer's machine; the certificate is used by itself once it is valid",
	}},
	{"serving-certificate-without-a-name", "the signer drops a name from the serving certificate", "asked were", placeholder, Waits, Signs{
		`certificate_signing_requests_total{certificate="serving",result="refused"} > 0`, "CSRFailed ServingPlaceholder",
		attention, "refused (", "requests attention",
		"have the signer keep all names of a request, or ask for fewer (`--serving-dns-names`, `--serving-ips`)." + again,
	}},
	{"proof-unauthorized", "the API server does not accept the issued certificate", "--client-ca-file", needsPerson, GoesOn, Signs{
		`errors_total{phase="client",reason="refused"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "requests waiting",
		"have every API server trust the signer's CA (`--client-ca-file` of kube-apiserver); it is tried again by itself",
	}},
	{"proof-as-somebody-else", "the API server takes the issued certificate for another user", "takes the new client certificate for user", needsPerson, GoesOn, Signs{
		`errors_total{phase="client",reason="refused"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "requests waiting",
		"have every API server trust the signer's CA (`--client-ca-file` of kube-apiserver); it is tried again by itself",
	}},
	{"kubelet-client-ca-unknown", "signers and API server have different CAs and nothing says which may call the kubelet", "--kubelet-client-ca-file", needsPerson, Waits, Signs{
		"ready == 0", "BootstrapStuck",
		broken, "nothing says who may call the kubelet", "ca-files broken",
		"give the agent `--kubelet-client-ca-file` with the CA that signs the API server's own client certificate, and restart it",
	}},
}
