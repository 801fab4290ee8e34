package doctor

import (
	"context"
	"crypto/x509"
	"path/filepath"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// kubeletChecks are about the kubelet: what it was told, whether it has seen what is on the disk, and what it serves.
func kubeletChecks() []Check {
	return []Check{
		{"kubelet-settings", "Whether the command line and the configuration of the kubelet go with the agent's settings; where none runs, those that its unit gives it.", kubeletSettings},
		{"kubelet-restart", "Whether the kubelet was started after the last change that it does not notice by itself.", kubeletRestart},
		{"kubelet-serves", "Whether the kubelet serves the serving certificate that is on the disk.", kubeletServes},
		{"own-endpoint", "Whether the bootstrap goes through something that this node's own kubelet would have to run first.", ownEndpoint},
	}
}

// kubeletSettings looks at the kubelets that run; where none does, at what the unit would start.
func kubeletSettings(_ context.Context, p *Patient) []Result {
	o, who := p.Observed, ""
	if len(o.OurKubelets(p.Config)) == 0 {
		k, found := p.kubeletOfUnit()
		if !found {
			return one(unknown("no kubelet runs, and %s says nothing of one: what it is told cannot be seen", kubeletUnit).with("look again when it runs", "bootstrap-agent doctor"))
		}
		o.Kubelets, who = []node.Kubelet{k}, kubeletUnit+", which does not run now,"
	}
	var found []Result
	for _, finding := range o.KubeletFindings(p.Config) {
		found = append(found, fromFinding(finding, who))
	}
	for _, k := range o.OurKubelets(p.Config) {
		for _, err := range k.Unread {
			found = append(found, unknown("a part of what the kubelet was told: %s", problem(err)).with(asRoot, "bootstrap-agent doctor"))
		}
	}
	return orWell(found, "what %s told goes with the agent's settings", told(who))
}

func told(who string) string {
	if who == "" {
		return "the running kubelet was"
	}
	return kubeletUnit + ", which does not run now, is"
}

// fromFinding takes a finding apart, which says what is to be done behind the first semicolon.
func fromFinding(f status.Finding, who string) Result {
	text, remedy, _ := strings.Cut(f.Text, "; ")
	if who != "" {
		text = strings.Replace(text, "the running kubelet (pid 0)", who, 1)
	}
	r := Result{Verdict: map[status.Level]Verdict{status.Well: OK, status.Waiting: Waiting, status.Broken: Broken}[f.Level], Text: text}
	if r.Verdict == "" {
		r.Verdict = Attention
	}
	return r.with(remedy, "")
}

// kubeletOfUnit is the kubelet that systemd would start, as far as its unit tells.
func (p *Patient) kubeletOfUnit() (node.Kubelet, bool) {
	s := p.readService(kubeletUnit)
	argv := p.commandOf(s)
	if s.masked || len(argv) == 0 || filepath.Base(argv[0]) != "kubelet" {
		return node.Kubelet{}, false
	}
	return node.ParseKubelet(argv, machine{p}), true
}

func kubeletRestart(_ context.Context, p *Patient) []Result {
	if len(p.Observed.OurKubelets(p.Config)) == 0 {
		return one(unknown("no kubelet of this node runs").with("start it", "systemctl start "+kubeletUnit))
	}
	reasons := p.Observed.RestartReasons(p.Config)
	var found []Result
	if reasons[status.ServerChanged] {
		found = append(found, attention("%s was written after the kubelet was started, which reads it only then", p.Config.Kubeconfig).with(asRoot, restartKubelet))
	}
	if reasons[status.CAChanged] {
		found = append(found, unknown("a CA file in %s was written after the kubelet was started: from version 1.36 on it reads them again by itself, before that only when it is started", p.Config.CertDir).
			with("of which version it is says node-object; if that cannot be seen, "+asRoot, restartKubelet))
	}
	return orWell(found, "the kubelet was started after its kubeconfig and CA files were written")
}

const restartKubelet = "systemctl restart " + kubeletUnit

// takes is how long a kubelet may take from a new serving certificate until it serves it: it looks once a minute.
const takes = 2 * time.Minute

func kubeletServes(ctx context.Context, p *Patient) []Result {
	pair := p.Observed.Serving.Pair
	if p.Config.Serving == string(serving.Off) || pair == nil {
		return nil // serving-certificate says so
	}
	dir := certdir.Dir{Path: p.Config.CertDir}
	names := serving.Names{}
	for _, ip := range pair.Leaf.IPAddresses {
		names.IPs = append(names.IPs, ip.String())
	}
	addresses := serving.DialAddresses(p.Config.KubeletAddress, names)
	c := serving.Compare(ctx, addresses, pair.Leaf, leaves(dir.Older(certdir.Serving))...)
	switch {
	case c.Taken == serving.Took:
		return one(ok("at %s", c.Address))
	case c.Taken == serving.NotTaken && p.Observed.Now.Sub(pair.ModTime) < takes:
		return one(ok("at %s it serves the certificate before; it takes up to two minutes", c.Address))
	case c.Taken == serving.NotTaken:
		return one(attention("at %s the kubelet serves a certificate until %s, and not %s, which is there since %s: before version 1.31 it reads the file only when it starts",
			c.Address, date(c.Served.NotAfter), pair.File, date(pair.ModTime)).with(asRoot, restartKubelet))
	case len(p.Observed.OurKubelets(p.Config)) == 0:
		return one(unknown("no kubelet of this node runs").with("start it", "systemctl start "+kubeletUnit))
	}
	return one(unknown("the kubelet was not seen at %s: %s", strings.Join(addresses, ", "), strings.Join(strings.Split(c.Reason.Error(), "\n"), "; ")).
		with("if it listens elsewhere, set kubeletAddress (--kubelet-address)", ""))
}

func leaves(pairs []*certdir.Pair) []*x509.Certificate {
	var found []*x509.Certificate
	for _, pair := range pairs {
		found = append(found, pair.Leaf)
	}
	return found
}
