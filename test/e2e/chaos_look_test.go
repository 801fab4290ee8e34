package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

// wrong says what the kubelet, started at this moment, would find wrong, by what it belongs to.
func (c *chaos) wrong() map[string]error {
	wrong := map[string]error{
		ofIdentity: c.checkIdentity(), ofServing: c.checkServing(), ofEndpoint: c.checkEndpoint(), ofClientCA: c.checkClientCA(),
	}
	return wrong
}

// checkIdentity wants a client pair that the API server accepts now.
func (c *chaos) checkIdentity() error {
	pair, err := c.certDir().Read(certdir.Client)
	if err != nil {
		return err
	}
	if pair.Leaf.Subject.CommonName != "system:node:"+c.name {
		return fmt.Errorf("it is for %s", pair.Leaf.Subject)
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: c.signers, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

// checkServing wants an issued pair for the node's name under the kubelet's own names.
func (c *chaos) checkServing() error {
	pair, err := tls.LoadX509KeyPair(filepath.Join(c.certDir().Path, "kubelet.crt"), filepath.Join(c.certDir().Path, "kubelet.key"))
	if err != nil {
		return err
	}
	if serving.SelfSigned(pair.Leaf) {
		return errors.New("it is a placeholder")
	}
	_, err = pair.Leaf.Verify(x509.VerifyOptions{Roots: c.signers, DNSName: c.name})
	return err
}

func (c *chaos) checkEndpoint() error {
	k, err := kubeconfig.LoadKubelet(c.kubeconfig())
	if err != nil {
		return err
	}
	if k.Endpoint.Server != c.proxy.URL() || !bytes.Equal(k.Endpoint.CA, c.cp.CA()) {
		return fmt.Errorf("it leads to %s, with a CA of %d bytes", k.Endpoint.Server, len(k.Endpoint.CA))
	}
	return nil
}

func (c *chaos) checkClientCA() error {
	content, err := os.ReadFile(c.certDir().ClientCA())
	if err == nil && !bytes.Equal(content, c.cp.CA()) {
		err = fmt.Errorf("%s holds something else", c.certDir().ClientCA())
	}
	return err
}

// gaps are since when something has been of no use.
type gaps map[string]time.Time

// lasts returns for how long something has been of no use, and keeps the longest such time.
func (c *chaos) lasts(since gaps, what string, useless bool) time.Duration {
	begin, is := since[what]
	if !is && useless {
		begin = time.Now()
		since[what] = begin
	}
	lasted := time.Duration(0)
	if is || useless {
		lasted = time.Since(begin)
		c.noteGap(what, lasted)
	}
	if !useless {
		delete(since, what)
	}
	return lasted
}

// lookOn looks at the files ten times a second, at all keys and the agent's memory every second, and every five at the requests.
func (c *chaos) lookOn() {
	begin, since := time.Now(), gaps{}
	for i := 0; c.ctx.Err() == nil; i++ {
		c.lookAtFiles(since)
		if i%10 == 0 {
			c.lookForKeys()
			c.lookAtAgent()
		}
		if i%50 == 0 {
			c.lookAtRequests()
		}
		c.looks++
		time.Sleep(time.Until(begin.Add(time.Duration(i+1) * 100 * time.Millisecond)))
	}
}

// lookAtFiles notes the certificates in use, and for how long anything was of no use. Without a damage nothing may ever be.
func (c *chaos) lookAtFiles(since gaps) {
	hurt := c.getHurt()
	for concern, err := range c.wrong() {
		if err != nil && hurt != concern { // the files were swapped between two reads of them, perhaps; or were just damaged
			time.Sleep(20 * time.Millisecond)
			if err, hurt = c.wrong()[concern], c.getHurt(); err != nil && hurt != concern {
				c.violated("%s: of no use, and nobody has damaged it: %v", concern, err)
			}
		}
		c.lasts(since, "usable "+concern, err != nil)
	}
	c.noteUsed()
	c.lookAtLinks(since)
}

// dangleMost is how long a link of the kubelet's may dangle: as long as the agent needs to notice, on a busy machine.
const dangleMost = 2 * time.Second

// lookAtLinks wants none to lead nowhere, not even while what it led to waits to be healed: through such a link the kubelet would
// write a key of its own.
func (c *chaos) lookAtLinks(since gaps) {
	links := danglingLinks(c.certDir().Path)
	if lasted := c.lasts(since, "target of kubelet.crt and kubelet.key", len(links) > 0); lasted > dangleMost {
		c.violated("links of the kubelet dangle for %s: %v", lasted.Round(time.Millisecond), links)
	}
}

// noteUsed notes the certificates in use that the cluster has issued.
func (c *chaos) noteUsed() {
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		if pair, err := c.certDir().Read(kind); err == nil && pair.Leaf.CheckSignatureFrom(c.signer) == nil {
			c.noteLeaf(kind, pair.Leaf)
		}
	}
}

// danglingLinks are those of the kubelet's own names through which it would write a key.
func danglingLinks(dir string) (dangling []string) {
	for _, name := range []string{"kubelet.crt", "kubelet.key"} {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			dangling = append(dangling, name)
		}
	}
	return dangling
}

// strayKey is how long a private key that nothing needs may lie in a file. What a killed agent left, or a second rotation within a
// minute, is swept when it is a minute old, by a sweep that comes once a minute.
const strayKey = 150 * time.Second

// lookForKeys wants private keys in the current pairs, one client pair before, the requests under way and originals only.
func (c *chaos) lookForKeys() {
	needed := []string{
		c.certDir().PendingFile(certdir.Client), c.certDir().PendingFile(certdir.Serving),
		filepath.Join(c.certDir().Path, "kubelet.key.orig"), filepath.Join(c.certDir().Path, "kubelet.crt.orig"),
	}
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		if file, err := filepath.EvalSymlinks(c.certDir().Current(kind)); err == nil {
			needed = append(needed, file)
		}
	}
	if older := c.certDir().Older(certdir.Client); len(older) > 0 {
		needed = append(needed, older[0].File)
	}
	there := map[string]bool{}
	_ = filepath.WalkDir(c.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || slices.Contains(needed, path) {
			return nil //nolint:nilerr // it went meanwhile
		}
		if content, _ := os.ReadFile(path); bytes.Contains(content, []byte("PRIVATE KEY")) {
			there[path] = true
		}
		return nil
	})
	for path, since := range c.strays {
		c.longestStray = max(c.longestStray, time.Since(since))
		if !there[path] {
			delete(c.strays, path)
		} else if time.Since(since) > strayKey && c.getHurt() == "" {
			c.violated("a private key that nothing needs lies in %s since %s", path, time.Since(since).Round(time.Second))
		}
	}
	for path := range there {
		if _, known := c.strays[path]; !known {
			c.strays[path] = time.Now()
		}
	}
}

// lookAtAgent wants it to run, unless we have killed it, and not to grow.
func (c *chaos) lookAtAgent() {
	d := c.getAgent()
	if d == nil {
		return
	}
	if !d.running() && c.getAgent() == d {
		c.violated("the agent has ended by itself")
		return
	}
	c.readPeak(d)
}

// lookAtRequests wants no request without a certificate but the one under way, and those whose key was damaged.
func (c *chaos) lookAtRequests() {
	ctx, cancel := context.WithTimeout(c.ctx, 2*time.Second)
	defer cancel()
	all, err := c.cp.CSRs(ctx, c.name)
	if err != nil { // the API server is down
		return
	}
	for _, kind := range []csr.Kind{csr.Client, csr.Serving} {
		made, issued := 0, 0
		for _, r := range all {
			if r.Spec.SignerName == kind.Signer() {
				made++
				if len(r.Status.Certificate) > 0 {
					issued++
				}
			}
		}
		if most := issued + 1 + c.getCount(lostRequest(kind)); made > most {
			c.violated("%d %s requests were made, %d issued", made, kind, issued)
		}
	}
	c.count("looks at the requests")
}

// lostRequest is what is counted of requests whose file was damaged while they were under way.
func lostRequest(kind csr.Kind) string { return string(kind) + " requests lost with their file" }

// useOn is kubectl as the node, straight at the API server, whenever nothing is wrong.
func (c *chaos) useOn() {
	for c.pause(3 * time.Second) {
		calm, hurt := c.calmSince(), c.getHurt()
		if calm.IsZero() || time.Since(calm) < 5*time.Second || hurt != "" {
			continue
		}
		who, err := c.cp.KubectlWith(c.kubeconfig(), "--server="+c.cp.Server(), "--request-timeout=10s", "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
		if c.calmSince() != calm || c.getHurt() != "" {
			continue
		}
		c.count("kubectl as the node")
		if err != nil || who != "system:node:"+c.name {
			c.violated("kubectl as the node is %q: %v", who, err)
		}
	}
}

// clean says whether the daemon has nothing to say but how long its certificates are valid.
func clean(statuses []string) bool {
	if len(statuses) == 0 {
		return false
	}
	concerns := strings.Split(statuses[len(statuses)-1], "; ")
	return len(concerns) == 2 && !slices.ContainsFunc(concerns, func(text string) bool { return !strings.Contains(text, ": valid until ") })
}
