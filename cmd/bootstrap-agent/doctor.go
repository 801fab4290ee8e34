package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/doctor"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

func doctorCommand() *cobra.Command {
	load, output, offline := settings{}, "", false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything that can stop this node from getting or keeping its certificates, each with the remedy",
		Long: `Check everything that can stop this node from getting or keeping its certificates: files, folders and their owners, the systemd unit,
the kubelet and what it was told, the clock, copies of the bootstrap token; and, unless --offline, the way to the API server and what
that says. Each line that is not well comes with what to do about it. It changes nothing, needs no more rights than the agent has, and
prints no secret. Run it as root, with the flags that the agent has.

Exit codes: 0 well, 1 something fails and may work later by itself, 2 usage or configuration, 3 a person must act,
4 attention (it works, and something is due).`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usage(fmt.Errorf("--output %q is not one of text, json", output))
			}
			cfg, err := load.config()
			if err != nil {
				return err
			}
			checks := doctor.Checks()
			if offline {
				checks = doctor.Local()
			}
			progress := progressOf(cmd.ErrOrStderr(), checks)
			report := doctor.Examine(cmd.Context(), patientOf(cfg, progress.begin), checks)
			progress.end()
			if err := writeReport(cmd.OutOrStdout(), output, report); err != nil {
				return err
			}
			if code := report.ExitCode(); code != 0 {
				return &agent.ExitError{Code: code}
			}
			return nil
		},
	}
	load.bind(cmd, config.Bind)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.Flags().BoolVar(&offline, "offline", false, "leave out what asks somebody outside of this machine")
	complete(cmd, "output", "text", "json")
	return cmd
}

func patientOf(cfg config.Config, begin func(doctor.Check)) *doctor.Patient {
	observed := status.Observe(cfg, clock.RealClock{}.Now())
	observed.Kubelets, _ = node.Kubelets(node.Proc) // where they cannot be looked for, nothing is said about them
	return &doctor.Patient{Config: cfg, Observed: observed, Clock: clock.RealClock{}, UserAgent: doctorAgent(), Begin: begin}
}

func writeReport(w io.Writer, output string, report doctor.Report) error {
	if output == "text" {
		return report.WriteText(w, screen.Of(w))
	}
	return screen.JSON(w, report)
}

// progress says on a terminal what is looked at now, on one line that is taken away again: a network that swallows what is sent there
// takes its time.
type progress struct {
	terminal  io.Writer
	done, all int
}

func progressOf(w io.Writer, checks []doctor.Check) *progress {
	if !screen.IsTerminal(w) {
		w = io.Discard
	}
	return &progress{terminal: w, all: len(checks)}
}

// clearLine is ECMA-48's: to the first column, and nothing in the line.
const clearLine = "\r\x1b[K"

func (p *progress) begin(check doctor.Check) {
	p.done++
	fmt.Fprintf(p.terminal, "%s%d/%d %s …", clearLine, p.done, p.all, check.Name)
}

func (p *progress) end() { fmt.Fprint(p.terminal, clearLine) }

// doctorAgent tells a person's questions from the agent's own in the API server's audit log.
func doctorAgent() string {
	return strings.Replace(userAgent(), "bootstrap-agent", "bootstrap-agent-doctor", 1)
}
