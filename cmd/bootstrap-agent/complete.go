package main

import (
	"github.com/spf13/cobra"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// complete lets a shell complete a flag with its values.
func complete(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)) // it fails for a flag that is not there, which a test finds
}

// completeSettings does so for the settings that a command has as flags. Where a value is free, a shell offers files, which is wrong for
// names and addresses and does no harm.
func completeSettings(cmd *cobra.Command) {
	for flag, values := range config.Values() {
		complete(cmd, flag, values...)
	}
	_ = cmd.MarkFlagDirname("cert-dir")
}
