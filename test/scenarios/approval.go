package scenarios

// approval are those of the request and its approval.
var approval = []Scenario{
	{"approval-delayed", "nobody approves the serving request for a while", "kubectl certificate approve", placeholder, GoesOn, Signs{
		`certificate_signing_request_pending_timestamp_seconds{certificate="serving"} > 0`, "CSRPending ServingPlaceholder",
		attention, "waits for approval since", "csr attention",
		"look at the request (`kubectl describe csr NAME`), then run the `kubectl certificate approve` line that `status` shows; for all nodes at once: [approvers](approvers.md)",
	}},
	{"client-approval-delayed", "nobody approves the client request for a while", "kubectl certificate approve", notInTime, GoesOn, Signs{
		`certificate_signing_request_pending_timestamp_seconds{certificate="client"} > 0`, "CSRPending BootstrapStuck ServingPlaceholder",
		waiting, "waits for approval since", "csr waiting",
		"look at the request (`kubectl describe csr NAME`), then run the `kubectl certificate approve` line that `status` shows; for all nodes at once: [approvers](approvers.md)",
	}},
	{"client-denied", "an approver denies the client request", "the certificate signing request was denied", needsPerson, Waits, Signs{
		`certificate_signing_requests_total{certificate="client",result="denied"} > 0`, "CSRDenied BootstrapStuck ServingPlaceholder",
		broken, "denied (", "csr broken",
		"find out from reason and message why the approver said no, and mend that." + again,
	}},
	{"serving-denied", "an approver denies the serving request", "the certificate signing request was denied", placeholder, Waits, Signs{
		`certificate_signing_requests_total{certificate="serving",result="denied"} > 0`, "CSRDenied ServingPlaceholder",
		attention, "denied (", "csr attention",
		"find out from reason and message why the approver said no: usually a name or an address that it does not know." + again,
	}},
	{"client-failed", "the signer marks the client request as failed", "the signer cannot issue the certificate", needsPerson, Waits, Signs{
		`certificate_signing_requests_total{certificate="client",result="failed"} > 0`, "CSRFailed BootstrapStuck ServingPlaceholder",
		broken, "failed (", "csr broken",
		"look at the signer's log (kube-controller-manager) and mend its configuration." + again,
	}},
	{"csr-deleted-during-wait", "somebody deletes the request while the agent waits", "was deleted before it was answered", notInTime, GoesOn, Signs{
		`certificate_signing_requests_total{certificate="client",result="deleted"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "csr waiting",
		"find out who deletes requests; the same one is sent again by itself after a minute, later after up to an hour",
	}},
	{"csr-deleted-while-down", "somebody deletes the request while no agent runs", "was deleted before it was answered", notInTime, GoesOn, Signs{
		`certificate_signing_requests_total{certificate="client",result="deleted"} > 0`, "BootstrapStuck ServingPlaceholder",
		waiting, "no client certificate yet", "csr waiting",
		"find out who deletes requests; the same one is sent again by itself after a minute, later after up to an hour",
	}},
	{"csr-cleaned-up-after-a-day", "the cluster cleans the request up after 24 hours", "has cleaned up the certificate signing request", notInTime, GoesOn, Signs{
		`certificate_signing_request_pending_timestamp_seconds{certificate="client"} > 0`, "CSRPending BootstrapStuck ServingPlaceholder",
		waiting, "waits for approval since", "csr waiting",
		"look at the request (`kubectl describe csr NAME`), then run the `kubectl certificate approve` line that `status` shows; for all nodes at once: [approvers](approvers.md)",
	}},
	{"csr-name-taken", "another object stands under the request's name", "another object stands under the name", done, GoesOn, Signs{
		`certificate_signing_requests_total{certificate="client",result="replaced"} > 0`, "",
		well, "", "who-am-i ok",
		"nothing for this node; find out who makes requests under its name",
	}},
	{"api-server-restarted", "the API server restarts while the agent waits, so that its watch has expired", "", done, GoesOn, Signs{
		`certificate_signing_request_pending_timestamp_seconds{certificate="client"} > 0`, "CSRPending BootstrapStuck ServingPlaceholder",
		waiting, "waits for approval since", "csr waiting",
		"nothing: the watch is begun again; approve the request as usual",
	}},
	{"watch-forbidden", "the credential may not watch requests", "cannot be watched", done, GoesOn, Signs{
		`api_requests_total{verb="WATCH",code="403"} > 0`, "CSRPending BootstrapStuck ServingPlaceholder",
		waiting, "waits for approval since", "csr-access attention",
		"give the credential's group the ClusterRole `system:node-bootstrapper`; until then the agent reads the request every 2 to 30 seconds",
	}},
	{"watch-ended-at-once", "something between ends every watch at once", "", done, GoesOn, Signs{
		`api_requests_total{verb="WATCH",code="200"} > 3`, "CSRPending BootstrapStuck ServingPlaceholder",
		waiting, "waits for approval since", "requests waiting",
		"look for the proxy or load balancer that ends long answers; the agent goes on, with more requests",
	}},
}
