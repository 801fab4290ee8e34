package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// settings loads the configuration for a command that has its flags.
type settings struct {
	file  string
	given *pflag.FlagSet
}

func (s *settings) bind(cmd *cobra.Command, bind func(*pflag.FlagSet, *config.Config)) {
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&s.file, "config", "", "configuration file (default "+config.DefaultFile+", if it is there)")
	defaults := config.Default()
	bind(cmd.Flags(), &defaults)
	completeSettings(cmd)
	s.given = cmd.Flags()
}

func (s *settings) config() (config.Config, error) {
	cfg, err := config.Load(s.file, s.given)
	if err != nil {
		return config.Config{}, usage(err)
	}
	cfg.CredentialsDirectory = cmp.Or(os.Getenv(credentialsDirectory), unitCredentials)
	return cfg, nil
}

// credentialsDirectory is the variable in which systemd tells a service where its credentials are; unitCredentials is where those
// of the agent's unit are, for the commands that a person runs.
const (
	credentialsDirectory = "CREDENTIALS_DIRECTORY"
	unitCredentials      = "/run/credentials/bootstrap-agent.service"
)
