package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane/loopback"
)

// startLimit is far above the 4 s that a start takes on two cores; with thirty processes that want them it took 42.
const startLimit = 3 * time.Minute

// Options say how a control plane differs from the ordinary one. The zero value is a good start.
type Options struct {
	// Dir holds keys, logs and data. When empty it is a temporary folder that Stop removes; a folder given stays.
	Dir string
	// SplitCA has the kubelets' certificates signed by another CA (SignerCA) than the one of the API server (CA).
	SplitCA bool
	// NextCA makes a second CA, which [ControlPlane.UseNextCA] has take the place of the first one.
	NextCA bool
	// SigningDuration is the lifetime of the certificates issued through CSRs, and the longest that a CSR can ask for; 1 h when zero.
	SigningDuration time.Duration
	// Addresses are further IPs at which the API server is reached, e.g. from a network namespace. With any, it listens on all.
	Addresses []net.IP
	// Controllers are run by kube-controller-manager besides the few that certificates need; "-name" leaves one of those out.
	Controllers []string
	// APIServerFlags and ControllerManagerFlags come last on the command lines, so they win.
	APIServerFlags, ControllerManagerFlags []string
	// Log is told what has been started, and how long it took.
	Log io.Writer
}

// ControlPlane is a running control plane. Its methods may be called from several tests at once.
type ControlPlane struct {
	options      Options
	programs     programs
	dir          string
	pki          *pki
	port         *loopback.Port
	staticTokens staticTokens
	launcher     *launcher
	admin        *kubernetes.Clientset
	csrs         csrs
	audited      audited

	mu                                 sync.Mutex // held while a component is started or stopped
	etcd, apiServer, controllerManager *process
}

// Start starts a control plane and returns when it issues certificates, after about 4 s on two cores. The context limits
// the starting only, and three minutes do. Call Stop afterwards; after an error there is nothing left to stop.
func Start(ctx context.Context, options Options) (*ControlPlane, error) {
	if options.SigningDuration == 0 {
		options.SigningDuration = time.Hour
	}
	if options.Log == nil {
		options.Log = io.Discard
	}
	found, err := findPrograms()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	cp := &ControlPlane{options: options, programs: found, staticTokens: newStaticTokens(), launcher: newLauncher()}
	if err := cp.start(ctx); err != nil {
		cp.Stop()
		return nil, fmt.Errorf("start a control plane: %w", err)
	}
	return cp, nil
}

func (cp *ControlPlane) start(ctx context.Context) error {
	for _, step := range []struct {
		done string
		do   func(context.Context) error
	}{
		{"certificates and configuration written", cp.prepare},
		{"etcd started", cp.startEtcd},
		{"API server ready", cp.StartAPIServer},
		{"RBAC applied", cp.applyRBAC},
		// not before: kube-controller-manager exits when it cannot ask the API server for its own rights
		{"kube-controller-manager issues certificates", cp.startControllerManager},
	} {
		begin := time.Now()
		if err := step.do(ctx); err != nil {
			return err
		}
		fmt.Fprintf(cp.options.Log, "control plane: %s (%.1f s)\n", step.done, time.Since(begin).Seconds())
	}
	return nil
}

func (cp *ControlPlane) prepare(context.Context) error {
	var err error
	if cp.dir, err = workDir(cp.options.Dir); err != nil {
		return fmt.Errorf("make its folder: %w", err)
	}
	if cp.port, err = loopback.Reserve(); err != nil {
		return err
	}
	if cp.pki, err = newPKI(cp.path("pki"), cp.options.SplitCA, cp.options.Addresses); err != nil {
		return err
	}
	if cp.options.NextCA {
		if err := cp.pki.addNext(); err != nil {
			return err
		}
	}
	if err := cp.writeFiles(); err != nil {
		return err
	}
	config, err := cp.adminConfig()
	if err != nil {
		return err
	}
	if cp.admin, err = kubernetes.NewForConfig(config); err != nil {
		return err
	}
	return cp.csrs.connect(config)
}

// workDir is absolute, since the components run in it.
func workDir(dir string) (string, error) {
	if dir == "" {
		return os.MkdirTemp("", "controlplane-")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	return filepath.Abs(dir)
}

// Stop ends every process that was started, by TERM and then KILL, and removes the temporary folder. It may be called twice.
func (cp *ControlPlane) Stop() {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	var failures []error
	// Clients before servers: an API server without watches drains in no time, and etcd is never missed.
	for _, p := range []**process{&cp.controllerManager, &cp.apiServer, &cp.etcd} {
		if *p == nil {
			continue
		}
		if err := (*p).stop(3 * time.Second); err != nil {
			failures = append(failures, err)
		}
		*p = nil
	}
	if cp.launcher != nil {
		cp.launcher.close()
		cp.launcher = nil
	}
	if cp.port != nil {
		failures = append(failures, cp.port.Close())
		cp.port = nil
	}
	if cp.options.Dir == "" && cp.dir != "" {
		failures = append(failures, os.RemoveAll(cp.dir))
	}
	if err := errors.Join(failures...); err != nil {
		fmt.Fprintf(cp.options.Log, "control plane: stop: %v\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

// Server is the API server's URL, https://127.0.0.1:PORT. It stays the same over restarts.
func (cp *ControlPlane) Server() string { return "https://" + cp.port.Address() }

// CA is the API server's CA, PEM: what a bootstrap.kubeconfig holds.
func (cp *ControlPlane) CA() []byte { return cp.pki.cluster.certPEM }

// SignerCA is the CA that signs kubelet client and serving certificates, PEM. It is CA itself without Options.SplitCA.
func (cp *ControlPlane) SignerCA() []byte { return cp.pki.signer.certPEM }

// Dir is the folder with keys, logs and data.
func (cp *ControlPlane) Dir() string { return cp.dir }

// AdminKubeconfig is the path of a kubeconfig that may do everything.
func (cp *ControlPlane) AdminKubeconfig() string { return cp.path("admin.kubeconfig") }

// AdminClient is a client that may do everything.
func (cp *ControlPlane) AdminClient() kubernetes.Interface { return cp.admin }
