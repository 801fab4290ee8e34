package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

// The parts of the demo that show what the agent does for the rest of the machine's life.

// rotate asks for what comes by itself after 70 to 90 % of a certificate's life.
func (s *story) rotate(ctx context.Context) error {
	args := []string{"rotate", "client", "--config", s.file("config.yaml")}
	s.screen.command(append([]string{s.path}, args...)...)
	output, err := program.Command(ctx, s.path, args...).CombinedOutput()
	s.screen.say("%s", output)
	if err != nil {
		return fmt.Errorf("bootstrap-agent rotate: %w", err)
	}
	s.screen.say("Two requests for one certificate are never less than 20 s apart, so this takes up to 20 s …")
	if err := s.agent.show(ctx, "the node has its client certificate"); err != nil {
		return err
	}
	return s.list("pki/kubelet-client-current.pem")
}

// heal empties the node's identity, as a power cut under other agents leaves it.
func (s *story) heal(ctx context.Context) error {
	current, err := filepath.EvalSymlinks(s.file("pki/kubelet-client-current.pem"))
	if err != nil {
		return err
	}
	s.screen.command("truncate", "--size=0", current)
	if err := os.Truncate(current, 0); err != nil {
		return err
	}
	if err := s.agent.show(ctx, "wrote a file again from memory"); err != nil {
		return err
	}
	return s.admin.run(ctx, "--kubeconfig", s.file("kubelet.kubeconfig"), "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
}
