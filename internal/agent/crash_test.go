package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

var errCrash = errors.New("the machine is switched off")

// joiner is a machine that bootstraps at the stand-in.
type joiner struct {
	*machine
	t    *testing.T
	node string
	// credential are the files that hold the secret.
	credential string
	// ca is that of the node's cluster.
	ca []byte
	// mayKeep are names that may be left in the cert-dir.
	mayKeep []string
	// orphans are how many client pairs earlier lives may have left unfinished, too young to be swept.
	orphans int
	log     lockedBuffer
}

func newJoiner(t *testing.T, api *apiStandIn, node string, inFile bool) *joiner {
	t.Helper()
	j := &joiner{machine: newMachine(t), t: t, node: node, ca: api.ca.pem}
	j.cfg.HostnameOverride, j.cfg.Once, j.cfg.Timeout.Duration = node, true, 20*time.Second
	j.credential = j.cfg.BootstrapKubeconfig
	content := bootstrapKubeconfig(api.url, api.ca.pem)
	if inFile {
		j.credential = filepath.Join(j.top, "token")
		j.write(t, j.credential, []byte(token+"\n"))
		content = bytes.Replace(content, []byte("token: "+token), []byte("tokenFile: token"), 1)
	}
	j.write(t, j.cfg.BootstrapKubeconfig, content)
	return j
}

// run is run --once until it ends, or until the disk stops it.
func (j *joiner) run(before func(durable.Op) error, with clock.WithTicker) error {
	ctx, cancel := context.WithCancel(j.t.Context())
	defer cancel()
	disk := durable.Disk{Before: func(op durable.Op) error {
		err := before(op)
		if errors.Is(err, errCrash) {
			cancel()
		}
		return err
	}}
	log := slog.New(slog.NewTextHandler(&j.log, nil))
	return New(Options{Config: j.cfg, Disk: disk, Clock: with, Log: log, UserAgent: "test"}).Run(ctx)
}

// crash lets k operations through and stops everything after them. It says whether it came to that.
func (j *joiner) crash(k int) bool {
	j.t.Helper()
	var mu sync.Mutex
	calls, crashed := 0, false
	err := j.run(func(op durable.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls > k || crashed {
			crashed = true
			return errCrash
		}
		j.expectSafe(op)
		return nil
	}, clock.RealClock{})
	if !crashed && err != nil {
		j.t.Errorf("ends with %v", err)
	}
	return crashed
}

// expectSafe looks at an operation just before it is made: the request may go, and the credential go or be moved, only when the
// identity is whole and the kubelet's kubeconfig has its name.
func (j *joiner) expectSafe(op durable.Op) {
	j.t.Helper()
	takesRequest := op.Call == "unlink" && op.Path == j.dir.PendingFile(certdir.Client)
	takesCredential := op.From == j.credential || op.Path == j.credential && op.Call == "unlink"
	if (takesRequest || takesCredential) && !j.complete() {
		j.t.Errorf("%s %s, and the identity is not complete", op.Call, op.Path)
	}
}

// complete says whether the disk holds all that the kubelet needs to be this node.
func (j *joiner) complete() bool {
	pair, err := j.dir.Read(certdir.Client)
	if err != nil || pair.Leaf.Subject.CommonName != "system:node:"+j.node {
		return false
	}
	clientCA, _ := j.dir.ReadCA(j.dir.ClientCA())
	_, err = kubeconfig.LoadKubelet(j.cfg.Kubeconfig)
	return err == nil && bytes.Equal(clientCA, j.ca)
}

// expectWayOn shows that nothing is lost: there is a credential, or an issued certificate with its key, or the identity.
func (j *joiner) expectWayOn() {
	j.t.Helper()
	for _, path := range []string{j.credential, kubeconfig.AsideName(j.credential)} {
		if content, err := os.ReadFile(path); err == nil && bytes.Contains(content, []byte(token)) {
			return
		}
	}
	if !j.needsNoCredential() {
		j.t.Error("neither a credential nor an issued certificate nor an identity is left")
	}
}

// needsNoCredential says whether the disk holds an issued certificate with its key, stored or committed.
func (j *joiner) needsNoCredential() bool {
	content, err := j.dir.ReadPending(certdir.Client)
	must(j.t, err)
	p, err := csr.DecodePending(content)
	return err == nil && len(p.CertificatePEM) > 0 || j.complete()
}

// expectJoined shows that the node has everything, and the disk and the cluster nothing more than that.
func (j *joiner) expectJoined(api *apiStandIn) {
	j.t.Helper()
	o := status.Observe(j.cfg, time.Now())
	if !j.complete() || !o.HasIdentity() || !o.Serving.Issued() || !o.Serving.Linked || o.Client.Pending != nil || o.Serving.Pending != nil {
		j.t.Errorf("not joined: client %v, serving %v, kubeconfig %v", o.Client.PairErr, o.Serving.PairErr, o.KubeletErr)
	}
	if lacks := serving.Lacks(o.Serving.Pair.Leaf, serving.Names{DNS: []string{j.node}, IPs: []string{"192.0.2.10"}}); len(lacks) > 0 {
		j.t.Errorf("the serving certificate lacks %q", lacks)
	}
	for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
		if count := api.requestsOf(j.node, kind); count != 1 {
			j.t.Errorf("%d %s requests were made, expected one", count, kind)
		}
	}
	must(j.t, filepath.WalkDir(j.top, func(path string, _ fs.DirEntry, err error) error {
		if content, readErr := os.ReadFile(path); readErr == nil && bytes.Contains(content, []byte(token)) {
			j.t.Errorf("the token is still in %s", path)
		}
		return err
	}))
	j.expectNothingElse()
}

// expectNothingElse allows, beside what a node has, only what the next sweep takes.
func (j *joiner) expectNothingElse() {
	j.t.Helper()
	entries, err := os.ReadDir(j.cfg.CertDir)
	must(j.t, err)
	clients, servers := 0, 0
	for _, entry := range entries {
		switch name := entry.Name(); {
		case durable.IsTemp(name):
		case len(name) == len("kubelet-client-2006-01-02-15-04-05.pem") && name[:8] == "kubelet-":
			if name[8] == 'c' {
				clients++
			} else {
				servers++
			}
		case slices.Contains([]string{
			"kubelet-client-current.pem", "kubelet-server-current.pem", "kubelet.crt", "kubelet.key",
			"kubelet-apiserver-ca.crt", "kubelet-client-ca.crt", ".bootstrap-agent.lock",
		}, name) || slices.Contains(j.mayKeep, name):
		default:
			j.t.Errorf("%s is left over", name)
		}
	}
	if clients < 1 || clients > 2+j.orphans || servers != 1 {
		j.t.Errorf("%d client pairs (with at most one previous), %d serving pairs, expected one", clients, servers)
	}
}

func (j *joiner) report(when string) {
	if j.t.Failed() {
		entries, _ := filepath.Glob(filepath.Join(j.top, "*"))
		more, _ := filepath.Glob(filepath.Join(j.cfg.CertDir, "*"))
		j.t.Fatalf("%s; on the disk: %q; the agent said:\n%s", when, append(entries, more...), j.log.String())
	}
}

func TestACrashAtAnyOperationLosesNothingAndAsksForNothingTwice(t *testing.T) {
	t.Parallel()
	api := newAPIStandIn(t)
	for first, name := range []string{"even", "odd"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for k := first; crashAndRestart(t, api, "crash", k, false); k += 2 {
				continue
			}
		})
	}
}

// A tokenFile is disposed of instead of the kubeconfig that names it; all else is the same.
func TestACrashDuringTheDisposalOfATokenFileLosesNothing(t *testing.T) {
	t.Parallel()
	api := newAPIStandIn(t)
	disposal, calls := 0, 0
	j := newJoiner(t, api, "recorded", true)
	must(t, j.run(func(op durable.Op) error {
		if calls++; disposal == 0 && op.Path == kubeconfig.AsideName(j.credential) {
			disposal = calls
		}
		return nil
	}, clock.RealClock{}))
	j.expectJoined(api)
	if disposal == 0 {
		t.Fatal("the credential was not moved aside")
	}
	for k := disposal - 2; k < disposal+6; k++ {
		crashAndRestart(t, api, "token-file", k, true)
	}
}

// crashAndRestart says whether there was a k-th operation to crash at.
func crashAndRestart(t *testing.T, api *apiStandIn, name string, k int, inFile bool) bool {
	t.Helper()
	j := newJoiner(t, api, fmt.Sprintf("%s-%d", name, k), inFile)
	defer os.RemoveAll(j.top)
	crashed := j.crash(k)
	j.expectWayOn()
	if crashed && k%3 == 1 { // and once more while it recovers
		j.crash(k * 7 % 40)
		j.expectWayOn()
	}
	if k%2 == 0 && j.needsNoCredential() { // somebody has tidied up before the restart
		os.Remove(j.credential)
		os.Remove(kubeconfig.AsideName(j.credential))
	}
	if err := j.run(func(op durable.Op) error { j.expectSafe(op); return nil }, clock.RealClock{}); err != nil {
		t.Errorf("a restart ends with %v", err)
	}
	j.expectJoined(api)
	j.report(fmt.Sprintf("crash at operation %d", k))
	return crashed
}
