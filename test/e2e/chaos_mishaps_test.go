package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// mishapsInTurn has one thing after the other go wrong on the node. What is damaged is healed by the running agent, from memory: so the
// next turn, which may be the agent's end, comes after that.
func (c *chaos) mishapsInTurn(chance *rand.Rand) {
	for {
		m := drawMishap(chance)
		if !c.pause(m.rest) {
			return
		}
		if m.what != damaged {
			c.log("mishap", "%s, %s", m, m.lasts.Round(time.Millisecond))
		}
		mishaps[m.what](c, m, chance)
		c.count(m.String())
	}
}

// mishaps are what can become of the node. Those of the agent mostly come while it rotates.
var mishaps = map[string]func(*chaos, turn, *rand.Rand){
	"agent killed": func(c *chaos, m turn, _ *rand.Rand) { c.killAgent(m.lasts / 4) },
	"agent killed while it rotates": func(c *chaos, m turn, chance *rand.Rand) {
		c.beginRotation(chance)
		c.pause(m.lasts / 40) // 100 ms or so are what a rotation takes
		c.killAgent(0)
	},
	"agent stopped": func(c *chaos, m turn, _ *rand.Rand) {
		c.setAgent(nil)
		if code, took := c.agent.stop(); code != 0 || took > 5*time.Second {
			c.violated("on SIGTERM it ended with %d after %s", code, took)
		}
		c.pause(m.lasts / 4)
		c.startAgent()
	},
	"agent suspended": func(c *chaos, m turn, _ *rand.Rand) {
		must(c.t, c.agent.cmd.Process.Signal(syscall.SIGSTOP))
		c.pause(2 * m.lasts)
		must(c.t, c.agent.cmd.Process.Signal(syscall.SIGCONT))
	},
	"rotate now": func(c *chaos, m turn, _ *rand.Rand) { c.rotateNow(m.file) },
	"disk full while it rotates": func(c *chaos, m turn, chance *rand.Rand) {
		c.beginRotation(chance)
		c.pause(m.lasts / 80)
		empty := c.fill()
		c.pause(2 * m.lasts)
		empty()
	},
	damaged: (*chaos).damage,
}

// prefixes are those of a certificate's files.
var prefixes = map[string]certdir.Kind{"client": certdir.Client, "serving": certdir.Serving}

// beginRotation returns when a request is under way, if one may be made so soon after the last one.
func (c *chaos) beginRotation(chance *rand.Rand) {
	kind := pickOne(chance, sortedKeys(prefixes))
	c.rotateNow(kind)
	c.awaitFile(c.certDir().PendingFile(prefixes[kind]))
}

func (c *chaos) rotateNow(kind string) { must(c.t, c.certDir().AskToRotate(prefixes[kind])) }

// killAgent is kill -9, and a start again after a while, as by systemd.
func (c *chaos) killAgent(after time.Duration) {
	c.setAgent(nil)
	c.agent.kill()
	c.readPeak(c.agent)
	c.pause(after)
	c.startAgent()
}

// startAgent starts it and waits until the kubelet could start.
func (c *chaos) startAgent() {
	d := c.start()
	c.setAgent(d)
	c.healed = map[string]int{}
	took := d.awaitReady()
	c.slowestReady = max(c.slowestReady, took)
	if took > 5*time.Second {
		c.violated("READY came %s after a start with everything on the disk", took)
	}
}

// a file is fragile when it can be damaged, and what it belongs to is then of no use until it is healed.
type fragileFile struct {
	path    func(c *chaos) string
	concern string
	damages []string
}

// The concerns, each of which the onlooker of the chaos looks at.
const (
	ofIdentity = "identity"
	ofServing  = "serving pair"
	ofEndpoint = "kubeconfig"
	ofClientCA = "client CA"
	ofRequest  = "request"
)

var (
	ofAFile = []string{"emptied", "cut in half", "overwritten", "removed", "replaced by a folder", "replaced by a link to nowhere"}
	ofALink = []string{"removed", "replaced by a folder", "replaced by a link to nowhere"}
	ofAPair = append([]string{"one of its bytes changed"}, ofAFile...)
)

var fragile = map[string]fragileFile{
	"the client pair":            {currentPair(certdir.Client), ofIdentity, ofAPair},
	"kubelet-client-current.pem": {inCertDir("kubelet-client-current.pem"), ofIdentity, ofALink},
	"the serving pair":           {currentPair(certdir.Serving), ofServing, ofAPair},
	"kubelet-server-current.pem": {inCertDir("kubelet-server-current.pem"), ofServing, ofALink},
	"kubelet.crt":                {inCertDir("kubelet.crt"), ofServing, ofALink},
	"kubelet.key":                {inCertDir("kubelet.key"), ofServing, ofALink},
	"kubelet.kubeconfig":         {(*chaos).kubeconfigPath, ofEndpoint, ofAFile},
	"kubelet-apiserver-ca.crt":   {inCertDir("kubelet-apiserver-ca.crt"), ofEndpoint, ofAFile},
	"kubelet-client-ca.crt":      {inCertDir("kubelet-client-ca.crt"), ofClientCA, ofAFile},
	"the client request":         {inCertDir("kubelet-client.pending.pem"), ofRequest, ofAPair[:5]},
	"the serving request":        {inCertDir("kubelet-server.pending.pem"), ofRequest, ofAPair[:5]},
}

func inCertDir(name string) func(*chaos) string {
	return func(c *chaos) string { return filepath.Join(c.certDir().Path, name) }
}

func currentPair(kind certdir.Kind) func(*chaos) string {
	return func(c *chaos) string { return c.pairFile(kind) }
}

func (c *chaos) kubeconfigPath() string { return c.kubeconfig() }

// healsMost is how often a file is damaged in one life of the agent, which from then on takes its time for it.
const healsMost = 2

// damage does something to a file and waits until it is healed.
func (c *chaos) damage(m turn, chance *rand.Rand) {
	f := fragile[m.file]
	path := f.path(c)
	if c.healed[f.concern] >= healsMost {
		c.killAgent(0)
		c.count("agent killed")
		path = f.path(c)
	}
	if f.concern == ofRequest {
		kind := strings.Fields(m.file)[1]
		c.rotateNow(kind)
		if !c.awaitFile(path) {
			return
		}
		c.count(lostRequest(csr.Kind(kind)))
	}
	c.log("mishap", "%s", m)
	c.setHurt(f.concern)
	mend, err := inflict(m, path, chance)
	if err != nil && f.concern != ofRequest { // which may have come to its end just now
		c.violated("%s: %v", m, err)
	}
	if mend != nil {
		c.pause(m.lasts)
		must(c.t, mend())
	}
	mended := time.Now()
	for c.wrong()[f.concern] != nil {
		if time.Since(mended) > c.healsWithin(f.concern) {
			c.violated("%s: not healed within %s: %v", m, c.healsWithin(f.concern), c.wrong()[f.concern])
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.setHurt("")
	if f.concern == ofRequest {
		return
	}
	c.log("mishap", "healed after %s", time.Since(mended).Round(time.Millisecond))
	c.healed[f.concern]++
}

// awaitFile waits until a request is under way, for longer than two must be apart.
func (c *chaos) awaitFile(path string) bool {
	for begin := time.Now(); c.ctx.Err() == nil && time.Since(begin) < 25*time.Second; time.Sleep(2 * time.Millisecond) {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
	}
	return false
}

// healsWithin is 2 s for what is damaged and 10 s for what is gone, doubled with each time, and some for a busy machine and a disk that
// was tried in vain meanwhile.
func (c *chaos) healsWithin(concern string) time.Duration {
	return 10*time.Second<<c.healed[concern] + 10*time.Second
}

// inflict does a damage. What stands in the way of its healing is taken away by mend; nil: nothing does.
func inflict(m turn, path string, chance *rand.Rand) (mend func() error, err error) {
	switch m.damage {
	case "removed":
		return nil, os.Remove(path)
	case "replaced by a folder":
		return func() error { return os.Remove(path) }, replace(path, func(by string) error { return os.Mkdir(by, 0o700) })
	case "replaced by a link to nowhere":
		return nil, replace(path, func(by string) error { return os.Symlink("nowhere", by) })
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	switch m.damage {
	case "emptied":
		content = nil
	case "cut in half":
		content = content[:len(content)/2]
	case "overwritten":
		content = bytes.Repeat([]byte("no certificate\n"), 1+len(content)/15)
	case "one of its bytes changed":
		from := bytes.Index(content, []byte("PRIVATE KEY"))
		if body := bytes.IndexByte(content, '\n'); bytes.HasPrefix(content, []byte("-----BEGIN CERTIFICATE-----")) && chance.IntN(2) == 0 {
			from = body // of a pair the certificate, too: many such changes can still be read
		}
		content[from+chance.IntN(len(content)-from)] ^= 1
	default:
		return nil, fmt.Errorf("no such damage: %s", m.damage)
	}
	return nil, os.WriteFile(path, content, 0o600) // in place, as no careful writer would
}

// replace puts something else in the place of a file in one step: the agent is quick to put a link there that is missing.
func replace(path string, create func(by string) error) error {
	by := path + ".other"
	if err := create(by); err != nil {
		return err
	}
	err := unix.Renameat2(unix.AT_FDCWD, by, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
	return errors.Join(err, os.Remove(by))
}
