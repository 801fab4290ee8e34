package controlplane

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

// assetsVariable names the folder of the programs, by the name that kubebuilder's envtest and its users know.
const assetsVariable = "KUBEBUILDER_ASSETS"

// programs are the paths of the programs that a control plane consists of.
type programs struct {
	etcd, apiServer, controllerManager, kubectl string
}

// Program is the path of a program of the control plane: etcd, kube-apiserver, kube-controller-manager, kubectl or kubelet.
// All but the
// kubelet are looked for in $KUBEBUILDER_ASSETS, else in bin/control-plane of the repository that the test runs in.
func Program(name string) (string, error) {
	dir, err := programsDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	if name == kubelet {
		if root, err := program.Repository(); err == nil {
			path = filepath.Join(root, built, kubelet)
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no program of the control plane: %w; run make control-plane (or set %s), for the kubelet: make bench", err, assetsVariable)
	}
	return path, nil
}

// kubelet is no part of a control plane: it is always the one that was built, for those who bring the rest bring no kubelet.
const kubelet = "kubelet"

// built is where make control-plane puts the programs, from the top of the repository.
const built = "bin/control-plane"

func findPrograms() (found programs, err error) {
	for name, path := range map[string]*string{
		"etcd": &found.etcd, "kube-apiserver": &found.apiServer,
		"kube-controller-manager": &found.controllerManager, "kubectl": &found.kubectl,
	} {
		if *path, err = Program(name); err != nil {
			return programs{}, err
		}
	}
	return found, nil
}

func programsDir() (string, error) {
	if dir := os.Getenv(assetsVariable); dir != "" {
		return dir, nil
	}
	root, err := program.Repository()
	if err != nil {
		return "", fmt.Errorf("look for the programs of the control plane: %w; run make control-plane or set %s", err, assetsVariable)
	}
	return filepath.Join(root, built), nil
}
