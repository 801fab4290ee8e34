package doctor

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"os"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
)

// caSoon is how long before the end of a CA it is spoken of: people need weeks to replace the CA of a cluster. Of one that lives for months
// only, it is the last tenth.
func caSoon(ca *x509.Certificate) time.Duration {
	return min(30*24*time.Hour, ca.NotAfter.Sub(ca.NotBefore)/10)
}

func caFiles(_ context.Context, p *Patient) []Result {
	dir, o := certdir.Dir{Path: p.Config.CertDir}, p.Observed
	return []Result{
		p.caFile(dir.ServerCA(), o.ServerCA, "verifies the API server", p.serverCAAgain),
		p.caFile(dir.ClientCA(), o.ClientCA, "says who may call the kubelet", p.clientCAAgain),
	}
}

func (p *Patient) serverCAAgain() (remedy, command string) {
	remedy, command = p.bootstrapAnew()
	return "a bootstrap kubeconfig for the cluster brings it back, without another certificate: " + remedy, command
}

func (p *Patient) clientCAAgain() (remedy, command string) {
	return "set kubeletClientCAFile (--kubelet-client-ca-file) to the CA that signs the API server's client certificate, and, " + asRoot, restartAgent
}

func (p *Patient) caFile(path string, bundle []byte, does string, again func() (string, string)) Result {
	info, err := os.Stat(path)
	switch {
	case err != nil && certdir.Unread(err):
		return p.unread(err.Error(), "find out what keeps root from reading it (owner, mode, SELinux, AppArmor, the disk)")
	case bundle == nil && !p.Observed.Client.Usable(p.Observed.Now) && err != nil:
		return ok("%s is not there yet: it is written when the node has its identity", path)
	case bundle == nil && err != nil:
		return broken("%s, which %s, is not there", path, does).with(again())
	case bundle == nil && os.Geteuid() != 0 && info.Mode().Perm()&0o004 == 0:
		return p.unread(path+" cannot be read", "")
	case bundle == nil:
		return broken("%s, which %s, holds no certificate: a kubelet does not start with it", path, does).with(again())
	}
	return p.bundle(path, parse(bundle), again)
}

// bundle judges the CAs in a file by their time. One that has ended is as good as not there.
func (p *Patient) bundle(path string, cas []*x509.Certificate, again func() (string, string)) Result {
	now, live := p.Observed.Now, 0
	var last time.Time
	var soon time.Duration
	for _, ca := range cas {
		if now.Before(ca.NotAfter) {
			live++
		}
		if ca.NotAfter.After(last) {
			last, soon = ca.NotAfter, caSoon(ca)
		}
	}
	switch {
	case live == 0:
		return broken("every certificate in %s has expired, the last one at %s", path, date(last)).with(again())
	case last.Sub(now) < soon:
		return attention("the last CA in %s ends at %s (in %s)", path, date(last), lasts(last.Sub(now))).
			with("the cluster gets another CA before that, and the node needs it too: by a bootstrap kubeconfig with both, or kubeletClientCAFile", "")
	case live < len(cas):
		return ok("%s: %d CAs until %s, and %d that has or have expired", path, live, date(last), len(cas)-live)
	}
	return ok("%s: %d until %s", path, live, date(last))
}

// parse returns the certificates in PEM, as far as they are some.
func parse(bundle []byte) []*x509.Certificate {
	var found []*x509.Certificate
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			found = append(found, cert)
		}
	}
	return found
}
