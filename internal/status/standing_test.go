package status

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/node"
)

func TestNotReadySaysWhyTheIdentityCannotBeUsed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Observed)
		says   string
	}{
		"well":                  {func(*Observed) {}, ""},
		"a placeholder":         {func(o *Observed) { o.Serving.Pair.Leaf.Subject.CommonName = "worker-1@bootstrap-agent-placeholder" }, ""},
		"no serving at all":     {func(o *Observed) { o.Serving = Certificate{Kind: csr.Serving, PairErr: errNoPair} }, ""},
		"nothing":               {func(o *Observed) { *o = empty() }, "the node has no client certificate yet"},
		"damaged":               {func(o *Observed) { o.Client.Pair, o.Client.PairErr = nil, errDamaged }, "the client certificate cannot be used: " + errDamaged.Error()},
		"expired":               {func(o *Observed) { o.Client.Pair.Leaf.NotAfter = o.Now }, "the client certificate expired at 2026-03-01T12:00:00Z"},
		"unread":                {func(o *Observed) { o.Client.Unread = errors.New("the disk") }, "the client certificate's files cannot be read: the disk"},
		"no kubeconfig":         {func(o *Observed) { o.KubeletErr = errKubeless }, errKubeless.Error()},
		"no CA of the kubelets": {func(o *Observed) { o.ClientCA = nil }, "/var/lib/kubelet/pki/kubelet-client-ca.crt is missing or empty"},
	} {
		o := healthy()
		c.change(&o)
		if got := o.Standing(settings).NotReady; got != c.says {
			t.Errorf("%s: %q, expected %q", name, got, c.says)
		}
	}
}

func TestACertificateInNumbers(t *testing.T) {
	t.Parallel()
	o := healthy()
	o.Client.Pending = pending(csr.Client, sent)
	s := o.Standing(settings)
	leaf := o.Client.Pair.Leaf
	want := CertificateStanding{
		NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, RotateAt: o.RotateAt(o.Client.Pair), Received: o.Client.Pair.ModTime,
		PendingSince: noon.Add(-90 * time.Second),
	}
	if s.Client != want {
		t.Errorf("%+v, expected %+v", s.Client, want)
	}
	for name, change := range map[string]func(*csr.Pending){"issued": issued, "denied": ended(csr.Denied), "not sent": func(p *csr.Pending) { p.UID = "" }} {
		o.Client.Pending = pending(csr.Client, sent, change)
		if since := o.Standing(settings).Client.PendingSince; !since.IsZero() {
			t.Errorf("a request that is %s waits since %s", name, since)
		}
	}
}

func TestAPlaceholderIsNeverRotatedNorCountedAsARotation(t *testing.T) {
	t.Parallel()
	o := healthy()
	o.Serving.Pair = servingPair("worker-1@bootstrap-agent-placeholder", time.Minute, 30*day)
	if s := o.Standing(settings).Serving; !s.SelfSigned || !s.RotateAt.IsZero() || !s.Received.IsZero() || s.NotAfter.IsZero() {
		t.Errorf("%+v", s)
	}
}

func TestWhatIsLeftToTheKubeletIsNotPlanned(t *testing.T) {
	t.Parallel()
	cfg := settings
	cfg.RotateCertificates, cfg.RotateServerCertificates = false, false
	if s := healthy().Standing(cfg); !s.Client.RotateAt.IsZero() || !s.Serving.RotateAt.IsZero() || s.Client.NotAfter.IsZero() {
		t.Errorf("%+v", s)
	}
	cfg.Serving = "off"
	if s := healthy().Standing(cfg); s.Serving != (CertificateStanding{}) {
		t.Errorf("serving is off, and %+v", s.Serving)
	}
}

func TestALifeBelowTwentyMinutesIsShort(t *testing.T) {
	t.Parallel()
	for life, short := range map[time.Duration]bool{20*time.Minute - time.Second: true, 20 * time.Minute: false, time.Hour: false} {
		o := healthy()
		o.Client.Pair = pair(nodeUser, 0, life)
		if got := o.Standing(settings).Client.ShortLived; got != short {
			t.Errorf("%s: short %t", life, got)
		}
	}
}

func TestATokenInMemoryIsNotOnTheDisk(t *testing.T) {
	t.Parallel()
	o := healthy()
	o.Bootstrap, o.BootstrapErr, o.BootstrapFile = bootstrapper, nil, "/srv/credentials/bootstrap.kubeconfig"
	if !o.Standing(settings).BootstrapToken {
		t.Error("a bootstrap kubeconfig is not said to be there")
	}
	cfg := settings
	cfg.CredentialsDirectory = "/srv/credentials"
	if o.Standing(cfg).BootstrapToken {
		t.Error("a systemd credential is said to be on the disk")
	}
}

func TestAKubeletThatWasStartedBeforeAFileWasWrittenNeedsARestart(t *testing.T) {
	t.Parallel()
	cfg := settings
	folder := t.TempDir()
	cfg.CertDir, cfg.Kubeconfig = folder, filepath.Join(folder, "kubelet.kubeconfig")
	ca := filepath.Join(folder, "kubelet-client-ca.crt")
	for _, path := range []string{cfg.Kubeconfig, ca} {
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chtimes(path, noon, noon))
	}
	running := func(since time.Time) Observed {
		o := healthy()
		o.Now = noon.Add(time.Hour)
		o.Kubelets = []node.Kubelet{{Process: node.Process{PID: 7, Started: "7", Since: since}, Kubeconfig: node.Told[string]{Value: cfg.Kubeconfig, Known: true}}}
		return o
	}
	for name, c := range map[string]struct {
		o    Observed
		want []RestartReason
	}{
		"no kubelet":                     {healthy(), nil},
		"started before":                 {running(noon.Add(-time.Minute)), []RestartReason{ServerChanged, CAChanged}},
		"started after":                  {running(noon.Add(time.Minute)), nil},
		"started while it was written":   {running(noon.Add(-startTakes / 2)), nil},
		"nobody knows since when":        {running(time.Time{}), nil},
		"the file seems to be of future": {func() Observed { o := running(noon.Add(-time.Minute)); o.Now = noon.Add(-time.Second); return o }(), nil},
	} {
		var got []RestartReason
		reasons := c.o.RestartReasons(cfg)
		for _, reason := range RestartReasons() {
			if reasons[reason] {
				got = append(got, reason)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, expected %q", name, got, c.want)
		}
	}
	must(t, os.Chtimes(cfg.Kubeconfig, noon.Add(-time.Hour), noon.Add(-time.Hour)))
	if reasons := running(noon.Add(-time.Minute)).RestartReasons(cfg); reasons[ServerChanged] || !reasons[CAChanged] {
		t.Errorf("only the CA was written: %v", reasons)
	}
}

func TestEveryPhaseHasReasons(t *testing.T) {
	t.Parallel()
	for _, phase := range Phases() {
		reasons := Reasons(phase)
		sorted := slices.Sorted(slices.Values(reasons))
		if len(reasons) == 0 || len(slices.Compact(sorted)) != len(reasons) || slices.Contains(reasons, OtherReason) {
			t.Errorf("%s has %q", phase, reasons)
		}
	}
}
