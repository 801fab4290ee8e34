package scenarios

// restarts are those of stopping and starting.
var restarts = []Scenario{
	{"killed-while-waiting", "the agent is killed (-9) while it waits for approval, and started again later", "", done, GoesOn, Signs{
		`certificate_signing_request_pending_timestamp_seconds{certificate="serving"} > 0`, "CSRPending ServingPlaceholder",
		attention, "waits for approval since", "csr attention",
		"nothing: the same request is waited for again; approve it as usual",
	}},
	{"node-ip-mended", "the agent is killed while it waits, and --node-ip is mended before it starts again", "gave up a certificate signing request", done, GoesOn, Signs{
		`certificate_signing_requests_total{certificate="serving",result="abandoned"} > 0`, "CSRPending ServingPlaceholder",
		attention, "waits for approval since", "csr attention",
		"approve the new request; remove the old one with the `kubectl delete csr` line in the log",
	}},
	{"second-agent", "a second agent is started on the same cert-dir", "held by pid", notInTime, Ends, Signs{
		`certificate_signing_request_pending_timestamp_seconds{certificate="client"} > 0`, "CSRPending BootstrapStuck ServingPlaceholder",
		waiting, "waits for approval since", "csr waiting",
		"leave it: the first agent, whose process is named, goes on; stop one of the two units or give each a cert-dir of its own",
	}},
	{"interrupted", "the agent gets SIGTERM while it waits", "stopping", notInTime, Ends, Signs{
		"", "Down",
		waiting, "no agent runs on", "agent-service broken",
		"`systemctl start bootstrap-agent`: it goes on with the same request",
	}},
}
