package scenarios

const again = " After that nothing is to be done: the agent asks again by itself; at once with the command that `status` shows"

// keeping are those of a node that has its certificates: rotation and recovery.
var keeping = []Scenario{
	{"rotation-denied", "an approver denies the request for the next serving certificate", "the certificate signing request was denied", done, Waits, Signs{
		`rotations_total{certificate="serving",result="failure"} > 0`, "CSRDenied CertificateExpiring RotationFailing RotationOverdue",
		attention, "denied (", "csr attention",
		"find out from reason and message why the approver said no, before the certificate in use expires." + again,
	}},
	{"rotation-without-api-server", "the API server is down when both certificates are due for rotation", "unreachable", done, GoesOn, Signs{
		`errors_total{phase="client",reason="unreachable"} > 0`, "CertificateExpiring CertificateExpiringSoon RotationOverdue",
		attention, "the client certificate is due for rotation since", "tcp waiting",
		"bring the API server back before the certificate expires; the agent goes on by itself, at the latest after 5 minutes. An expired client certificate needs a new bootstrap kubeconfig",
	}},
	{"identity-refused", "the cluster does not know the node's identity any more, as after a change of its CA", "unauthorized", done, GoesOn, Signs{
		"ready == 0", "BootstrapStuck CertificateExpiring CertificateExpiringSoon RotationOverdue",
		attention, "the client certificate is due for rotation since", "who-am-i broken",
		"put a new bootstrap kubeconfig in place: it is used once the cluster has refused the identity for a minute",
	}},
	{"identity-expired", "the client certificate has expired, as on a machine that was switched off for long", "the client certificate expired at", needsPerson, GoesOn, Signs{
		"ready == 0", "BootstrapStuck CertificateExpiring RotationOverdue",
		broken, "the client certificate expired at", "client-certificate broken",
		"put a new bootstrap kubeconfig in place; it is taken up at once",
	}},
	{"identity-of-another-name", "the machine has been given another name", "the identity is system:node:", done, Waits, Signs{
		"node_name_mismatch == 1", "NodeNameMismatch",
		broken, "and this machine is called", "node-name broken",
		"name it back (`hostnamectl hostname OLD`, or `--hostname-override`), or put a bootstrap kubeconfig in place to join under the new name",
	}},
	{"kubelet-kubeconfig-lost", "the kubelet's kubeconfig went while no agent was running", "brings server and CA back", needsPerson, GoesOn, Signs{
		"ready == 0", "BootstrapStuck",
		broken, "which brings server and CA back", "kubelet-kubeconfig broken",
		"put a bootstrap kubeconfig for the cluster in place, or write the file again; the identity is not asked for anew",
	}},
	{"clock-ahead", "this machine's clock is 20 minutes ahead of the API server's", "", done, GoesOn, Signs{
		"clock_skew_seconds > 1000", "ClockSkew",
		well, "", "api-server-clock broken",
		"set the clock (`timedatectl`, chrony): beyond five minutes new certificates are not valid yet on the machine that is behind",
	}},
	{"certificates-short-lived", "the signer issues certificates that live for 15 minutes", "the certificate lives only for a short time", done, GoesOn, Signs{
		`certificate_short_lived{certificate="client"} == 1`, "ShortLivedCertificate",
		well, "", "client-certificate attention",
		"have the signer issue for longer (`--cluster-signing-duration` of kube-controller-manager, or `--expiration-seconds` here): nobody can mend a failed rotation in that time",
	}},
	{"kubelet-restart-needed", "the kubelet's kubeconfig was written after the kubelet was started, as for another server", "", done, GoesOn, Signs{
		`kubelet_restart_needed{reason="server_changed"} == 1`, "KubeletRestartNeeded",
		well, "", "kubelet-restart attention",
		"`systemctl restart kubelet`: it reads its kubeconfig only once; pods go on",
	}},
}
