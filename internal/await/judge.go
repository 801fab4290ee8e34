// Package await waits until the node's certificates are on the disk: it reads files, asks nobody and changes nothing. What brings them is
// the agent's work.
package await

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Missing is one certificate that is not there yet.
type Missing struct {
	Kind csr.Kind
	// Why says what is waited for, and what a person can do about it.
	Why string
	// MustAct: the agent cannot bring it by itself, as far as can be told now. It may still come, for a person may act at any time.
	MustAct bool
}

// Lacking returns which of the wanted certificates are not there. The client's is when it can be used and the kubelet's kubeconfig leads to
// the cluster; the serving one when it was issued and the kubelet finds it under its own names.
func Lacking(wanted []csr.Kind, o status.Observed, cfg config.Config) []Missing {
	var lacking []Missing
	for _, kind := range wanted {
		var m Missing
		switch {
		case kind == csr.Client && o.HasIdentity() && !o.ForOtherNode():
			continue
		case kind == csr.Serving && o.Serving.Usable(o.Now) && o.Serving.Issued() && o.Serving.Linked:
			continue
		case kind == csr.Client:
			m = client(o, cfg)
		default:
			m = servingOf(o)
		}
		m.Kind = kind
		lacking = append(lacking, m)
	}
	return lacking
}

// client says why there is no identity, what is nearest to it first.
func client(o status.Observed, cfg config.Config) Missing {
	c := o.Client
	switch {
	case c.Unread != nil:
		return unread(c.Unread)
	case o.ForOtherNode():
		return Missing{Why: fmt.Sprintf("the identity is %s, and this machine is called %s now; name it back, or put %s to join under the new name",
			c.Pair.Leaf.Subject.CommonName, o.Node, status.Credentials(cfg, "")), MustAct: !hasCredential(o)}
	case c.Usable(o.Now):
		return Missing{Why: fmt.Sprintf("%v; put %s, which brings server and CA back", o.KubeletErr, status.Credentials(cfg, " for the cluster")), MustAct: !hasCredential(o)}
	case c.Pending != nil:
		m := request(c.Pending)
		if len(c.Pending.CertificatePEM) == 0 && !hasCredential(o) && !o.ForOtherNode() && c.Pair == nil {
			m.Why, m.MustAct = m.Why+"; "+credential(o, cfg), true
		}
		return m
	case !hasCredential(o) && c.Older == nil:
		return Missing{Why: credential(o, cfg), MustAct: true}
	case o.NodeErr != nil:
		return Missing{Why: o.NodeErr.Error()}
	case o.Undiscovered != nil && o.DiscoveryFile == nil && c.Older == nil:
		return Missing{Why: fmt.Sprintf("the agent is to find out where the cluster of the token in %s is, at %s", o.BootstrapFile, strings.Join(cfg.APIServers, ", "))}
	}
	return Missing{Why: "the agent is to ask for it"}
}

// hasCredential says whether there is something to join with: a bootstrap kubeconfig, or a token whose cluster is yet to be found out.
func hasCredential(o status.Observed) bool { return o.Bootstrap != nil || o.Undiscovered != nil }

// credential says why there is none.
func credential(o status.Observed, cfg config.Config) string {
	if o.NoCredential() {
		return fmt.Sprintf("%v; put %s", o.BootstrapErr, status.Credentials(cfg, ""))
	}
	return o.BootstrapErr.Error()
}

// servingOf says why no certificate of the cluster's serves.
func servingOf(o status.Observed) Missing {
	c := o.Serving
	switch {
	case c.Unread != nil:
		return unread(c.Unread)
	case c.Pending != nil:
		return request(c.Pending)
	case !o.HasIdentity():
		return Missing{Why: "it is asked for when the client certificate is there"}
	case c.Usable(o.Now) && c.Issued():
		return Missing{Why: "it is there, and the kubelet's own names do not lead to it yet"}
	}
	return Missing{Why: "the agent is to ask for it"}
}

func unread(err error) Missing {
	return Missing{Why: fmt.Sprintf("its files cannot be read: %v", err), MustAct: true}
}

// request says how a request stands.
func request(p *csr.Pending) Missing {
	switch {
	case p.Ended != nil && p.Ended.Outcome != csr.Replaced:
		return Missing{MustAct: true, Why: fmt.Sprintf("certificate signing request %s: %s (%s: %s); the agent asks again later, and at once for a new bootstrap kubeconfig",
			p.Name, p.Ended.Outcome, p.Ended.Reason, p.Ended.Message)}
	case len(p.CertificatePEM) > 0:
		return Missing{Why: fmt.Sprintf("certificate signing request %s is issued, and is tried", p.Name)}
	case p.UID != "":
		return Missing{Why: fmt.Sprintf("certificate signing request %s waits for approval since %s: kubectl certificate approve %s",
			p.Name, p.Accepted.UTC().Format(time.RFC3339), p.Name)}
	}
	return Missing{Why: fmt.Sprintf("certificate signing request %s is to be sent to %s", p.Name, p.Endpoint.Server)}
}

// Text is what is missing, in one line.
func Text(lacking []Missing, holder string) string {
	var parts []string
	for _, m := range lacking {
		parts = append(parts, fmt.Sprintf("%s certificate: %s", m.Kind, m.Why))
	}
	return strings.Join(append(parts, holder), "; ")
}

// nobody says that nothing will happen, where no agent runs; empty: one does, or nobody can tell.
func nobody(dir certdir.Dir) string {
	if pid, err := dir.Holder(); err != nil || pid != 0 {
		return ""
	}
	return fmt.Sprintf("no agent runs on %s: systemctl start bootstrap-agent", dir.Path)
}

// denied says whether the files cannot be read for want of permission, which no waiting gives to who is not root.
func denied(o status.Observed) bool {
	return os.Geteuid() != 0 && (errors.Is(o.Client.Unread, os.ErrPermission) || errors.Is(o.Serving.Unread, os.ErrPermission))
}
