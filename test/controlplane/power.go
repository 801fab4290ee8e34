package controlplane

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// pollInterval is how often a component is asked whether it is ready: often, since all tests wait for it.
const pollInterval = 20 * time.Millisecond

var errNotRunning = errors.New("it is not running")

func (cp *ControlPlane) startEtcd(context.Context) error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	started, err := startProcess(cp.launcher, cp.dir, cp.programs.etcd, cp.etcdArgs()...)
	cp.etcd = started
	return err // not awaited: the API server does that
}

// StartAPIServer starts the API server after StopAPIServer, with the same port and data, and returns when it is ready.
func (cp *ControlPlane) StartAPIServer(ctx context.Context) error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.apiServer != nil {
		return errors.New("start the API server: it is running")
	}
	started, err := startProcess(cp.launcher, cp.dir, cp.programs.apiServer, cp.apiServerArgs()...)
	if err != nil {
		return err
	}
	err = cp.await(ctx, "the API server to be ready", func(ctx context.Context) error {
		_, err := cp.admin.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		return err
	}, cp.etcd, started)
	if err != nil {
		return errors.Join(err, started.stop(0))
	}
	cp.apiServer = started
	return nil
}

// StopAPIServer kills the API server. Connections to it are refused until StartAPIServer.
func (cp *ControlPlane) StopAPIServer() error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.apiServer == nil {
		return fmt.Errorf("stop the API server: %w", errNotRunning)
	}
	err := cp.apiServer.stop(0)
	cp.apiServer = nil
	return err
}

// RestartAPIServer kills the API server, starts it again with the same port and data, and returns when it is ready.
// kube-controller-manager goes on, but takes another second or two to notice.
func (cp *ControlPlane) RestartAPIServer(ctx context.Context) error {
	if err := cp.StopAPIServer(); err != nil {
		return err
	}
	return cp.StartAPIServer(ctx)
}

// PauseAPIServer stops the API server in its tracks: connections stay and are made, and nothing is answered.
func (cp *ControlPlane) PauseAPIServer() error { return cp.signal(&cp.apiServer, syscall.SIGSTOP) }

// ResumeAPIServer undoes PauseAPIServer.
func (cp *ControlPlane) ResumeAPIServer() error { return cp.signal(&cp.apiServer, syscall.SIGCONT) }

// PauseControllerManager stops kube-controller-manager in its tracks: no CSR is approved or signed.
func (cp *ControlPlane) PauseControllerManager() error {
	return cp.signal(&cp.controllerManager, syscall.SIGSTOP)
}

// ResumeControllerManager undoes PauseControllerManager.
func (cp *ControlPlane) ResumeControllerManager() error {
	return cp.signal(&cp.controllerManager, syscall.SIGCONT)
}

// PauseEtcd stops etcd in its tracks: the API server answers what needs no data, and everything else after a time-out or when
// etcd goes on.
func (cp *ControlPlane) PauseEtcd() error { return cp.signal(&cp.etcd, syscall.SIGSTOP) }

// ResumeEtcd undoes PauseEtcd.
func (cp *ControlPlane) ResumeEtcd() error { return cp.signal(&cp.etcd, syscall.SIGCONT) }

func (cp *ControlPlane) signal(p **process, s syscall.Signal) error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if *p == nil {
		return fmt.Errorf("send %v to a component: %w", s, errNotRunning)
	}
	return (*p).signal(s)
}

func (cp *ControlPlane) startControllerManager(ctx context.Context) error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	started, err := startProcess(cp.launcher, cp.dir, cp.programs.controllerManager, cp.controllerManagerArgs()...)
	if err != nil {
		return err
	}
	cp.controllerManager = started
	return cp.awaitIssuing(ctx)
}

// await calls check until it has no error, the context ends, or one of the needed processes is gone.
func (cp *ControlPlane) await(ctx context.Context, what string, check func(context.Context) error, needed ...*process) error {
	for {
		last := check(ctx)
		if last == nil {
			return nil
		}
		for _, p := range needed {
			if err := p.died(); err != nil {
				return fmt.Errorf("wait for %s: %w", what, err)
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; last: %w%s", what, ctx.Err(), last, logTails(needed))
		case <-time.After(pollInterval):
		}
	}
}
