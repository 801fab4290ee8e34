package agent

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/reset"
	"github.com/bootstrap-agent/bootstrap-agent/test/powercut"
)

// What the reset command does to the machines that the agent leaves, and that the agent lives on after it, wherever it was cut off.

// leaving is a machine that is reset.
type leaving struct {
	*recording
	// start is the disk before.
	start *powercut.Disk
	// keep: the kubelet goes on without the agent.
	keep bool
	// whole: the kubelet could load a pair under its own names before.
	whole bool
	// secrets are ours; original is the pair that is to be there afterwards.
	secrets  [][]byte
	original map[string]string
	// identity is the client pair that must stay.
	identity []byte
}

// machinesToReset are the ways in which a machine comes to be reset.
func machinesToReset(t *testing.T) []writing {
	t.Helper()
	original := kubeletsOwn(t)
	return []writing{
		{name: "a node that has joined", before: (*recording).joined},
		{name: "a node with requests under way, files left over and another credential", before: (*recording).busy},
		{name: "a pair of the kubelet's own kept", original: original, before: func(r *recording) { r.kubeletsOwn(original); r.joined() }},
		{name: "a pair of the kubelet's own that serves", original: original, before: func(r *recording) { r.kubeletsOwn(original) }},
		{name: "half a pair linked", before: (*recording).halfLinked, harmed: true},
		{name: "dangling links", before: (*recording).danglingLinks, harmed: true},
		{name: "a release that was cut off", before: (*recording).halfReleased},
		{name: "a token in a file, the kubeconfig moved aside", before: func(r *recording) { r.tokenInFile(); r.moveAside() }},
		{name: "a discovery token", before: (*recording).discoveryToken},
		{name: "a discovery token moved aside", before: func(r *recording) { r.discoveryToken(); r.aside() }},
		{name: "a link to the bootstrap kubeconfig", before: (*recording).linkedCredential},
		{name: "an issued certificate and no credential", before: (*recording).onlyIssued},
	}
}

// busy is a node with one of everything that holds a secret.
func (r *recording) busy() {
	r.joined()
	must(r.t, r.dir.Commit(certdir.Client, r.pairInUse(), time.Now().Add(time.Minute)))
	r.pending(r.clientWish(), func(*csr.Pending) {})
	r.pending(csr.Wish{Kind: csr.Serving, NodeName: r.node, KeyAlgorithm: "ecdsa-p256"}, func(*csr.Pending) {})
	content, err := r.dir.ReadPending(certdir.Serving)
	must(r.t, err)
	r.write(r.t, filepath.Join(r.cfg.CertDir, ".kubelet-server.pending.pem.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp"), content)
	r.write(r.t, filepath.Join(r.top, ".kubelet.kubeconfig.ABCDEFGHIJKLMNOPQRSTUVWXYZ.tmp"), nil)
	must(r.t, r.dir.AskToRotate(certdir.Client))
	r.write(r.t, r.cfg.BootstrapKubeconfig, bootstrapKubeconfig(r.api.url, theCA().pem))
	r.write(r.t, r.marker(), nil)
	r.mayKeep = []string{"foreign.pem"}
	r.write(r.t, filepath.Join(r.cfg.CertDir, "foreign.pem"), []byte("somebody else's"))
}

// pairInUse is the pair in use, under another name.
func (r *recording) pairInUse() []byte {
	pair, err := r.dir.Read(certdir.Client)
	must(r.t, err)
	return pair.PEM
}

// halfReleased is a node that gave the kubelet's names back and was killed before what they are copies of was gone.
func (r *recording) halfReleased() {
	r.joined()
	must(r.t, r.dir.CopyServing())
}

func (r *recording) moveAside() {
	must(r.t, os.Rename(r.cfg.BootstrapKubeconfig, kubeconfig.AsideName(r.cfg.BootstrapKubeconfig)))
}

func (r *recording) marker() string { return filepath.Join(r.top, StartedFile) }

// newLeaving is a machine as it is before a reset.
func newLeaving(t *testing.T, api *apiStandIn, w writing) *leaving {
	t.Helper()
	l := &leaving{recording: &recording{joiner: newJoiner(t, api, nextNode(), false), api: api, writing: w}, original: w.original}
	w.before(l.recording)
	l.remember()
	var err error
	l.start, err = powercut.ReadDisk(l.top)
	must(t, err)
	return l
}

// leave resets the machine, as it was before the first time, once for each of the given breaks, and records it.
func (l *leaving) leave(t *testing.T, keep bool, lives ...func(n int, op durable.Op) error) {
	t.Helper()
	var err error
	l.t, l.keep = t, keep
	must(t, l.start.LayOut())
	l.ops, err = powercut.NewLog(l.top)
	must(t, err)
	for _, breaks := range lives {
		l.first = l.ops.Len()
		if err := l.reset(breaks); err != nil && !errors.Is(err, errCrash) {
			t.Errorf("ends with %v", err)
		}
	}
	l.asked = make([][]string, l.ops.Len()+1) // nobody is asked for anything
	l.expectExplained()
}

// remember collects what must go, and what must stay.
func (l *leaving) remember() {
	l.t.Helper()
	_, err := tls.LoadX509KeyPair(l.cfg.CertDir+"/kubelet.crt", l.cfg.CertDir+"/kubelet.key")
	l.whole = err == nil
	if pair, err := l.dir.Read(certdir.Client); err == nil {
		l.identity = pair.PEM
	}
	foreign := l.original["kubelet.key"]
	must(l.t, filepath.WalkDir(l.top, func(path string, _ fs.DirEntry, err error) error {
		content, readErr := os.ReadFile(path)
		if readErr != nil {
			return err
		}
		for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
			text := pem.EncodeToMemory(block)
			if strings.Contains(block.Type, "PRIVATE KEY") && !strings.Contains(foreign, string(text)) {
				l.secrets = append(l.secrets, text)
			}
		}
		return err
	}))
	l.secrets = append(l.secrets, []byte(token))
}

// reset is one life of the command.
func (l *leaving) reset(breaks func(n int, op durable.Op) error) error {
	n, crashed := 0, false
	m := reset.Machine{Config: l.cfg, Marker: l.marker(), Now: time.Now(), Disk: durable.Disk{Before: func(op durable.Op) error {
		if breaks != nil && !crashed {
			crashed = breaks(n, op) != nil
			n++
		}
		if crashed {
			return errCrash
		}
		l.ops.Record(op)
		return nil
	}}}
	return resetOnce(m, l.keep)
}

func resetOnce(m reset.Machine, keep bool) error {
	done, err := m.Alone("the test")
	if err != nil {
		return err
	}
	p := m.Everything()
	if keep {
		p = m.KeepIdentity()
	}
	return errors.Join(m.Do(p, func(string) {}), done())
}

// expectUnharmed looks at what a kubelet finds that starts at this very moment.
func (l *leaving) expectUnharmed() {
	l.t.Helper()
	if !l.writing.harmed {
		expectKubeletUnharmed(l.t, l.machine)
		crt, crtErr := os.ReadFile(l.cfg.CertDir + "/kubelet.crt")
		key, keyErr := os.ReadFile(l.cfg.CertDir + "/kubelet.key")
		_, err := tls.X509KeyPair(crt, key)
		if crtErr == nil && keyErr == nil && err != nil {
			l.t.Errorf("kubelet.crt and kubelet.key are of two pairs: %v", err)
		}
		if (l.keep || l.original != nil) && l.whole && err != nil {
			l.t.Errorf("the kubelet has no pair: %v", err)
		}
	}
	if !l.keep && l.original == nil && l.identity != nil {
		l.expectKubeconfigNotLast()
	}
	if l.keep && l.identity != nil {
		l.expectIdentity()
	}
	l.expectOriginalSomewhere()
}

// expectKubeconfigNotLast shows that a kubeconfig which is there leads to a pair.
func (l *leaving) expectKubeconfigNotLast() {
	l.t.Helper()
	if _, err := l.dir.Read(certdir.Client); err != nil && l.exists(l.cfg.Kubeconfig) {
		l.t.Errorf("the kubelet's kubeconfig is there, and the pair that it names is not: %v", err)
	}
}

// expectIdentity shows that the kubelet is still this node, and can rotate: its current pair is a link, as its FileStore makes it.
func (l *leaving) expectIdentity() {
	l.t.Helper()
	pair, err := l.dir.Read(certdir.Client)
	_, linkErr := os.Readlink(l.dir.Current(certdir.Client))
	if err != nil || linkErr != nil || !bytes.Equal(pair.PEM, l.identity) {
		l.t.Errorf("the identity is lost: %v, %v", err, linkErr)
	}
}

func (l *leaving) expectOriginalSomewhere() {
	l.t.Helper()
	if l.original != nil && !l.has("", l.original) && !l.has(".orig", l.original) {
		l.t.Error("the pair that was there before is lost")
	}
}

// expectReset looks at the machine when the command has come to its end.
func (l *leaving) expectReset() {
	l.t.Helper()
	l.expectUnharmed()
	for _, path := range append(l.dir.Requests(), l.lockFile()) {
		if l.exists(path) {
			l.t.Errorf("%s is left", path)
		}
	}
	for _, name := range []string{"kubelet.crt", "kubelet.key"} {
		if info, err := os.Lstat(filepath.Join(l.cfg.CertDir, name)); err == nil && (!info.Mode().IsRegular() || info.Mode().Perm() != 0o600) {
			l.t.Errorf("%s is %s", name, info.Mode())
		}
	}
	if l.keep {
		return
	}
	if l.original != nil && !l.has("", l.original) {
		l.t.Error("the pair that was there before is not put back")
	}
	must(l.t, filepath.WalkDir(l.top, func(path string, _ fs.DirEntry, err error) error {
		content, _ := os.ReadFile(path)
		for _, secret := range l.secrets {
			if bytes.Contains(content, secret) {
				l.t.Errorf("a secret is left in %s", path)
			}
		}
		if err == nil && path != l.top && path != l.cfg.CertDir && !l.mayStay(path) {
			l.t.Errorf("%s is left", path)
		}
		return err
	}))
}

// mayStay says whether a file is somebody else's.
func (l *leaving) mayStay(path string) bool {
	name := filepath.Base(path)
	foreign := strings.HasPrefix(name, "foreign") || name == "kubelet.key" && l.writing.name == "half a pair linked"
	return foreign || path == l.cfg.DiscoveryFile || l.original != nil && (name == "kubelet.crt" || name == "kubelet.key")
}

// expectJoins starts an agent with a new credential.
func (l *leaving) expectJoins() {
	l.t.Helper()
	l.log.Reset()
	l.cfg.Serving = "before-kubelet"
	l.write(l.t, l.cfg.BootstrapKubeconfig, bootstrapKubeconfig(l.api.url, theCA().pem))
	if err := l.run(func(durable.Op) error { return nil }, clock.RealClock{}); err != nil || !l.complete() || !l.dir.Linked() {
		l.t.Errorf("with a new credential it does not join: %v", err)
	}
	expectKubeletUnharmed(l.t, l.machine)
}

// without is the machine without a record.
func (l *leaving) without(before func(durable.Op) error) reset.Machine {
	return reset.Machine{Config: l.cfg, Marker: l.marker(), Now: time.Now(), Disk: durable.Disk{Before: before}}
}
