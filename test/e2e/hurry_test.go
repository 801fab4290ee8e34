package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/agent"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// hurriedClock goes faster than the wall clock, from the same time on, or from one that is wrong.
type hurriedClock struct {
	clock.RealClock
	begin  time.Time
	factor int
	wrong  time.Duration
}

func hurry(factor int) *hurriedClock { return &hurriedClock{begin: time.Now(), factor: factor} }

func (c *hurriedClock) Now() time.Time {
	return c.begin.Add(time.Since(c.begin)*time.Duration(c.factor) + c.wrong)
}

func (c *hurriedClock) Since(t time.Time) time.Duration      { return c.Now().Sub(t) }
func (c *hurriedClock) NewTimer(d time.Duration) clock.Timer { return c.RealClock.NewTimer(c.real(d)) }

func (c *hurriedClock) After(d time.Duration) <-chan time.Time { return c.RealClock.After(c.real(d)) }
func (c *hurriedClock) Sleep(d time.Duration)                  { c.RealClock.Sleep(c.real(d)) }
func (c *hurriedClock) real(d time.Duration) time.Duration     { return d / time.Duration(c.factor) }

// hurriedDaemon is a daemon inside the test.
type hurriedDaemon struct {
	*daemon
	// end ends it, as a signal would.
	end func()
}

// startHurried runs the daemon inside the test, by a clock that goes faster: what waits for half a minute by policy is seen to go
// on by itself within a second or two.
func (n *node) startHurried(c *hurriedClock, args ...string) hurriedDaemon {
	n.t.Helper()
	d := &daemon{t: n.t, node: n, ended: make(chan struct{}), started: time.Now()}
	a := agent.New(agent.Options{
		Config: n.configuration(args...), Clock: c, Log: slog.New(slog.NewTextHandler(d, nil)), Notify: d.notify, UserAgent: "bootstrap-agent/hurried",
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(n.t.Context()))
	go func() {
		defer close(d.ended)
		if err := a.Run(ctx); err != nil {
			fmt.Fprintln(d, "ended:", err)
		}
	}()
	end := func() {
		cancel()
		<-d.ended
	}
	n.t.Cleanup(func() {
		end()
		fmt.Fprintln(&n.said, d.log(), d.statuses())
		if n.t.Failed() {
			n.t.Logf("the hurried agent said:\n%s\nto the service manager: %v", d.log(), d.statuses())
		}
	})
	return hurriedDaemon{d, end}
}

// configuration is what the node's flags, and these, make of the defaults.
func (n *node) configuration(args ...string) config.Config {
	n.t.Helper()
	given, settings := pflag.NewFlagSet("", pflag.ContinueOnError), config.Default()
	config.Bind(given, &settings)
	must(n.t, given.Parse(n.command(n.t.Context(), nil, args...).Args[1:]))
	cfg, err := config.Load("", given)
	must(n.t, err)
	return cfg
}

// notify takes what a service manager would be told.
func (d *daemon) notify(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notified = append(d.notified, notification{text, time.Since(d.started)})
}

func TestTheHurriedClockGoesFasterAndItsTimersKeepStep(t *testing.T) {
	t.Parallel()
	c := hurry(100)
	before, begin := c.Now(), time.Now()
	timer := c.NewTimer(10 * time.Second)
	var err error
	select {
	case <-timer.C():
	case <-time.After(5 * time.Second):
		err = errors.New("a timer of 10 hurried seconds took 5 seconds")
	}
	must(t, err)
	if passed, took := c.Since(before), time.Since(begin); passed < 10*time.Second || passed > 100*took+10*time.Second {
		t.Errorf("%s passed in %s", passed, took)
	}
}
