package config

// Values returns the values that settings can have which have a list of them, by flag, for a shell to complete.
func Values() map[string][]string {
	return map[string][]string{
		"serving": servingModes, "key-algorithm": keyAlgorithms, "log-format": logFormats, "log-level": {"debug", "info", "warn", "error"},
	}
}
