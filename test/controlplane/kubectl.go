package controlplane

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Kubectl runs the real kubectl as the admin and returns what it prints.
func (cp *ControlPlane) Kubectl(args ...string) (string, error) {
	return cp.KubectlWith(cp.AdminKubeconfig(), args...)
}

// KubectlWith runs the real kubectl with a kubeconfig and returns what it prints. The error holds what it said on stderr.
func (cp *ControlPlane) KubectlWith(kubeconfig string, args ...string) (string, error) {
	command := exec.Command(cp.programs.kubectl, args...)
	// a HOME of its own: no preferences or caches of whoever runs the tests
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+cp.dir)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	if err != nil {
		return string(output), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(output), nil
}
