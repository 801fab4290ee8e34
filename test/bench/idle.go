package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

const (
	// scrapeEvery is how often Prometheus looks in many clusters.
	scrapeEvery = 15 * time.Second
	// settleFor is how long an agent that has joined is left alone before it counts as idle: at first it looks every few seconds whether a
	// kubelet serves its new certificate.
	settleFor = time.Minute
)

// idle is what an agent costs that has both certificates and nothing to do.
type idle struct {
	// cpu is the processor time of all its threads, in nanoseconds; resident its memory at the end, in bytes.
	cpu, resident float64
}

// idleAgents leaves two agents alone for a while, at the same time: the listener of one is scraped, the other has none.
func (t *track) idleAgents(ctx context.Context, length time.Duration) (scraped, alone idle, err error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return idle{}, idle{}, err
	}
	watched, err := t.startIdler(ctx, "--web.listen-address="+address)
	if err != nil {
		return idle{}, idle{}, err
	}
	defer watched.kill()
	unwatched, err := t.startIdler(ctx)
	if err != nil {
		return idle{}, idle{}, err
	}
	defer unwatched.kill()
	both := []*process{watched, unwatched}
	if err := rest(ctx, settleFor, both...); err != nil {
		return idle{}, idle{}, err
	}
	begun, err := costs(both)
	if err != nil {
		return idle{}, idle{}, err
	}
	for left := length; left > 0; left -= scrapeEvery {
		if err := scrape(ctx, "http://"+address+"/metrics"); err != nil {
			return idle{}, idle{}, watched.failed("is not scraped: %v", err)
		}
		if err := rest(ctx, min(left, scrapeEvery), both...); err != nil {
			return idle{}, idle{}, err
		}
	}
	ended, err := costs(both)
	if err != nil {
		return idle{}, idle{}, err
	}
	return ended[0].since(begun[0]), ended[1].since(begun[1]), nil
}

// since is what was used since then, and what is resident now.
func (c idle) since(before idle) idle { return idle{cpu: c.cpu - before.cpu, resident: c.resident} }

// startIdler returns an agent that has both certificates.
func (t *track) startIdler(ctx context.Context, flags ...string) (*process, error) {
	n, err := t.newNodeIn(ctx, t.quiet)
	if err != nil {
		return nil, err
	}
	defer n.changes.close()
	p, err := t.startAgent(ctx, n, flags...)
	if err != nil {
		return nil, err
	}
	if _, err := p.until(ctx, n, n.file("pki/kubelet-server.pending.pem"), unix.IN_DELETE); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// rest waits, while all of them go on running.
func rest(ctx context.Context, length time.Duration, running ...*process) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, p := range running {
		select {
		case <-p.ended:
			return p.failed("ended early: %v", p.command.ProcessState)
		default:
		}
	}
	return nil
}

// costs are what processes have cost so far.
func costs(processes []*process) ([]idle, error) {
	var all []idle
	for _, p := range processes {
		cpu, err := program.CPU(p.command.Process.Pid)
		if err != nil {
			return nil, err
		}
		resident, err := program.Resident(p.command.Process.Pid)
		if err != nil {
			return nil, err
		}
		all = append(all, idle{cpu: float64(cpu), resident: resident})
	}
	return all, nil
}

// freeAddress is one of this machine where nobody listens.
func freeAddress(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// scrape reads a page as Prometheus does: compressed, and over a connection that stays.
func scrape(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !strings.Contains(string(page), "\nbootstrap_agent_ready 1\n")) {
		err = fmt.Errorf("%s: %s", response.Status, page)
	}
	return err
}
