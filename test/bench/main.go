// Command bench measures the agent beside the real kubelet, which can bootstrap by itself: the same control plane, warm, one
// join at a time, in turns. It prints a table and fails when a budget is broken by more than the noise that it has measured.
//
// Exit codes: 0 within the budgets, 1 a budget is broken, 2 something could not be measured.
package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

// idleRounds are the rounds in which the processes are left alone for a while to look at their memory: it hardly varies.
const idleRounds = 3

func main() {
	rounds := flag.Int("rounds", 10, "how often each is measured")
	idle := flag.Duration("idle", idleBudgetFor, "for how long agents with nothing to do are measured; the budget goes with it")
	flag.Parse()
	program.Main("bench", func(ctx context.Context) error {
		err := bench(ctx, max(*rounds, 1), max(*idle, scrapeEvery))
		if _, ok := errors.AsType[*program.Exit](err); err != nil && !ok {
			err = &program.Exit{Code: 2, Err: err}
		}
		return err
	})
}

func bench(ctx context.Context, rounds int, idle time.Duration) error {
	t, err := newTrack(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	r, err := measure(ctx, t, rounds)
	if err != nil {
		return err
	}
	fmt.Printf("leaving agents alone for %s\n", idle)
	r.idleFor = idle
	if r.scraped, r.alone, err = t.idleAgents(ctx, idle); err != nil {
		return err
	}
	rows := r.rows()
	fmt.Println()
	if err := write(os.Stdout, rows); err != nil {
		return err
	}
	fmt.Print(notes)
	if broken := brokenOf(rows); len(broken) > 0 {
		return &program.Exit{Code: 1, Err: fmt.Errorf("over budget by more than the noise: %s", strings.Join(broken, "; "))}
	}
	return nil
}

const notes = `
Median (least–most) of the rounds; MB are 10^6 bytes. The agent's time ends when its identity is proved and its kubeconfig durable,
the kubelet's when its kubeconfig is there: it proves nothing, and syncs the certificate only. "Serving pair too": the agent makes a
placeholder and asks for a certificate, which is approved at once; the kubelet, as it comes, makes itself a pair (two RSA keys,
most of its time). Resident: after 2 s of rest; the kubelet's while it waits for a container runtime, before it does any work.
Idle: both certificates are there and nothing happens; processor time of all threads, and what is resident at the end. Scraped: every
15 s, as Prometheus does; the other agent has no port.
`

// results are the joins of all rounds.
type results struct {
	agentClient, agentBoth, kubeletClient, kubeletBoth []join
	agentSize, kubeletSize                             float64
	scraped, alone                                     idle
	idleFor                                            time.Duration
}

// measure runs the rounds: agent and kubelet in turns, who begins changes, so that a busy moment of the machine meets both.
func measure(ctx context.Context, t *track, rounds int) (*results, error) {
	r := &results{}
	for _, size := range []struct {
		of   string
		into *float64
	}{{t.agent, &r.agentSize}, {t.kubelet, &r.kubeletSize}} {
		info, err := os.Stat(size.of)
		if err != nil {
			return nil, err
		}
		*size.into = float64(info.Size())
	}
	for round := range rounds + 1 {
		contests := []struct {
			do   func(ctx context.Context, serving, idle bool) (join, error)
			with bool
			into *[]join
		}{
			{t.joinAgent, false, &r.agentClient},
			{t.joinKubelet, false, &r.kubeletClient},
			{t.joinAgent, true, &r.agentBoth},
			{t.joinKubelet, true, &r.kubeletBoth},
		}
		if round%2 == 0 {
			contests[0], contests[1], contests[2], contests[3] = contests[1], contests[0], contests[3], contests[2]
		}
		for _, c := range contests {
			j, err := c.do(ctx, c.with, round >= 1 && round <= idleRounds)
			if err != nil {
				return nil, fmt.Errorf("round %d: %w", round, err)
			}
			if round > 0 { // the one before the first warms caches up, in the control plane and of the disk
				*c.into = append(*c.into, j)
			}
		}
	}
	machine, err := describeMachine(t.dir)
	if err != nil {
		return nil, err
	}
	fmt.Printf("%d rounds, after one to warm up, on %s\n", rounds, machine)
	return r, nil
}

// track is where the joins are run.
type track struct {
	cp             *controlplane.ControlPlane
	stopApprover   func()
	dir, quiet     string // quiet: no folder above it is in use by others
	agent, kubelet string
	runtime        *silentRuntime
	nodes          int
}

func newTrack(ctx context.Context) (*track, error) {
	t := &track{stopApprover: func() {}}
	if err := t.open(ctx); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *track) open(ctx context.Context) (err error) {
	if t.agent, err = program.Agent(); err != nil {
		return err
	}
	if err := plainBuild(t.agent); err != nil {
		return err
	}
	if t.kubelet, err = controlplane.Program("kubelet"); err != nil {
		return err
	}
	if t.dir, err = os.MkdirTemp("", "bench-"); err != nil {
		return err
	}
	// Beside the program, not in /tmp: the agent watches all folders above its files, and one where others are busy leaves it no rest.
	if t.quiet, err = os.MkdirTemp(filepath.Dir(t.agent), "idle-"); err != nil {
		return err
	}
	if t.runtime, err = newSilentRuntime(t.dir); err != nil {
		return err
	}
	fmt.Println("starting a control plane")
	if t.cp, err = controlplane.Start(ctx, controlplane.Options{}); err != nil {
		return err
	}
	t.stopApprover = t.cp.ApproveServing(context.WithoutCancel(ctx), nil, 0)
	return nil
}

// plainBuild refuses a program with the race detector, which is many times slower and larger.
func plainBuild(path string) error {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return fmt.Errorf("how %s was built: %w", path, err)
	}
	if slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return fmt.Errorf("%s was built with -race; run make build", path)
	}
	return nil
}

func (t *track) close() {
	t.stopApprover()
	if t.cp != nil {
		t.cp.Stop()
	}
	if t.runtime != nil {
		t.runtime.close()
	}
	os.RemoveAll(t.dir)
	os.RemoveAll(t.quiet)
}
