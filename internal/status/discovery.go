package status

import (
	"fmt"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
)

// DiscoveryReport is how the cluster of a discovery token is found out. What came of it is in the agent's memory only: status asks nobody.
type DiscoveryReport struct {
	TokenFile string `json:"tokenFile"`
	// Servers are asked for cluster-info, in turn; empty where a file says where the cluster is.
	Servers []string `json:"servers,omitempty"`
	// File is that file, and Server what it says.
	File   string `json:"file,omitempty"`
	Server string `json:"server,omitempty"`
}

func (o Observed) discovery(cfg config.Config) *DiscoveryReport {
	if o.Undiscovered == nil {
		return nil
	}
	r := &DiscoveryReport{TokenFile: o.Undiscovered.Path, Servers: cfg.Servers()}
	if o.DiscoveryFile != nil {
		r.Servers, r.File, r.Server = nil, cfg.DiscoveryFile, o.DiscoveryFile.Server
	}
	return r
}

// String is a line for a person; empty: there is nothing to find out.
func (r *DiscoveryReport) String() string {
	switch {
	case r == nil:
		return ""
	case r.File != "":
		return fmt.Sprintf("%s says %s", r.File, r.Server)
	}
	return "asks " + strings.Join(r.Servers, ", ")
}

// Credentials is what has a node join, and where it is looked for by these settings: "a bootstrap kubeconfig at PATH"; about is put behind
// what it is (" for the cluster").
func Credentials(cfg config.Config, about string) string {
	kubeconfig := "a bootstrap kubeconfig" + about + " at " + cfg.BootstrapKubeconfig
	if cfg.DiscoveryTokenFile == "" {
		return kubeconfig
	}
	return "a bootstrap token" + about + " at " + cfg.DiscoveryTokenFile + ", or " + kubeconfig
}

// undiscovered ends the sentence about a node without a certificate with what comes first.
func (j *judge) undiscovered() string {
	if j.Undiscovered == nil || j.DiscoveryFile != nil {
		return ""
	}
	return ": where its cluster is has to be found out first, at " + strings.Join(j.cfg.Servers(), ", ")
}

// proving says whether the client certificate is issued, and not in use: it is being proved, or another machine is the node.
func (j *judge) proving() bool {
	p := j.Client.Pending
	return p != nil && len(p.CertificatePEM) > 0 && p.Ended == nil
}
