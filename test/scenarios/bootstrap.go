package scenarios

// bootstrap are those of the bootstrap kubeconfig.
var bootstrap = []Scenario{
	{"kubeconfig-missing", "there is no bootstrap kubeconfig", "does not exist", needsPerson, GoesOn, Signs{
		"ready == 0", "BootstrapStuck",
		broken, "no client certificate yet", "bootstrap-kubeconfig broken",
		"put a bootstrap kubeconfig there; it is taken up at once",
	}},
	{"kubeconfig-empty", "the bootstrap kubeconfig is empty", "is empty", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "is empty", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-not-yaml", "the bootstrap kubeconfig is no YAML", "is not a kubeconfig", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "is not a kubeconfig", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-no-current-context", "it has no current-context", "current-context", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "current-context", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-no-server", "it names no server", "server is missing", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "server is missing", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-http-server", "its server is plain http", "it must be https", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "it must be https", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-userinfo", "its server holds a password", "user name or password", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "user name or password", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-no-ca", "it has no CA", "has no CA", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "has no CA", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-unreadable-ca", "the CA file that it names is not there", "certificate-authority", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "certificate-authority", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-damaged-ca", "its CA is no PEM certificate", "holds no PEM certificate", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "holds no PEM certificate", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-insecure", "it switches TLS verification off", "insecure-skip-tls-verify", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "insecure-skip-tls-verify", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-malformed-token", "its token cannot be one", "is malformed", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "is malformed", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-no-credential", "its user has no credential", "has no credential", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "has no credential", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-two-credentials", "its user has two credentials", "more than one credential", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "more than one credential", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-writable-by-others", "others may write it", "writable by others", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "writable by others", "bootstrap-kubeconfig broken",
		"find out who wrote to it; then `chmod 600` it, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-of-another-user", "it belongs to another user", "belongs to user", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "belongs to user", "bootstrap-kubeconfig broken",
		"find out how it came there; then `chown root` it; it is taken up at once",
	}},
	{"kubeconfig-a-folder", "a folder stands at its path", "not a regular file", misuse, GoesOn, Signs{
		`errors_total{phase="bootstrap",reason="kubeconfig"} > 0`, "BootstrapStuck",
		broken, "not a regular file", "bootstrap-kubeconfig broken",
		"correct the file, or put another one in its place; it is taken up at once",
	}},
	{"kubeconfig-readable-by-others", "others may read it", "could be read by others", done, GoesOn, Signs{
		"bootstrap_token_present == 1", "TokenPresent",
		well, "", "bootstrap-kubeconfig ok",
		"its mode is narrowed by itself; take the token for known to whoever was on the machine, and revoke it if it lives long",
	}},
	{"token-file-missing", "the tokenFile that it names is not there", "does not exist", needsPerson, GoesOn, Signs{
		"ready == 0", "BootstrapStuck",
		broken, "no client certificate yet", "bootstrap-kubeconfig broken",
		"put the token there; it is taken up at once",
	}},
}
