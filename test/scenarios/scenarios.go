// Package scenarios is the table of everything that can go wrong: one row each, with what a person sees of it. The tests of
// test/e2e iterate over it, and a row without a proof fails them.
package scenarios

// Scenario is one thing that goes wrong.
type Scenario struct {
	// Name is how the row is called, in tests and documentation.
	Name string
	// What happens, in a sentence.
	What string
	// Says is part of what the agent says about it: in a log line, or as the error it ends with.
	Says string
	// OnceExit is the exit code of run --once.
	OnceExit int
	// Daemon is what the daemon does about it.
	Daemon Reaction
}

// Reaction is what the daemon does about a scenario.
type Reaction string

// The reactions.
const (
	GoesOn Reaction = "goes on by itself when the cause ends"
	Waits  Reaction = "waits for a person, and stays"
	Ends   Reaction = "ends with the exit code"
)

// Exit codes of run --once.
const (
	done        = 0
	notInTime   = 1
	misuse      = 2
	needsPerson = 3
	placeholder = 4
)

// All is the table.
var All = []Scenario{
	// the request and its approval
	{"approval-delayed", "nobody approves the serving request for a while", "kubectl certificate approve", placeholder, GoesOn},
	{"client-approval-delayed", "nobody approves the client request for a while", "kubectl certificate approve", notInTime, GoesOn},
	{"client-denied", "an approver denies the client request", "the certificate signing request was denied", needsPerson, Waits},
	{"serving-denied", "an approver denies the serving request", "the certificate signing request was denied", placeholder, Waits},
	{"client-failed", "the signer marks the client request as failed", "the signer cannot issue the certificate", needsPerson, Waits},
	{"csr-deleted-during-wait", "somebody deletes the request while the agent waits", "was deleted before it was answered", notInTime, GoesOn},
	{"csr-deleted-while-down", "somebody deletes the request while no agent runs", "was deleted before it was answered", notInTime, GoesOn},
	{"csr-cleaned-up-after-a-day", "the cluster cleans the request up after 24 hours", "has cleaned up the certificate signing request", notInTime, GoesOn},
	{"csr-name-taken", "another object stands under the request's name", "another object stands under the name", done, GoesOn},
	{"api-server-restarted", "the API server restarts while the agent waits, so that its watch has expired", "", done, GoesOn},
	{"watch-forbidden", "the credential may not watch requests", "cannot be watched", done, GoesOn},
	{"watch-ended-at-once", "something between ends every watch at once", "", done, GoesOn},

	// stopping and starting
	{"killed-while-waiting", "the agent is killed (-9) while it waits for approval, and started again later", "", done, GoesOn},
	{"node-ip-mended", "the agent is killed while it waits, and --node-ip is mended before it starts again", "gave up a certificate signing request", done, GoesOn},
	{"second-agent", "a second agent is started on the same cert-dir", "held by pid", notInTime, Ends},
	{"interrupted", "the agent gets SIGTERM while it waits", "stopping", notInTime, Ends},

	// what comes back
	{"certificate-for-another-key", "the signer issues a certificate for another key", "for another key than ours", needsPerson, Waits},
	{"certificate-for-another-node", "the signer issues a certificate for another subject", "asked was", needsPerson, Waits},
	{"certificate-without-the-usage", "the signer issues a certificate that is not for client authentication", "may not be used for what was asked", needsPerson, Waits},
	{"certificate-not-yet-valid", "the signer issues a certificate that begins in the future by the API server's clock", "is valid from", notInTime, GoesOn},
	{"serving-certificate-without-a-name", "the signer drops a name from the serving certificate", "asked were", placeholder, Waits},
	{"proof-unauthorized", "the API server does not accept the issued certificate", "--client-ca-file", needsPerson, GoesOn},
	{"proof-as-somebody-else", "the API server takes the issued certificate for another user", "takes the new client certificate for user", needsPerson, GoesOn},
	{"kubelet-client-ca-unknown", "signers and API server have different CAs and nothing says which may call the kubelet", "--kubelet-client-ca-file", needsPerson, Waits},

	// the API server
	{"api-server-down", "nothing listens at the API server's address", "unreachable", notInTime, GoesOn},
	{"api-server-closes", "connections are accepted and closed at once", "unreachable", notInTime, GoesOn},
	{"api-server-hangs", "connections are accepted and never answered", "timeout", notInTime, GoesOn},
	{"api-server-closes-mid-body", "the answer breaks off in the middle", "unreachable", notInTime, GoesOn},
	{"api-server-401", "the token is not known yet", "unauthorized", notInTime, GoesOn},
	{"api-server-403", "the credential may not create requests", "forbidden", notInTime, GoesOn},
	{"api-server-429", "the API server is overloaded and names a time", "throttled", notInTime, GoesOn},
	{"api-server-500", "the API server fails", "server-error", notInTime, GoesOn},
	{"api-server-nonsense", "something else than an API server answers", "bad-answer", notInTime, GoesOn},
	{"api-server-certificate-not-yet-valid", "the API server's certificate begins in the future by the local clock", "clock", notInTime, GoesOn},
	{"api-server-certificate-expired", "the API server's certificate has expired by the local clock", "clock", notInTime, GoesOn},
	{"api-server-of-another-ca", "the server's certificate is of another CA than the kubeconfig's", "reason=tls", notInTime, GoesOn},
	{"api-server-down-with-identity", "the API server is down, and the identity is on the disk", "the kubelet can start", done, GoesOn},
	{"redirect-token", "the server redirects a request with a token", "redirects are refused", notInTime, GoesOn},
	{"redirect-token-file", "the server redirects a request with a token from a file", "redirects are refused", notInTime, GoesOn},
	{"redirect-client-certificate", "the server redirects a request with a client certificate", "redirects are refused", notInTime, GoesOn},
	{"redirect-exec", "the server redirects a request with an exec plugin's token", "redirects are refused", notInTime, GoesOn},
	{"exec-plugin-fails", "the exec plugin cannot be run, or fails", "exec", notInTime, GoesOn},

	// the bootstrap kubeconfig
	{"kubeconfig-missing", "there is no bootstrap kubeconfig", "does not exist", needsPerson, GoesOn},
	{"kubeconfig-empty", "the bootstrap kubeconfig is empty", "is empty", misuse, GoesOn},
	{"kubeconfig-not-yaml", "the bootstrap kubeconfig is no YAML", "is not a kubeconfig", misuse, GoesOn},
	{"kubeconfig-no-current-context", "it has no current-context", "current-context", misuse, GoesOn},
	{"kubeconfig-no-server", "it names no server", "server is missing", misuse, GoesOn},
	{"kubeconfig-http-server", "its server is plain http", "it must be https", misuse, GoesOn},
	{"kubeconfig-userinfo", "its server holds a password", "user name or password", misuse, GoesOn},
	{"kubeconfig-no-ca", "it has no CA", "has no CA", misuse, GoesOn},
	{"kubeconfig-unreadable-ca", "the CA file that it names is not there", "certificate-authority", misuse, GoesOn},
	{"kubeconfig-damaged-ca", "its CA is no PEM certificate", "holds no PEM certificate", misuse, GoesOn},
	{"kubeconfig-insecure", "it switches TLS verification off", "insecure-skip-tls-verify", misuse, GoesOn},
	{"kubeconfig-malformed-token", "its token cannot be one", "is malformed", misuse, GoesOn},
	{"kubeconfig-no-credential", "its user has no credential", "has no credential", misuse, GoesOn},
	{"kubeconfig-two-credentials", "its user has two credentials", "more than one credential", misuse, GoesOn},
	{"kubeconfig-writable-by-others", "others may write it", "writable by others", misuse, GoesOn},
	{"kubeconfig-of-another-user", "it belongs to another user", "belongs to user", misuse, GoesOn},
	{"kubeconfig-a-folder", "a folder stands at its path", "not a regular file", misuse, GoesOn},
	{"kubeconfig-readable-by-others", "others may read it", "could be read by others", done, GoesOn},
	{"token-file-missing", "the tokenFile that it names is not there", "does not exist", needsPerson, GoesOn},

	// the disk
	{"disk-full", "the disk of the cert-dir is full", "no space left on device", notInTime, GoesOn},
	{"disk-out-of-inodes", "the disk of the cert-dir runs out of inodes while the agent waits", "no space left on device", notInTime, GoesOn},
	{"disk-read-only", "the cert-dir becomes read-only while the agent waits, or before it starts (run --once)", "read-only file system", misuse, GoesOn},
	{"disk-full-after-the-client", "the disk of the cert-dir fills up when the client certificate is stored and the serving one is not", "no space left on device", placeholder, GoesOn},
	{"kubeconfig-folder-read-only", "the folder of the kubelet's kubeconfig is read-only", "read-only file system", notInTime, GoesOn},
	{"bootstrap-folder-read-only", "the folder of the bootstrap kubeconfig is read-only when that is to be deleted", "the used bootstrap credential is still on the disk", done, GoesOn},
	{"open-files-used-up", "the agent may open no more files", "too many open files", notInTime, GoesOn},
	{"file-size-limited", "the agent may write no files", "file too large", notInTime, GoesOn},
	{"files-unreadable-for-a-while", "the files of a node that has joined cannot be read for a while", "too many open files", done, GoesOn},

	// flags, configuration file, cert-dir
	{"cert-dir-a-file", "a file stands at the cert-dir's path", "cert-dir", misuse, Ends},
	{"cert-dir-unwritable", "the cert-dir cannot be written", "not writable", misuse, Ends},
	{"cert-dir-writable-by-others", "others may write to the cert-dir", "writable by others", misuse, Ends},
	{"flag-unknown", "a flag is misspelt", "unknown flag", misuse, Ends},
	{"field-unknown", "a field of the configuration file is misspelt", "unknown field", misuse, Ends},
	{"config-of-another-kind", "the configuration file is of another kind", "apiVersion", misuse, Ends},
	{"config-missing", "the configuration file that was asked for is not there", "configuration file", misuse, Ends},
	{"node-name-bad", "the node name is none", "hostname-override", misuse, Ends},
	{"node-ip-bad", "the node's address is none", "node-ip", misuse, Ends},
	{"serving-ip-bad", "an address for the serving certificate is none", "serving-ips", misuse, Ends},
	{"serving-dns-name-bad", "a DNS name for the serving certificate is none", "serving-dns-names", misuse, Ends},
	{"expiration-too-short", "a lifetime is asked for that a kubelet cannot follow", "expiration-seconds", misuse, Ends},
	{"key-algorithm-unknown", "the key algorithm is unknown", "key-algorithm", misuse, Ends},
	{"values-contradict", "two values contradict each other", "--serving=off asks for no serving certificate", misuse, Ends},
	{"timeout-without-once", "a daemon is given a timeout", "--timeout", misuse, Ends},
}
