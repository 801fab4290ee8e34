package status

import (
	"slices"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
)

// Standing is how the node's certificates stand at one moment, in numbers: what /metrics and /readyz say. It is made of what was
// observed on the disk and of what only the agent knows, and is not changed once it was made.
type Standing struct {
	Client CertificateStanding
	// Serving is zero where the serving certificate is left to the kubelet.
	Serving CertificateStanding
	// BootstrapToken: a bootstrap secret is on the disk; a systemd credential is in memory.
	BootstrapToken bool
	// ServingTaken says whether the kubelet serves the serving certificate that is on the disk; nil: not known.
	ServingTaken *bool
	// Restart says for which reasons the kubelet needs a restart.
	Restart map[RestartReason]bool
	// NodeNameMismatch: the identity is another node's than this machine is called now.
	NodeNameMismatch bool
	// ClockSkew is by how much this machine's clock is ahead of the API server's, going by the last answer, in steps of a second, 0 within
	// one; nil: it has not answered for an hour.
	ClockSkew *time.Duration
	// NotReady says why the node's identity cannot be used, on one line without a secret; empty: it can.
	NotReady string
}

// CertificateStanding is one certificate in numbers. A zero time is that of something that is not there.
type CertificateStanding struct {
	NotBefore, NotAfter time.Time
	// RotateAt is when the agent replaces it; zero for a placeholder, and where that is left to the kubelet.
	RotateAt time.Time
	// Received is when the certificate in use was stored, if it was issued: for one that replaced another, the last rotation.
	Received time.Time
	// SelfSigned: it is a placeholder, or the kubelet's own.
	SelfSigned bool
	// ShortLived: its lifetime is below [rotate.ShortLife].
	ShortLived bool
	// PendingSince is when the API server accepted the request under way.
	PendingSince time.Time
}

// RestartReason is why a kubelet needs a restart to use what is on the disk.
type RestartReason string

// The reasons for which a kubelet needs a restart.
const (
	// OldKubelet: it goes on serving an older certificate; before 1.31 a kubelet does not look at its files again.
	OldKubelet RestartReason = "old_kubelet"
	// ServerChanged: its kubeconfig was written after it was started.
	ServerChanged RestartReason = "server_changed"
	// CAChanged: a CA file was written after it was started; from 1.36 on a kubelet reads them again.
	CAChanged RestartReason = "ca_changed"
)

// RestartReasons are all of them.
func RestartReasons() []RestartReason { return []RestartReason{OldKubelet, ServerChanged, CAChanged} }

// Standing is what the files say; what they do not is for the agent to fill in.
func (o Observed) Standing(cfg config.Config) Standing {
	onDisk := func(file string) bool { return !kubeconfig.IsSystemdCredential(file, cfg.CredentialsDirectory) }
	s := Standing{
		Client:           o.standing(o.Client, cfg.RotateCertificates),
		BootstrapToken:   slices.ContainsFunc(o.SecretFiles(cfg), onDisk),
		NodeNameMismatch: o.ForOtherNode(),
	}
	if cfg.Serving != "off" {
		s.Serving = o.standing(o.servingInUse(), cfg.RotateServerCertificates)
	}
	switch {
	case o.Client.Unread != nil:
		s.NotReady = "the client certificate's files cannot be read: " + o.Client.Unread.Error()
	case o.Client.Pair == nil && isMissing(o.Client.PairErr):
		s.NotReady = "the node has no client certificate yet"
	case o.Client.Pair == nil:
		s.NotReady = "the client certificate cannot be used: " + o.Client.PairErr.Error()
	case !o.Client.Usable(o.Now):
		s.NotReady = "the client certificate expired at " + o.Client.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339)
	case o.KubeletErr != nil:
		s.NotReady = o.KubeletErr.Error()
	case o.ClientCA == nil:
		s.NotReady = certdir.Dir{Path: cfg.CertDir}.ClientCA() + " is missing or empty"
	}
	return s
}

func (o Observed) standing(c Certificate, rotates bool) CertificateStanding {
	var s CertificateStanding
	if p := c.Pending; p != nil && p.UID != "" && p.Ended == nil && len(p.CertificatePEM) == 0 {
		s.PendingSince = p.Accepted
	}
	if c.Pair == nil {
		return s
	}
	leaf := c.Pair.Leaf
	s.NotBefore, s.NotAfter, s.SelfSigned = leaf.NotBefore, leaf.NotAfter, !c.Issued()
	received := rotate.Received(leaf, c.Pair.ModTime)
	s.ShortLived = leaf.NotAfter.Sub(received) < rotate.ShortLife
	if c.Issued() {
		s.Received = received
	}
	if c.Issued() && rotates {
		s.RotateAt = o.RotateAt(c.Pair)
	}
	return s
}

// Phase is what was being done when something went wrong, in one word.
type Phase string

// The phases.
const (
	ClientPhase     Phase = "client"     // asking for, and proving, the client certificate
	ServingPhase    Phase = "serving"    // asking for the serving certificate
	BootstrapPhase  Phase = "bootstrap"  // reading the bootstrap kubeconfig
	DiscoveryPhase  Phase = "discovery"  // finding out where the cluster of a discovery token is
	CAPhase         Phase = "ca"         // following the CA of the API server
	CredentialPhase Phase = "credential" // comparing, or disposing of, a bootstrap credential beside an identity
	AddressPhase    Phase = "address"    // finding the node's addresses
	NodePhase       Phase = "node"       // the node's name, and its Node object
	DiskPhase       Phase = "disk"       // reading and changing the files
	ClockPhase      Phase = "clock"      // this machine's clock, the API server's and the signer's do not agree
	KubeletPhase    Phase = "kubelet"    // the kubelet and what is on the disk for it
	WebPhase        Phase = "web"        // the listener, and the text file for node_exporter
)

// OtherReason stands for a reason that is not in the list, so that nobody outside can make series.
const OtherReason = "other"

// Reasons are those of a phase, apart from [OtherReason].
func Reasons(phase Phase) []string {
	answers := []string{
		"unreachable", "timeout", "tls", "redirect", "unauthorized", "forbidden", "not-found", "exists", "throttled", "server-error", "expired",
		"invalid", "bad-answer", "credential", "configuration",
	}
	reads := []string{"unreachable", "timeout", "tls", "redirect", "unauthorized", "forbidden", "not-found", "throttled", "server-error", "bad-answer"} // of what is public
	answers, reads = slices.Clip(answers), slices.Clip(reads)
	ends := []string{string(csr.Denied), string(csr.Failed), string(csr.Deleted), string(csr.Replaced), string(csr.Refused)}
	return map[Phase][]string{
		ClientPhase:     append(append(answers, ends...), "node-taken"),
		ServingPhase:    append(answers, ends...),
		DiscoveryPhase:  append(reads, "not-published", "not-signed", "signature", "pin", "cluster-info", "changed", "configuration"),
		CAPhase:         append(reads, "not-published", "cluster-info", "untrusted", "unproved", "file", "configuration"),
		BootstrapPhase:  {"kubeconfig"},
		CredentialPhase: append(answers, "disposal", "other-cluster"),
		AddressPhase:    {"lookup"},
		NodePhase:       append(answers, "name", "mismatch"),
		DiskPhase:       {"full", "read-only", "permission", "io"},
		ClockPhase:      {"server-certificate", "issued-certificate"},
		KubeletPhase:    {"not-reloaded"},
		WebPhase:        {"listen", "configuration", "textfile"},
	}[phase]
}

// Phases are all of them.
func Phases() []Phase {
	return []Phase{ClientPhase, ServingPhase, BootstrapPhase, DiscoveryPhase, CAPhase, CredentialPhase, AddressPhase, NodePhase, DiskPhase, ClockPhase, KubeletPhase, WebPhase}
}
