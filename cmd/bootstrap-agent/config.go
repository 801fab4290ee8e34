package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/metrics"
	"github.com/bootstrap-agent/bootstrap-agent/internal/unit"
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
	load, systemd := settings{}, false
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check flags, configuration file, cert-dir and bootstrap kubeconfig; changes nothing, asks nobody",
		Long: `Check flags, configuration file, web configuration (--web.config.file), cert-dir and bootstrap kubeconfig. Changes nothing, asks nobody.

With --systemd: print what the configuration needs of the systemd unit besides what it has, as a drop-in:
bootstrap-agent config check --systemd > ` + unit.DropIn + `

Where there is no bootstrap kubeconfig: discovery token and discovery file, if they are set.

Exit codes: 0 well, or no bootstrap kubeconfig there; 2 usage, configuration, cert-dir, a bad bootstrap kubeconfig or a malformed discovery token.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load.config()
			if err != nil {
				return err
			}
			path := kubeconfig.Where(cfg.BootstrapKubeconfig, cfg.CredentialsDirectory)
			if systemd {
				needs := unit.NeedsOf(cfg, append(kubeconfig.Named(path), kubeconfig.NamedByDiscovery(cfg.DiscoveryFile)...)...)
				needs.Exec = kubeconfig.Plugin(path)
				fmt.Fprint(cmd.OutOrStdout(), needs.Text())
				return nil
			}
			if err := (certdir.Dir{Path: cfg.CertDir}).Check(); err != nil {
				return usage(fmt.Errorf("cert-dir: %w", err))
			}
			if err := metrics.CheckConfig(cfg.WebConfigFile); err != nil {
				return usage(err)
			}
			bootstrap, err := kubeconfig.LoadBootstrap(path)
			if errors.Is(err, kubeconfig.ErrNoCredential) && cfg.Discovers() {
				return checkDiscovery(cmd.OutOrStdout(), cfg, err)
			}
			switch {
			case errors.Is(err, kubeconfig.ErrNoCredential):
				fmt.Fprintf(cmd.OutOrStdout(), "configuration: ok\nbootstrap kubeconfig: %v\n", err)
				return nil
			case err != nil:
				return usage(err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "configuration: ok\nbootstrap kubeconfig: ok, %s for %s%s\n", bootstrap.Source, bootstrap.Endpoint.Server, whence(cfg, path))
			return nil
		},
	}
	load.bind(cmd, config.Bind)
	cmd.Flags().BoolVar(&systemd, "systemd", false, "print the drop-in for the systemd unit that this configuration needs, and check nothing else")
	return cmd
}

// whence names the file of a bootstrap kubeconfig that is not where the settings say.
func whence(cfg config.Config, path string) string {
	if path == cfg.BootstrapKubeconfig {
		return ""
	}
	return fmt.Sprintf(" (the systemd credential %s; a file at %s wins)", path, cfg.BootstrapKubeconfig)
}

// checkDiscovery checks the discovery token, and the file that says where its cluster is, if one does.
func checkDiscovery(out io.Writer, cfg config.Config, missing error) error {
	path := kubeconfig.WhereToken(cfg.DiscoveryTokenFile, cfg.CredentialsDirectory)
	where := "the cluster is found out at " + strings.Join(cfg.Servers(), ", ")
	if cfg.DiscoveryFile != "" {
		endpoint, err := kubeconfig.LoadDiscovery(cfg.DiscoveryFile)
		if err == nil {
			endpoint, err = discovery.FromFile(endpoint, cfg.DiscoveryFile, cfg.DiscoveryCACertHashes, now())
		}
		if err != nil {
			return usage(err)
		}
		where = "for " + endpoint.Server
	}
	var token *kubeconfig.Bootstrap
	err := missing
	if path != "" {
		token, err = kubeconfig.LoadToken(path)
	}
	switch {
	case errors.Is(err, kubeconfig.ErrNoCredential):
		fmt.Fprintf(out, "configuration: ok\nbootstrap kubeconfig: %v\ndiscovery token: none; %s\n", missing, where)
		return nil
	case err != nil:
		return usage(err)
	}
	fmt.Fprintf(out, "configuration: ok\nbootstrap kubeconfig: %v\ndiscovery token: ok, %s; %s\n", missing, token.Path, where)
	return nil
}
