package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/await"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

func waitCommand() *cobra.Command {
	load, timeout := settings{}, time.Duration(0)
	var wanted config.List
	cmd := &cobra.Command{
		Use:   "wait [--for=client,serving] [--timeout=DURATION]",
		Short: "Wait until the node's certificates are there; reads files only, for scripts and units",
		Long: `Wait until the node's certificates are there, and say on standard error what is missing meanwhile. Reads files only, asks
nobody, and works whether the agent runs or is still to be started.

client: the certificate can be used, is for this machine's name, and the kubelet's kubeconfig is there. serving: the cluster has issued
it (a placeholder does not count), and the kubelet finds it. By default: client, and serving unless --serving=off.

It does not end early when a request is denied or there is no credential: the agent asks again, and a person may act. The exit code of a
timeout tells the two apart.

Exit codes: 0 all is there, 1 --timeout passed or interrupted, and waiting longer may do, 2 usage, configuration or no permission,
3 --timeout passed, and a person must act: denied, failed, refused, no credential, files that cannot be read.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			load.given = givenForWait(cmd.Flags())
			cfg, err := load.config()
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("for") && len(wanted) == 0 {
				return usage(errors.New("--for is empty; it is client, serving or client,serving"))
			}
			kinds, err := waitedFor(wanted, cfg)
			if err != nil {
				return usage(err)
			}
			if timeout < 0 {
				return usage(fmt.Errorf("--timeout: %s is negative", timeout))
			}
			w := await.Waiting{
				Config: cfg, For: kinds, Clock: clock.RealClock{}, Timeout: timeout,
				Say: func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), "waiting for the", text) },
			}
			o, err := w.Wait(cmd.Context())
			return endOfWait(cmd.OutOrStdout(), kinds, o, err)
		},
	}
	cmd.Flags().Var(&wanted, "for", "what to wait for: client, serving or both (default both, or client with --serving=off)")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "for how long (default without end)")
	load.bind(cmd, bindForWait)
	complete(cmd, "for", "client,serving", string(clientName), string(servingName))
	return cmd
}

// bindForWait binds the settings but for two: --once has no meaning here, and --timeout another one.
func bindForWait(flags *pflag.FlagSet, cfg *config.Config) {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	all.SortFlags = false
	config.Bind(all, cfg)
	all.VisitAll(func(flag *pflag.Flag) {
		if flag.Name != "once" && flag.Name != "timeout" {
			flags.AddFlag(flag)
		}
	})
}

// givenForWait are the settings among the flags that were given.
func givenForWait(flags *pflag.FlagSet) *pflag.FlagSet {
	given, cfg := pflag.NewFlagSet("", pflag.ContinueOnError), config.Default()
	bindForWait(given, &cfg)
	flags.Visit(func(flag *pflag.Flag) {
		if given.Lookup(flag.Name) != nil {
			_ = given.Set(flag.Name, flag.Value.String()) // it has been parsed as this before
		}
	})
	return given
}

// waitedFor is what is named, or else what the agent gets.
func waitedFor(named config.List, cfg config.Config) ([]csr.Kind, error) {
	off := cfg.Serving == string(serving.Off)
	if named == nil {
		if off {
			return []csr.Kind{csr.Client}, nil
		}
		return []csr.Kind{csr.Client, csr.Serving}, nil
	}
	var kinds []csr.Kind
	for _, name := range named {
		kind, known := map[string]csr.Kind{string(clientName): csr.Client, string(servingName): csr.Serving}[name]
		switch {
		case !known:
			return nil, fmt.Errorf("--for: %q is not one of client, serving", name)
		case kind == csr.Serving && off:
			return nil, errors.New("--for=serving contradicts --serving=off: the serving certificate is the kubelet's, and the agent gets none")
		case !slices.Contains(kinds, kind):
			kinds = append(kinds, kind)
		}
	}
	return kinds, nil
}

func endOfWait(out io.Writer, kinds []csr.Kind, o status.Observed, err error) error {
	late, isLate := errors.AsType[*await.LateError](err)
	switch {
	case isLate && late.MustAct() && !late.Interrupted:
		return &agent.ExitError{Code: 3, Err: err}
	case isLate:
		return &agent.ExitError{Code: 1, Err: err}
	case err != nil:
		return usage(err)
	}
	for _, kind := range kinds {
		c := o.Client
		if kind == csr.Serving {
			c = o.Serving
		}
		fmt.Fprintf(out, "the %s certificate is there, valid until %s\n", kind, c.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}
