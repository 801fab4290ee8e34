package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

func statusCommand() *cobra.Command {
	load, output := settings{}, ""
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the node's certificates, what is planned and what is waited for; reads files only",
		Long: `Show the node's certificates, what is planned and what is waited for, and what does not go with what a running kubelet
was told. Reads files only, asks nobody.

Exit codes: 0 well, 1 something is missing that may come by itself, 2 usage or configuration, 3 a person must act,
4 attention (a placeholder in use, a rotation due, a credential left behind, a kubelet that was told otherwise).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load.config()
			if err != nil {
				return err
			}
			now := clock.RealClock{}.Now()
			observed := status.Observe(cfg, now)
			observed.Kubelets, _ = node.Kubelets(node.Proc) // where they cannot be looked for, nothing is said about them
			report := observed.Report(cfg)
			switch output {
			case "text":
				err = report.WriteText(cmd.OutOrStdout(), now)
			case "json":
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				err = encoder.Encode(report)
			default:
				return usage(fmt.Errorf("--output %q is not one of text, json", output))
			}
			if err != nil || report.Level == status.Well {
				return err
			}
			return &agent.ExitError{Code: int(report.Level)}
		},
	}
	load.bind(cmd, config.Bind)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	complete(cmd, "output", "text", "json")
	return cmd
}
