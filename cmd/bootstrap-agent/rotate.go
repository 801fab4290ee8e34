package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

func rotateCommand() *cobra.Command {
	load := settings{}
	cmd := &cobra.Command{
		Use:   "rotate [client|serving]",
		Short: "Ask the running agent for a new certificate now, or the next one that starts",
		Long: `Ask the running agent for a new client or serving certificate now; without a name for each that the agent rotates. The old
one stays in use until the new one is there. Two requests for one certificate are at least 20 seconds apart.

Exit codes: 0 asked for, 1 there is nothing to rotate yet, 2 usage, configuration or cert-dir.`,
		Args:      cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{string(clientName), string(servingName)},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := load.config()
			if err != nil {
				return err
			}
			dir := certdir.Dir{Path: cfg.CertDir}
			_, err = os.Stat(dir.Path) // for Check, one that is not there is fine
			if err == nil {
				err = dir.Check()
			}
			if err != nil {
				return usage(fmt.Errorf("cert-dir: %w", err))
			}
			return askToRotate(cmd.OutOrStdout(), cmd.ErrOrStderr(), cfg, dir, args)
		},
	}
	load.bind(cmd, config.Bind)
	return cmd
}

// certificateName is a certificate as the command line calls it.
type certificateName string

const (
	clientName  certificateName = "client"
	servingName certificateName = "serving"
)

var kinds = map[certificateName]certdir.Kind{clientName: certdir.Client, servingName: certdir.Serving}

// askToRotate asks for the one certificate that is named, or for each that can be rotated, and says who will act.
func askToRotate(out, note io.Writer, cfg config.Config, dir certdir.Dir, named []string) error {
	names := []certificateName{clientName, servingName}
	if len(named) == 1 {
		names = []certificateName{certificateName(named[0])}
	}
	o := status.Observe(cfg, clock.RealClock{}.Now())
	var refused []error
	var asked []certificateName
	for _, name := range names {
		if err := cannotRotate(name, cfg, o); err != nil {
			refused = append(refused, err)
			continue
		}
		asked = append(asked, name)
	}
	if len(asked) == 0 {
		return worst(refused)
	}
	for _, err := range refused {
		fmt.Fprintln(note, "not asked for:", err)
	}
	who := acts(dir)
	for _, name := range asked {
		if err := dir.AskToRotate(kinds[name]); err != nil {
			return &agent.ExitError{Code: 1, Err: fmt.Errorf("ask for a new %s certificate: %w", name, durable.WithRemedy(err))}
		}
		fmt.Fprintf(out, "asked for a new %s certificate: %s\n", name, who)
	}
	return nil
}

// cannotRotate is an [*agent.ExitError]: 2, the settings say otherwise; 1, there is nothing to rotate.
func cannotRotate(name certificateName, cfg config.Config, o status.Observed) error {
	c, rotates, flag := o.Client, cfg.RotateCertificates, "rotate-certificates"
	if name == servingName {
		c, rotates, flag = o.Serving, cfg.RotateServerCertificates, "rotate-server-certificates"
	}
	later := func(format string, args ...any) error {
		return &agent.ExitError{Code: 1, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case name == servingName && cfg.Serving == string(serving.Off):
		return usage(errors.New("--serving=off: the serving certificate is the kubelet's, and the agent does not rotate it"))
	case !rotates:
		return usage(fmt.Errorf("--%s=false: the agent does not rotate the %s certificate; the kubelet may", flag, name))
	case c.Unread != nil:
		return later("the %s certificate cannot be read now: %w", name, durable.WithRemedy(c.Unread))
	case c.Pair == nil && !certdir.Gone(c.PairErr):
		return later("there is no %s certificate to rotate: %w", name, c.PairErr)
	case c.Pair == nil:
		return later("there is no %s certificate yet: nothing to rotate", name)
	case !c.Issued():
		return later("the serving certificate is a self-signed placeholder: there is none from the cluster yet to rotate; its request is in: bootstrap-agent status")
	case !c.Usable(o.Now):
		return later("the %s certificate expired at %s and is not rotated but asked for anew, without being told to; see: bootstrap-agent status",
			name, c.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

// worst returns all refusals with the code of the one that a person must act on.
func worst(refused []error) error {
	var end agent.ExitError
	for _, err := range refused {
		var exit *agent.ExitError
		if errors.As(err, &exit) && exit.Code > end.Code {
			end.Code = exit.Code
		}
	}
	end.Err = errors.Join(refused...)
	return &end
}

// acts says who will make the request.
func acts(dir certdir.Dir) string {
	pid, err := dir.Holder()
	switch {
	case err != nil:
		return fmt.Sprintf("an agent that runs acts at once, else the next start does (which it is cannot be told: %v)", err)
	case pid == 0:
		return "no agent runs on " + dir.Path + "; its next start acts"
	}
	return fmt.Sprintf("the agent (pid %d) acts at once", pid)
}
