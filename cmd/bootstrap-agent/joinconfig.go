package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
)

func joinConfigCommand() *cobra.Command {
	j := joining{ttl: lifetime(time.Hour)}
	cmd := &cobra.Command{
		Use:   "join-config --server=URL --ca-file=FILE [-o DIR] [--print=OUTPUT]",
		Short: "Make what nodes need to join: a token's Secret, bootstrap kubeconfig, user-data; for the cluster's admin, anywhere",
		Long: `Make what nodes need to join a cluster, for one fresh bootstrap token. Asks no cluster and needs no rights: whoever may apply the
Secret lets the nodes in. Runs on any machine; nothing of it is needed on a node.

  bootstrap-agent join-config --server=https://api.example.com:6443 --ca-file=ca.crt -o node-1 --print=rbac,secret | kubectl apply -f -

-o DIR writes secret.yaml, bootstrap.kubeconfig (to be /etc/kubernetes/bootstrap.kubeconfig on the node) and user-data.yaml (the same
for cloud-init). With --discovery it writes bootstrap.token and config.yaml in place of the kubeconfig: the node finds out server and CA
itself, by the hash of the CA's key.

--print writes to standard output: secret and rbac, alone or together, for kubectl apply; or one of kubeconfig, user-data, token,
static-token-line (of kube-apiserver's --token-auth-file, for clusters without bootstrap tokens) and ca-cert-hash (for
--discovery-ca-cert-hash, one line for each CA). What a person should know goes to standard error, and no secret does.

A token is a secret: it is never an argument, and files with it are for their owner alone. For several calls about one token:

  bootstrap-agent join-config --print=token > token
  bootstrap-agent join-config --token-file=token --print=secret | kubectl apply -f -

Exit codes: 0 all is made, 1 it could not be written, or the folder has files already, 2 usage, or input that cannot be used.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("join-config takes no arguments, only flags; a token comes from a file, or standard input: --token-file=-")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			j.given, j.in = cmd.Flags().Changed, cmd.InOrStdin()
			return j.run(cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	j.bind(cmd)
	// what is wrong with a flag is told with its value
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(errors.New(join.Conceal(err.Error()))) })
	return cmd
}

// joining is one call of the command.
type joining struct {
	server, caFile, kubeconfig, context, tokenFile, dir string
	ttl                                                 lifetime
	groups                                              []string
	prints                                              config.List
	discovery, force                                    bool

	given func(flag string) bool
	in    io.Reader
}

func (j *joining) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&j.server, "server", "", "`URL` of the API server as the nodes reach it, https://HOST:6443")
	flags.StringVar(&j.caFile, "ca-file", "", "`file` with the CA of the API server, PEM; - is standard input")
	flags.StringVar(&j.kubeconfig, "kubeconfig", "", "`file`, a kubeconfig that server and CA are taken from where --server and --ca-file do not say; nothing of its credentials is used")
	flags.StringVar(&j.context, "context", "", "`context` of that kubeconfig, if not its current one")
	flags.Var(&j.ttl, "ttl", "how long the token is good, from now on: as short as the nodes allow, at least 1m")
	flags.StringArrayVar(&j.groups, "group", nil, "`group` of the token, system:bootstrappers:NAME, besides system:bootstrappers; may be given several times. --print=rbac then binds these groups alone")
	flags.StringVar(&j.tokenFile, "token-file", "", "`file` with a token that was made before, in place of a fresh one; - is standard input")
	flags.BoolVar(&j.discovery, "discovery", false, "have nodes find out server and CA with the token and the hash of the CA's key (the cluster has to publish cluster-info, as kubeadm's do)")
	flags.StringVarP(&j.dir, "output-dir", "o", "", "`folder` to write the files to; made, for the owner alone, if it is not there")
	flags.Var(&j.prints, "print", "what to print: secret and rbac, or one of kubeconfig, user-data, static-token-line, token, ca-cert-hash")
	flags.BoolVar(&j.force, "force", false, "replace files in --output-dir that an earlier call has made")

	var outputs []string
	for _, output := range join.Outputs() {
		outputs = append(outputs, string(output))
	}
	complete(cmd, "print", append(outputs, "rbac,secret")...)
	complete(cmd, "ttl", "15m", "1h", "24h")
	for _, free := range []string{"server", "context", "group"} {
		complete(cmd, free)
	}
	_ = cmd.MarkFlagDirname("output-dir")
}

// run makes all texts before it writes any.
func (j *joining) run(out, note io.Writer) error {
	if err := j.contradictions(); err != nil {
		return usage(err)
	}
	outputs, err := join.ParseOutputs(j.prints)
	if err != nil {
		return usage(fmt.Errorf("--print: %w", err))
	}
	invitation, words, err := j.invitation(outputs)
	if err != nil {
		return usage(err)
	}
	var files []join.File
	if j.dir != "" {
		if files, err = invitation.Files(); err != nil {
			return usage(err)
		}
	}
	printed, err := invitation.Print(outputs)
	if err != nil {
		return usage(fmt.Errorf("--print: %w", err))
	}
	folder := join.Folder{Path: j.dir, Disk: durable.Disk{}, Force: j.force}
	if j.dir != "" {
		if err := folder.Put(files); err != nil {
			return &agent.ExitError{Code: 1, Err: fmt.Errorf("-o: nothing was written: %w", err)}
		}
	}
	words = append(words, j.summary(invitation, outputs, folder, files)...)
	for _, word := range append(words, sizeOf(outputs, printed, files)...) {
		fmt.Fprintln(note, word)
	}
	if _, err := io.WriteString(out, printed); err != nil {
		return &agent.ExitError{Code: 1, Err: fmt.Errorf("print: %w; %s", err, afterPrint(j.dir))}
	}
	return nil
}

func afterPrint(dir string) string {
	if dir == "" {
		return "nothing else was written"
	}
	return "the files are in " + join.Conceal(dir) + ", with the same token"
}

// contradictions are flags that do not go together.
func (j *joining) contradictions() error {
	switch {
	case j.given("output-dir") && j.dir == "":
		return errors.New("-o is empty; it is the folder to write to")
	case j.dir == "" && len(j.prints) == 0:
		return errors.New("neither -o DIR nor --print=OUTPUT says where to write; e.g.: bootstrap-agent join-config --server=https://HOST:6443 --ca-file=ca.crt -o DIR")
	case j.force && j.dir == "":
		return errors.New("--force is about the files of -o DIR, which is not given")
	case j.context != "" && j.kubeconfig == "":
		return errors.New("--context is one of a --kubeconfig, which is not given")
	case j.tokenFile == "-" && j.caFile == "-":
		return errors.New("--token-file and --ca-file cannot both be standard input")
	}
	for _, flag := range []struct{ name, value string }{
		{"server", j.server}, {"ca-file", j.caFile}, {"kubeconfig", j.kubeconfig}, {"token-file", j.tokenFile}, {"context", j.context},
	} {
		if j.given(flag.name) && flag.value == "" {
			return fmt.Errorf("--%s is empty; is a variable not set?", flag.name)
		}
	}
	return nil
}

// lifetime is a duration whose errors say what to give.
type lifetime time.Duration

func (l *lifetime) String() string {
	text := time.Duration(*l).String()
	if short, is := strings.CutSuffix(text, "h0m0s"); is {
		return short + "h"
	}
	return text
}

// Set reads what time.ParseDuration does, if a token can be good for so long.
func (l *lifetime) Set(text string) error {
	if text == "never" || text == "infinite" {
		return join.CheckTTL(0)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("it is a number of hours, minutes or seconds, as in 1h, 90m, 24h")
	}
	*l = lifetime(d)
	return join.CheckTTL(d)
}

// Type names the value in the help text.
func (l *lifetime) Type() string { return "duration" }

// now is when the command runs.
func now() time.Time { return clock.RealClock{}.Now() }
