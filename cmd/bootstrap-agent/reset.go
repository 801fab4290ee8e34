package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/reset"
)

// runtimeDirectory is where the unit's RuntimeDirectory= is.
const runtimeDirectory = "/run/bootstrap-agent"

func resetCommand() *cobra.Command {
	load, keep, yes := settings{}, false, false
	cmd := &cobra.Command{
		Use:   "reset [--keep-identity] --yes",
		Short: "Remove the node's identity and all that the agent has put on this machine; without --yes only say what would be done",
		Long: `Remove the node's identity and all that the agent has put on this machine: the bootstrap credential, requests with their keys,
both certificates with theirs, the kubelet's kubeconfig, CA files, links. A serving pair that was there before the agent is put back.
For a machine that leaves its cluster, or becomes an image. The node's objects in the cluster are not touched.

With --keep-identity: what the kubelet uses stays, so that it can rotate its certificates itself; kubelet.crt and kubelet.key become
files, and requests with their keys go. For a machine that goes on without the agent; removal of the package does this.

Nothing is changed without --yes, at a terminal or in a script: the list of what would be is printed. Nothing is changed while an agent
runs either: systemctl stop bootstrap-agent. Can be run again at any time, also after it was interrupted.

Exit codes: 0 nothing of the agent's is left (with --keep-identity: that the kubelet does not use), 4 there is something to do, and
--yes was not given, 1 an agent runs, or the disk refuses: try again, 2 usage, configuration or cert-dir, 3 a secret may be left that only
a person can remove: it is named.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := load.config()
			if err != nil {
				return err
			}
			if err := (certdir.Dir{Path: cfg.CertDir}).Check(); err != nil {
				return usage(fmt.Errorf("cert-dir: %w", err))
			}
			r := resetting{
				machine: reset.Machine{Config: cfg, Marker: marker(), Now: clock.RealClock{}.Now()}, keep: keep,
				out: cmd.OutOrStdout(), note: cmd.ErrOrStderr(),
			}
			if !yes {
				return r.show()
			}
			return r.do()
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it; otherwise only say what would be done")
	cmd.Flags().BoolVar(&keep, "keep-identity", false, "leave what the kubelet uses, for one that goes on without the agent")
	load.bind(cmd, config.Bind)
	return cmd
}

func marker() string {
	return filepath.Join(cmp.Or(firstOf(os.Getenv("RUNTIME_DIRECTORY")), runtimeDirectory), agent.StartedFile)
}

// resetting is one call of the command.
type resetting struct {
	machine   reset.Machine
	keep      bool
	out, note io.Writer
}

func (r resetting) plan() reset.Plan {
	if r.keep {
		return r.machine.KeepIdentity()
	}
	return r.machine.Everything()
}

// show says what would be done.
func (r resetting) show() error {
	p := r.plan()
	for _, part := range p.Parts {
		for _, step := range part {
			for _, line := range step.Says {
				fmt.Fprintln(r.out, "would", line)
			}
		}
	}
	r.notes(p)
	dir := certdir.Dir{Path: r.machine.Config.CertDir}
	if pid, err := dir.Holder(); err == nil && pid != 0 {
		fmt.Fprintf(r.note, "an agent runs (pid %d): stop it first, with: systemctl stop bootstrap-agent\n", pid)
	}
	if p.Steps() > 0 {
		return &agent.ExitError{Code: 4, Err: errors.New("nothing was changed; give --yes to do this")}
	}
	return left(p)
}

// do carries it out, alone.
func (r resetting) do() error {
	done, err := r.machine.Alone(fmt.Sprintf("pid %d (reset)", os.Getpid()))
	if held := new(durable.LockedError); errors.As(err, &held) {
		return &agent.ExitError{Code: 1, Err: fmt.Errorf("nothing was changed: an agent (%s) runs on %s; stop it first, with: systemctl stop bootstrap-agent",
			cmp.Or(held.Holder, "it does not say which process"), r.machine.Config.CertDir)}
	}
	if err != nil {
		return &agent.ExitError{Code: 1, Err: fmt.Errorf("nothing was changed: %w", err)}
	}
	p := r.plan()
	r.notes(p)
	err = r.machine.Do(p, func(line string) { fmt.Fprintln(r.out, line) })
	if err = errors.Join(err, done()); err != nil {
		return &agent.ExitError{Code: 1, Err: fmt.Errorf("not all could be done, run it again: %w", err)}
	}
	return left(p)
}

// left is the end of a reset that has nothing more to do.
func left(p reset.Plan) error {
	if len(p.Stays) > 0 {
		return &agent.ExitError{Code: 3, Err: errors.New("a secret may be left, see above; remove it by hand")}
	}
	return nil
}

// notes says what is left to a person.
func (r resetting) notes(p reset.Plan) {
	for _, stays := range p.Stays {
		fmt.Fprintln(r.note, "stays:", stays)
	}
	for _, note := range p.Notes {
		fmt.Fprintln(r.note, "note:", note)
	}
	if r.keep {
		return
	}
	for _, pid := range r.kubelets() {
		fmt.Fprintf(r.note, "note: a kubelet (pid %d) runs from these files: it goes on with what it has in memory until it is stopped\n", pid)
	}
	fmt.Fprintln(r.note, "note: a systemd credential (LoadCredential= of the agent's unit) is not seen while the agent is stopped: take it out there, or the next start joins again")
	fmt.Fprintln(r.note, "note: copies are not looked for: cloud-init's user-data (cloud-init clean --logs), the journal, backups; and flash does not erase what is unlinked")
}

// kubelets are those that run from the files that go.
func (r resetting) kubelets() (pids []int) {
	found, _ := node.Kubelets(node.Proc) // only to warn
	for _, k := range found {
		if node.SamePath(k.Kubeconfig.Value, r.machine.Config.Kubeconfig) || node.SamePath(k.CertDir.Value, r.machine.Config.CertDir) {
			pids = append(pids, k.Process.PID)
		}
	}
	return pids
}
