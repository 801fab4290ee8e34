package status

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
)

func isMissing(err error) bool { return errors.Is(err, certdir.ErrNoPair) }

// judge collects the findings of one report.
type judge struct {
	Observed
	cfg   config.Config
	found []Finding
}

// findings are what is not as it should be, the worst first.
func (o Observed) findings(cfg config.Config) []Finding {
	j := &judge{Observed: o, cfg: cfg, found: []Finding{}}
	if o.NodeErr != nil {
		j.find(Waiting, "%v", o.NodeErr)
	}
	j.client()
	if cfg.Serving != "off" {
		j.serving()
	}
	j.bootstrap()
	j.followed()
	for _, f := range o.KubeletFindings(cfg) {
		f.Text, f.Remedy, _ = strings.Cut(f.Text, "; ") // the agent says both in one line
		j.found = append(j.found, f)
	}
	j.asker()
	slices.SortStableFunc(j.found, func(a, b Finding) int { return cmp.Compare(rank[b.Level], rank[a.Level]) })
	return j.found
}

func (j *judge) find(level Level, format string, args ...any) *Finding {
	j.found = append(j.found, Finding{Level: level, Text: fmt.Sprintf(format, args...)})
	return &j.found[len(j.found)-1]
}

// do gives a finding its remedy.
func (f *Finding) do(remedy, command string) { f.Remedy, f.Command = remedy, command }

// read gives a finding about a file that cannot be read what can be done about that, if there is something.
func (j *judge) read(f *Finding, err error) {
	if errors.Is(err, fs.ErrPermission) && j.Asker != nil && j.Asker.Unprivileged {
		f.do("only root may read it, so ask as root", "sudo bootstrap-agent status")
		return
	}
	f.Remedy = certdir.Remedy(err)
}

// asker says, before anything of the same weight, that nobody looks after the node.
func (j *judge) asker() {
	if j.Asker == nil || j.Asker.AgentErr != nil || j.Asker.Agent != 0 {
		return
	}
	level := Attention
	if slices.ContainsFunc(j.found, func(f Finding) bool { return rank[f.Level] >= rank[Waiting] }) {
		level = Waiting
	}
	j.found = slices.Insert(j.found, 0, Finding{
		level, "no agent runs on " + j.cfg.CertDir + ": nothing is asked for, and nothing is rotated",
		"start it", "systemctl start bootstrap-agent",
	})
}

func (j *judge) client() {
	c := j.Client
	next := Waiting // the next attempt may succeed
	if j.Bootstrap == nil && j.Undiscovered == nil && c.Older == nil && (c.Pending == nil || len(c.Pending.CertificatePEM) == 0) {
		next = Broken
	}
	switch {
	case c.Unread != nil:
		j.read(j.find(Broken, "the client certificate's files cannot be read: %v", c.Unread), c.Unread)
		return
	case c.Pair == nil && isMissing(c.PairErr):
		j.join(j.find(next, "the node has no client certificate yet%s", j.undiscovered()))
	case c.Pair == nil:
		j.join(j.find(next, "the client certificate cannot be used: %v", c.PairErr))
	case !c.Usable(j.Now):
		j.join(j.find(next, "the client certificate expired at %s", c.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339)))
	case j.ForOtherNode():
		j.otherName()
	case j.Now.After(j.RotateAt(c.Pair)):
		f := j.find(Attention, "the client certificate is due for rotation since %s", j.RotateAt(c.Pair).UTC().Format(time.RFC3339))
		j.rotate(f, j.cfg.RotateCertificates, "rotateCertificates")
	}
	if c.Usable(j.Now) && j.KubeletErr != nil {
		j.find(Broken, "%v", j.KubeletErr).Remedy = "put " + Credentials(j.cfg, " for the cluster") + ", which brings server and CA back"
	}
	if c.Usable(j.Now) && j.ClientCA == nil {
		j.find(Broken, "%s is missing or empty, so nothing says who may call the kubelet", certdir.Dir{Path: j.cfg.CertDir}.ClientCA()).Remedy = "give the agent --kubelet-client-ca-file"
	}
	j.pending(c)
}

// join is what to do about a node without an identity.
func (j *judge) join(f *Finding) {
	switch {
	case f.Level == Broken:
		f.Remedy = "put " + Credentials(j.cfg, "")
	case (j.Client.Pending == nil || j.proving()) && j.Asker != nil && j.Asker.Agent != 0:
		f.do("the agent is at it; what stands in its way", "bootstrap-agent doctor")
	}
}

// otherName is about an identity in another name than the machine's.
func (j *judge) otherName() {
	name := j.Client.Pair.Leaf.Subject.CommonName
	f := j.find(Broken, "the identity is %s, and this machine is called %s now", name, j.Node)
	f.Remedy = "put " + Credentials(j.cfg, "") + " to join under the new name, or name it back"
	if old, ours := strings.CutPrefix(name, "system:node:"); ours && j.cfg.HostnameOverride == "" {
		f.Command = "hostnamectl hostname " + screen.Quote(old)
	}
}

func (j *judge) serving() {
	c := j.servingInUse()
	switch {
	case c.Unread != nil:
		j.read(j.find(Broken, "the serving certificate's files cannot be read: %v", c.Unread), c.Unread)
		return
	case c.Pair == nil && isMissing(c.PairErr):
		j.find(Waiting, "the node has no serving certificate yet")
	case c.Pair == nil:
		j.find(Waiting, "the serving certificate cannot be used: %v", c.PairErr)
	case !c.Usable(j.Now):
		j.find(Waiting, "the serving certificate expired at %s", c.Pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	case !c.Issued():
		j.find(Attention, "the serving certificate is a self-signed placeholder: kubectl logs and exec fail where the API server verifies kubelets")
	case j.Now.After(j.RotateAt(c.Pair)):
		f := j.find(Attention, "the serving certificate is due for rotation since %s", j.RotateAt(c.Pair).UTC().Format(time.RFC3339))
		j.rotate(f, j.cfg.RotateServerCertificates, "serverTLSBootstrap")
	}
	j.pending(c)
}

// rotate is what to look at when a rotation is overdue.
func (j *judge) rotate(f *Finding, ours bool, kubelets string) {
	switch {
	case !ours:
		f.Remedy = "its rotation is left to the kubelet: is its " + kubelets + " true?"
	case j.Asker == nil || j.Asker.Agent != 0: // else the finding about the agent says what to do
		f.do("the agent asks for another one while it runs; what stands in its way", "bootstrap-agent doctor")
	}
}

func (j *judge) bootstrap() {
	if j.BadCredential() {
		text, remedy, _ := strings.Cut(j.BootstrapErr.Error(), "; ") // a bad kubeconfig's error says what to do
		f := j.find(Broken, "%s", text)
		if j.read(f, j.BootstrapErr); f.Remedy == "" {
			f.Remedy = cmp.Or(remedy, "mend it, or put another one in its place; it is taken up at once")
		}
	}
	exec := j.Bootstrap != nil && j.Bootstrap.Source == kubeconfig.ExecPlugin
	if !j.HasIdentity() || exec || j.cfg.KeepBootstrapKubeconfig {
		return
	}
	for _, file := range j.SecretFiles(j.cfg) {
		if kubeconfig.IsSystemdCredential(file, j.cfg.CredentialsDirectory) { // it stays as long as the unit has it
			continue
		}
		j.find(Attention, "the node has its identity, and a bootstrap credential is still in %s", file).
			do("the agent's log says why; if nothing else needs it", "rm "+screen.Quote(file))
	}
}

// after is what to do about a request that came to nothing; the agent makes another one by itself.
var after = map[csr.Result]string{
	csr.Denied:  "find out why its approver said no and mend that; a new request follows by itself",
	csr.Failed:  "look at the signer's log (kube-controller-manager) for the reason; a new request follows by itself",
	csr.Refused: "compare the signer's configuration with what the request asks for; a new request follows by itself",
}

func (j *judge) pending(c Certificate) {
	p, level := c.Pending, Waiting
	works := c.Kind == csr.Serving || c.Usable(j.Now)
	if works {
		level = Attention
	}
	switch {
	case c.PendingErr != nil:
		j.read(j.find(Attention, "the %s request on disk is of no use (%v)", c.Kind, c.PendingErr), c.PendingErr)
		if f := &j.found[len(j.found)-1]; f.Remedy == "" {
			f.Remedy = "the agent makes another"
		}
	case p == nil:
	case p.Ended != nil && p.Ended.Outcome == csr.Replaced: // a new one follows at once; that one is not ours to be approved
	case p.Ended != nil:
		if !works {
			level = Broken
		}
		why := ""
		if p.Ended.Reason != "" || p.Ended.Message != "" {
			why = fmt.Sprintf(" (%s: %s)", p.Ended.Reason, p.Ended.Message)
		}
		f := j.find(level, "certificate signing request %s: %s%s", p.Name, p.Ended.Outcome, why)
		prefix := map[csr.Kind]certdir.Kind{csr.Client: certdir.Client, csr.Serving: certdir.Serving}[c.Kind]
		f.do(cmp.Or(after[p.Ended.Outcome], "a new request follows by itself")+"; to ask at once",
			fmt.Sprintf("rm %s && systemctl restart bootstrap-agent", screen.Quote(certdir.Dir{Path: j.cfg.CertDir}.PendingFile(prefix))))
	case p.UID != "" && len(p.CertificatePEM) == 0:
		j.find(level, "certificate signing request %s waits for approval since %s", p.Name, p.Accepted.UTC().Format(time.RFC3339)).
			do("an administrator of the cluster looks at it and approves it", approve(p))
	}
}

func approve(p *csr.Pending) string { return "kubectl certificate approve " + screen.Quote(p.Name) }
