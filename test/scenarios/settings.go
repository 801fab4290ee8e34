package scenarios

// settings are those of flags, configuration file, cert-dir.
var settings = []Scenario{
	{"cert-dir-a-file", "a file stands at the cert-dir's path", "cert-dir", misuse, Ends, Signs{
		"", "Down",
		broken, "no agent runs on", "owners-and-modes broken",
		"move the file away, or give another `--cert-dir`; then `systemctl start bootstrap-agent`",
	}},
	{"cert-dir-unwritable", "the cert-dir cannot be written", "not writable", misuse, Ends, Signs{
		"", "Down",
		broken, "no agent runs on", "agent-service broken",
		"have the agent run as root, or remount the cert-dir; then `systemctl start bootstrap-agent`",
	}},
	{"cert-dir-writable-by-others", "others may write to the cert-dir", "writable by others", misuse, Ends, Signs{
		"", "Down",
		broken, "no agent runs on", "owners-and-modes broken",
		"`chmod go-w` it after a look at what is in it; then `systemctl start bootstrap-agent`",
	}},
	{"flag-unknown", "a flag is misspelt", "unknown flag", misuse, Ends, Signs{
		"", "Down",
		misuse, "unknown flag", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"field-unknown", "a field of the configuration file is misspelt", "unknown field", misuse, Ends, Signs{
		"", "Down",
		misuse, "unknown field", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"config-of-another-kind", "the configuration file is of another kind", "apiVersion", misuse, Ends, Signs{
		"", "Down",
		misuse, "apiVersion", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"config-missing", "the configuration file that was asked for is not there", "configuration file", misuse, Ends, Signs{
		"", "Down",
		misuse, "configuration file", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"node-name-bad", "the node name is none", "hostname-override", misuse, Ends, Signs{
		"", "Down",
		misuse, "hostname-override", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"node-ip-bad", "the node's address is none", "node-ip", misuse, Ends, Signs{
		"", "Down",
		misuse, "node-ip", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"serving-ip-bad", "an address for the serving certificate is none", "serving-ips", misuse, Ends, Signs{
		"", "Down",
		misuse, "serving-ips", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"serving-dns-name-bad", "a DNS name for the serving certificate is none", "serving-dns-names", misuse, Ends, Signs{
		"", "Down",
		misuse, "serving-dns-names", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"expiration-too-short", "a lifetime is asked for that a kubelet cannot follow", "expiration-seconds", misuse, Ends, Signs{
		"", "Down",
		misuse, "expiration-seconds", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"key-algorithm-unknown", "the key algorithm is unknown", "key-algorithm", misuse, Ends, Signs{
		"", "Down",
		misuse, "key-algorithm", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"values-contradict", "two values contradict each other", "--serving=off asks for no serving certificate", misuse, Ends, Signs{
		"", "Down",
		misuse, "--serving=off asks for no serving certificate", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
	{"timeout-without-once", "a daemon is given a timeout", "--timeout", misuse, Ends, Signs{
		"", "Down",
		misuse, "--timeout", "",
		"correct it (`bootstrap-agent config check` says what is wrong, all at once); then `systemctl restart bootstrap-agent`",
	}},
}
