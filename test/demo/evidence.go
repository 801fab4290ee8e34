package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

// The parts of the demo that show what has come of it.

func (s *story) showFiles(ctx context.Context) error {
	if err := s.list("kubelet.kubeconfig", "pki"); err != nil {
		return err
	}
	return s.admin.run(ctx, "--kubeconfig", s.file("kubelet.kubeconfig"), "auth", "whoami")
}

// list prints modes, names and where links lead, as ls -l does: no dot files.
func (s *story) list(names ...string) error {
	for _, name := range names {
		err := filepath.WalkDir(s.file(name), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || strings.HasPrefix(entry.Name(), ".") {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			arrow := ""
			if target, err := os.Readlink(path); err == nil {
				arrow = " -> " + target
			}
			s.screen.say("%-10s  %s%s", lsMode(info.Mode()), path, arrow)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lsMode writes a mode as ls does: Go has a capital L for a link.
func lsMode(mode fs.FileMode) string {
	kind := "-"
	switch {
	case mode.IsDir():
		kind = "d"
	case mode&fs.ModeSymlink != 0:
		kind = "l"
	}
	return kind + mode.Perm().String()[1:]
}

func (s *story) showTokenGone(context.Context) error {
	file := s.file("bootstrap.kubeconfig")
	if _, err := os.Lstat(file); err == nil {
		return fmt.Errorf("the agent has not deleted %s", file)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	searched := 0
	err := filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(s.token.secret)) {
			return fmt.Errorf("%s holds the token", path)
		}
		searched++
		return err
	})
	if err != nil {
		return err
	}
	s.screen.say("…/bootstrap.kubeconfig is deleted, and none of the node's %d files holds the token's secret.", searched)
	return nil
}

func (s *story) showStatus(ctx context.Context) error {
	args := []string{"status", "--config", s.file("config.yaml")}
	s.screen.command(append([]string{s.path}, args...)...)
	command := program.Command(ctx, s.path, args...)
	output, err := command.CombinedOutput()
	s.screen.say("%s", output)
	if err != nil {
		return fmt.Errorf("bootstrap-agent status: %w", err)
	}
	return nil
}

// byAgent picks the agent's requests from the API server's audit log.
func (s *story) byAgent(since time.Time) ([]controlplane.Request, error) {
	return s.cp.Requests("", controlplane.ByUserAgent("bootstrap-agent/"), controlplane.Since(since))
}

func (s *story) showCost(context.Context) error {
	requests, err := s.byAgent(s.agent.started)
	if err != nil {
		return err
	}
	proved, err := s.agent.saidAfter("the API server accepts the new client certificate")
	if err != nil {
		return err
	}
	s.screen.say("%d ms from the start of the process to an identity that the API server has accepted.", proved)
	s.screen.say("%d requests to the API server, by its audit log:", len(requests))
	for _, r := range requests {
		s.screen.say("  %-6s %-26s → %d  as %s", r.Verb, r.Resource, r.Code, r.User)
	}
	return nil
}

func (s *story) restart(ctx context.Context) error {
	s.screen.say("kill -9 for process %d: %s", s.agent.command.Process.Pid, s.agent.end(syscall.SIGKILL))
	var err error
	if s.agent, err = startAgent(ctx, s.screen, s.path, s.dir, "run", "--config", s.file("config.yaml")); err != nil {
		return err
	}
	ready, err := s.agent.ready(ctx)
	if err != nil {
		return err
	}
	if err := s.agent.show(ctx, "serving", "valid until"); err != nil {
		return err
	}
	if state := s.agent.end(syscall.SIGTERM); !state.Success() {
		return fmt.Errorf("stopped by SIGTERM the agent ended with %s", state)
	}
	requests, err := s.byAgent(s.agent.started)
	if err != nil {
		return err
	}
	if len(requests) > 0 {
		return fmt.Errorf("the agent asked the API server: %v", requests)
	}
	s.screen.say("READY=1 for the service manager after %d ms, from the disk: not one request to the API server.", ready.Milliseconds())
	return nil
}
