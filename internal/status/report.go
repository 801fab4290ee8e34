package status

import (
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// Level is how things stand; its value is the exit code of the status command.
type Level int

// The levels.
const (
	Well      Level = 0 // both certificates are there and have time
	Waiting   Level = 1 // something is missing that may come by itself
	Broken    Level = 3 // a person must act
	Attention Level = 4 // it works, and something is due: a placeholder in use, a rotation overdue, a credential left behind
)

var levelNames = map[Level]string{Well: "well", Waiting: "waiting", Broken: "broken", Attention: "attention"}

// String returns the level's word.
func (l Level) String() string { return levelNames[l] }

// MarshalText makes the word of a level its JSON form.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// rank orders levels by how much they matter to a person.
var rank = map[Level]int{Well: 0, Attention: 1, Waiting: 2, Broken: 3}

// APIVersion and ReportKind say what a document of the JSON form is.
const (
	APIVersion = config.APIVersion
	ReportKind = "Status"
)

// Report is what status prints, and the stable JSON form. Times are RFC 3339, UTC, whole seconds. Every field is explained in
// docs/status.md, which a test compares with this type.
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Time is when the files were read.
	Time         time.Time           `json:"time"`
	Level        Level               `json:"level"`
	Agent        *AgentReport        `json:"agent,omitempty"`
	Node         string              `json:"node"`
	Kubeconfig   string              `json:"kubeconfig"`
	Server       string              `json:"server,omitempty"`
	Certificates []CertificateReport `json:"certificates"`
	// BootstrapSecrets are the files that still hold a bootstrap credential.
	BootstrapSecrets []string `json:"bootstrapSecrets"`
	// Discovery is how the cluster of a discovery token is found out; nil: there is no such token, or a bootstrap kubeconfig wins.
	Discovery *DiscoveryReport `json:"discovery,omitempty"`
	// Findings say what is not as it should be, the worst first, each with what to do.
	Findings []Finding `json:"findings"`
}

// State is what a certificate is, in one word.
type State string

// The states of a certificate.
const (
	Valid       State = "valid"
	Placeholder State = "placeholder" // self-signed, stands in for the serving certificate
	Expired     State = "expired"
	Missing     State = "missing"
	Unusable    State = "unusable" // there, but damaged
)

// CertificateReport is one certificate. Fields about a pair are empty when there is none.
type CertificateReport struct {
	Certificate csr.Kind   `json:"certificate"`
	State       State      `json:"state"`
	File        string     `json:"file,omitempty"`
	Subject     string     `json:"subject,omitempty"`
	Issuer      string     `json:"issuer,omitempty"`
	DNSNames    []string   `json:"dnsNames,omitempty"`
	IPAddresses []string   `json:"ipAddresses,omitempty"`
	NotBefore   *time.Time `json:"notBefore,omitempty"`
	NotAfter    *time.Time `json:"notAfter,omitempty"`
	// Received is when the certificate was stored, from which its rotation is counted; LifetimeSeconds are from then to NotAfter, and
	// RemainingSeconds those of them that are left, below 0 when it has expired.
	Received         *time.Time     `json:"received,omitempty"`
	LifetimeSeconds  *int64         `json:"lifetimeSeconds,omitempty"`
	RemainingSeconds *int64         `json:"remainingSeconds,omitempty"`
	RotateAt         *time.Time     `json:"rotateAt,omitempty"`
	Pending          *PendingReport `json:"pending,omitempty"`
}

// PendingReport is a certificate signing request under way.
type PendingReport struct {
	Name string `json:"name"`
	// Since is when the API server accepted it; nil: it has not been sent, or the answer was lost.
	Since *time.Time `json:"since,omitempty"`
	Ended *csr.Ended `json:"ended,omitempty"`
	// Approve is the command with which an administrator of the cluster lets it be issued.
	Approve string `json:"approve,omitempty"`
}

// Finding is one thing that is not as it should be.
type Finding struct {
	Level Level  `json:"level"`
	Text  string `json:"text"`
	// Remedy is what a person can do about it; empty where there is nothing to do but wait.
	Remedy string `json:"remedy,omitempty"`
	// Command is the exact command for it, where there is one; Remedy says who runs it.
	Command string `json:"command,omitempty"`
}

// Report judges what was observed.
func (o Observed) Report(cfg config.Config) Report {
	r := Report{
		APIVersion: APIVersion, Kind: ReportKind, Time: *utc(o.Now), Agent: o.Asker.agent(),
		Node: o.Node, Kubeconfig: cfg.Kubeconfig,
		BootstrapSecrets: o.SecretFiles(cfg), Discovery: o.discovery(cfg),
		Findings: o.findings(cfg),
	}
	if r.BootstrapSecrets == nil {
		r.BootstrapSecrets = []string{}
	}
	if o.Kubelet != nil {
		r.Server = o.Kubelet.Endpoint.Server
	}
	r.Certificates = append(r.Certificates, o.certificate(o.Client))
	if cfg.Serving != "off" {
		r.Certificates = append(r.Certificates, o.certificate(o.servingInUse()))
	}
	for _, f := range r.Findings {
		if rank[f.Level] > rank[r.Level] {
			r.Level = f.Level
		}
	}
	return r
}

// servingInUse is the serving certificate as the kubelet finds it: ours, or a pair of its own.
func (o Observed) servingInUse() Certificate {
	c := o.Serving
	if c.Pair == nil && c.Adopted != nil {
		c.Pair = c.Adopted
	}
	return c
}

func (o Observed) certificate(c Certificate) CertificateReport {
	r := CertificateReport{Certificate: c.Kind, State: o.state(c), Pending: pendingReport(c.Pending)}
	if c.Pair == nil {
		return r
	}
	leaf := c.Pair.Leaf
	r.File, r.Subject, r.Issuer, r.DNSNames = c.Pair.File, leaf.Subject.String(), leaf.Issuer.String(), leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		r.IPAddresses = append(r.IPAddresses, ip.String())
	}
	r.NotBefore, r.NotAfter, r.Received = utc(leaf.NotBefore), utc(leaf.NotAfter), utc(rotate.Received(leaf, c.Pair.ModTime))
	r.LifetimeSeconds, r.RemainingSeconds = between(*r.Received, *r.NotAfter), between(*utc(o.Now), *r.NotAfter)
	if c.Issued() {
		r.RotateAt = utc(o.RotateAt(c.Pair))
	}
	return r
}

// RotateAt is when a pair is to be rotated. The name of the node is the certificate's: what the machine is called now must not move it.
func (o Observed) RotateAt(pair *certdir.Pair) time.Time {
	return rotate.Deadline(pair.Leaf, pair.ModTime, strings.TrimPrefix(pair.Leaf.Subject.CommonName, "system:node:"))
}

func (o Observed) state(c Certificate) State {
	switch {
	case c.Pair == nil && c.PairErr != nil && !isMissing(c.PairErr):
		return Unusable
	case c.Pair == nil:
		return Missing
	case !c.Usable(o.Now):
		return Expired
	case !c.Issued():
		return Placeholder
	}
	return Valid
}

func pendingReport(p *csr.Pending) *PendingReport {
	if p == nil {
		return nil
	}
	r := &PendingReport{Name: p.Name}
	if p.Ended != nil {
		ended := *p.Ended
		ended.At = *utc(ended.At)
		r.Ended = &ended
	}
	if !p.Accepted.IsZero() {
		r.Since = utc(p.Accepted)
	}
	if p.UID != "" && p.Ended == nil && len(p.CertificatePEM) == 0 {
		r.Approve = approve(p)
	}
	return r
}

func utc(t time.Time) *time.Time {
	t = t.UTC().Truncate(time.Second)
	return &t
}

func between(from, to time.Time) *int64 {
	seconds := int64(to.Sub(from) / time.Second)
	return &seconds
}
