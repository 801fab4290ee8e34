// Package reset takes away from a machine what the agent has put there: all of it, or, for a kubelet that is to go on without the agent, all
// that the kubelet does not use.
//
// What is to be done is read from the disk, as a list that can be shown first. Every step can be made again: one who is killed in the middle
// leaves a machine on which another reset finishes and an agent lives on. Names are unlinked, and durably so; what flash, journals and copies
// keep of the bytes is not in our hands.
package reset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// Machine is where the agent's files are.
type Machine struct {
	Config config.Config
	Disk   durable.Disk
	// Marker is the file that says that READY was given in this boot; empty: there is none.
	Marker string
	// Now dates the file that holds a pair for the moment in which it is put back.
	Now time.Time
}

// Plan is what is to be done, in parts of which none needs another one: where one cannot go on, the others do.
type Plan struct {
	Parts []Part
	// Stays are files that may hold a secret of the node's and are not ours to remove, each with the reason: a person must.
	Stays []string
	// Notes are what a person may want to know: what is not ours and is left alone.
	Notes []string
}

// Part is steps of which each needs the ones before it.
type Part []Step

// Step is one change, or several of one kind.
type Step struct {
	// Says are what it does, a line for each file.
	Says []string
	do   func() error
}

// Steps is how many there are.
func (p Plan) Steps() (count int) {
	for _, part := range p.Parts {
		count += len(part)
	}
	return count
}

// dir is the cert-dir.
func (m Machine) dir() certdir.Dir { return certdir.Dir{Path: m.Config.CertDir, Disk: m.Disk} }

// Do carries out a plan, and tells said of each step when it is done. It first makes durable what is there to see: what an earlier reset had
// removed and not synced when it was killed would come back in a power cut, and links with it whose targets go now.
func (m Machine) Do(p Plan, said func(string)) error {
	if err := m.sync(); err != nil {
		return err
	}
	var errs []error
	for _, part := range p.Parts {
		errs = append(errs, part.do(said))
	}
	return errors.Join(errs...)
}

func (p Part) do(said func(string)) error {
	for i, step := range p {
		if err := step.do(); err != nil {
			return p[i+1:].undone(durable.WithRemedy(err))
		}
		for _, line := range step.Says {
			said(line)
		}
	}
	return nil
}

// undone adds to an error what could not be done because of it: there may be secrets in it.
func (p Part) undone(err error) error {
	var says []string
	for _, step := range p {
		says = append(says, step.Says...)
	}
	if len(says) == 0 {
		return err
	}
	return fmt.Errorf("%w; left undone: %s", err, strings.Join(says, ", "))
}

// sync makes the names durable in every folder that is touched.
func (m Machine) sync() error {
	var errs []error
	folders := []string{m.Config.CertDir, filepath.Dir(m.Config.Kubeconfig), filepath.Dir(m.Config.BootstrapKubeconfig)}
	if token := m.Config.DiscoveryTokenFile; token != "" {
		folders = append(folders, filepath.Dir(token))
	}
	for _, folder := range folders {
		if err := m.Disk.SyncFolder(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, durable.WithRemedy(err))
		}
	}
	return errors.Join(errs...)
}

// remove is a step for each file.
func (m Machine) remove(paths ...string) Part {
	var part Part
	for _, path := range paths {
		part = append(part, Step{[]string{"remove " + path}, func() error { return m.Disk.Remove(path) }})
	}
	return part
}

// requests is the part that takes away what asks for certificates, with the keys.
func (m Machine) requests() Part { return m.remove(m.dir().Requests()...) }

func (p *Plan) add(part Part) {
	if len(part) > 0 {
		p.Parts = append(p.Parts, part)
	}
}

func (p *Plan) stays(path, why string) { p.Stays = append(p.Stays, path+": "+why) }

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// obstacles names what stands where files of ours belong.
func (m Machine) obstacles(p *Plan) {
	for _, path := range m.dir().Obstacles() {
		p.note("%s is neither a file nor a link, and none of ours", path)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func list(paths []string) string { return strings.Join(paths, " and ") }

// Alone makes this process the only one that changes the cert-dir, as an agent does for itself, until done is called, which removes the lock
// file. An agent that runs is a [*durable.LockedError]. Without a cert-dir there is nothing to lock.
func (m Machine) Alone(holder string) (done func() error, err error) {
	if !exists(m.Config.CertDir) {
		return func() error { return nil }, nil
	}
	lock, err := m.dir().Lock(holder)
	if err != nil {
		return nil, durable.WithRemedy(err)
	}
	return func() error {
		defer lock.Close()
		return durable.WithRemedy(m.dir().RemoveLock())
	}, nil
}
