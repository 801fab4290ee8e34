package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Work with the configuration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configCheckCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	load := settings{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check flags, configuration file, cert-dir and bootstrap kubeconfig; changes nothing, asks nobody",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load.config()
			if err != nil {
				return err
			}
			if err := (certdir.Dir{Path: cfg.CertDir}).Check(); err != nil {
				return usage(fmt.Errorf("cert-dir: %w", err))
			}
			bootstrap, err := kubeconfig.LoadBootstrap(cfg.BootstrapKubeconfig)
			switch {
			case errors.Is(err, kubeconfig.ErrNoCredential):
				fmt.Fprintf(cmd.OutOrStdout(), "configuration: ok\nbootstrap kubeconfig: %v\n", err)
				return nil
			case err != nil:
				return usage(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "configuration: ok\nbootstrap kubeconfig: ok, %s for %s\n", bootstrap.Source, bootstrap.Endpoint.Server)
			return nil
		},
	}
	load.bind(cmd, config.Bind)
	return cmd
}
