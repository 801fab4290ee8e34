package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

func statusCommand() *cobra.Command {
	load, output := settings{}, ""
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the node's certificates, what is planned and what is waited for; reads files only",
		Long: `Show the node's certificates, what is planned, what is waited for with the command that ends the waiting, and what does not
go with what a running kubelet was told. Reads files only, asks nobody.

Colours and broken lines are for terminals (NO_COLOR and TERM=dumb are honoured); a pipe gets plain text with every sentence on one line.

Exit codes: 0 well, 1 something is missing that may come by itself, 2 usage or configuration, 3 a person must act,
4 attention (a placeholder in use, a rotation due, a credential left behind, a kubelet that was told otherwise, no agent runs).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load.config()
			if err != nil {
				return err
			}
			observed := status.Observe(cfg, clock.RealClock{}.Now())
			observed.Kubelets, _ = node.Kubelets(node.Proc) // where they cannot be looked for, nothing is said about them
			observed.Asker = asker(cfg)
			report, out := observed.Report(cfg), cmd.OutOrStdout()
			switch output {
			case "text":
				err = report.WriteText(out, screen.Of(out), screen.Width(out))
			case "json":
				err = report.WriteJSON(out)
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

// asker is what is known beside the files.
func asker(cfg config.Config) *status.Asker {
	a := &status.Asker{Unprivileged: os.Geteuid() != 0}
	a.Agent, a.AgentErr = certdir.Dir{Path: cfg.CertDir}.Holder()
	return a
}
