package main

import (
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
	s.given = cmd.Flags()
}

func (s *settings) config() (config.Config, error) {
	cfg, err := config.Load(s.file, s.given)
	if err != nil {
		return config.Config{}, usage(err)
	}
	return cfg, nil
}
