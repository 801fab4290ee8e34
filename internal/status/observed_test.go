package status

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/config"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
)

func TestSecretFilesAreAllThatHoldOrMayHoldASecret(t *testing.T) {
	const file = "/etc/kubernetes/bootstrap.kubeconfig"
	for _, c := range []struct {
		name         string
		bootstrap    *kubeconfig.Bootstrap
		bootstrapErr error
		aside        []string
		files        []string
	}{
		{"no credential", nil, errNone, nil, nil},
		{"a token", &kubeconfig.Bootstrap{Source: kubeconfig.InlineToken}, nil, nil, []string{file}},
		{"a key inside", &kubeconfig.Bootstrap{Source: kubeconfig.EmbeddedKey}, nil, nil, []string{file}},
		{"a token in a file of its own", &kubeconfig.Bootstrap{Source: kubeconfig.TokenFile, SecretFile: "/etc/kubernetes/token"}, nil, nil, []string{"/etc/kubernetes/token"}},
		{"a key in a file of its own", &kubeconfig.Bootstrap{Source: kubeconfig.KeyFile, SecretFile: "/etc/kubernetes/key"}, nil, nil, []string{"/etc/kubernetes/key"}},
		{"an exec plugin", &kubeconfig.Bootstrap{Source: kubeconfig.ExecPlugin}, nil, nil, nil},
		{"a file that nobody can read may hold one", nil, errors.New("is not a kubeconfig"), nil, []string{file}},
		{"one lies aside", nil, errNone, []string{file, "/etc/kubernetes/token"}, []string{"/etc/kubernetes/.bootstrap.kubeconfig.used", "/etc/kubernetes/.token.used"}},
		{"one lies aside, and a new one is there", bootstrapper, nil, []string{file}, []string{file, "/etc/kubernetes/.bootstrap.kubeconfig.used"}},
	} {
		o := Observed{Bootstrap: c.bootstrap, BootstrapErr: c.bootstrapErr, Aside: c.aside}
		if files := o.SecretFiles(settings); !slices.Equal(files, c.files) {
			t.Errorf("%s: %q, expected %q", c.name, files, c.files)
		}
	}
}

func TestAStampDiffersAfterEveryChange(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	must(t, os.Chtimes(path, noon, noon))
	changes := []struct {
		name   string
		change func() error
	}{
		{"written", func() error { return os.WriteFile(path, []byte("longer"), 0o600) }},
		{"replaced by one that keeps time, size and mode", func() error {
			other := filepath.Join(dir, "other")
			return errors.Join(os.WriteFile(other, []byte("LONGER"), 0o600), os.Chtimes(other, noon, noon), os.Rename(other, path))
		}},
		{"its mode changed", func() error { return os.Chmod(path, 0o644) }},
		{"removed", func() error { return os.Remove(path) }},
		{"made", func() error { return os.WriteFile(path, nil, 0o600) }},
		{"replaced by a link", func() error { return errors.Join(os.Remove(path), os.Symlink("elsewhere", path)) }},
		{"the link swapped", func() error { return durable.Disk{}.Symlink("somewhere", path) }},
		{"replaced by a folder", func() error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }},
		{"a file made in the folder", func() error { return os.WriteFile(filepath.Join(path, "new"), nil, 0o600) }},
	}
	before := Stamp(path, "/none")
	for _, c := range changes {
		must(t, c.change())
		after := Stamp(path, "/none")
		if after == before {
			t.Errorf("%s: the stamp is the same", c.name)
		}
		if again := Stamp(path, "/none"); again != after {
			t.Errorf("%s: the stamp changes by itself: %q, then %q", c.name, after, again)
		}
		before = after
	}
	if Stamp(path, "/none") == Stamp("/none", path) || Stamp() != "" {
		t.Error("it does not matter which of the files has changed")
	}
}

func TestAPairIsUsableUntilItExpiresEvenIfItIsNotValidYet(t *testing.T) {
	for _, c := range []struct {
		name   string
		pair   *certdir.Pair
		usable bool
	}{
		{"none", nil, false},
		{"valid", pair(nodeUser, day, day), true},
		{"not valid yet", pair(nodeUser, -day, 2*day), true},
		{"its last moment", pair(nodeUser, day, 1), true},
		{"expires now", pair(nodeUser, day, 0), false},
		{"expired", pair(nodeUser, day, -1), false},
	} {
		if usable := (Certificate{Pair: c.pair}).Usable(noon); usable != c.usable {
			t.Errorf("%s: %v", c.name, usable)
		}
	}
}

func TestTheNodeHasItsIdentityWithAPairAndAKubeconfig(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Observed)
		has    bool
	}{
		"both":                      {func(*Observed) {}, true},
		"no kubeconfig":             {func(o *Observed) { o.Kubelet = nil }, false},
		"no pair":                   {func(o *Observed) { o.Client.Pair = nil }, false},
		"an expired pair":           {func(o *Observed) { o.Client.Pair = pair(nodeUser, day, -1) }, false},
		"a pair of another node":    {func(o *Observed) { o.Node = "worker-2" }, true}, // the API server knows that one
		"a pair not yet valid":      {func(o *Observed) { o.Client.Pair = pair(nodeUser, -day, 2*day) }, true},
		"no serving pair, no names": {func(o *Observed) { o.Serving, o.Node = Certificate{}, "" }, true},
	} {
		o := healthy()
		c.change(&o)
		if o.HasIdentity() != c.has {
			t.Errorf("%s: %v", name, !c.has)
		}
	}
}

func TestAnIdentityIsForAnotherNodeOnlyWhenBothNamesAreKnown(t *testing.T) {
	for _, c := range []struct {
		node, user string
		other      bool
	}{
		{"worker-1", nodeUser, false},
		{"worker-2", nodeUser, true},
		{"", nodeUser, false},
		{"worker-1", "system:node:worker-11", true},
		{"worker-1", "worker-1", true},
	} {
		o := healthy()
		o.Node, o.Client.Pair = c.node, pair(c.user, day, day)
		if o.ForOtherNode() != c.other {
			t.Errorf("%q with the identity %q: %v", c.node, c.user, !c.other)
		}
	}
	if (Observed{Node: "worker-1"}).ForOtherNode() {
		t.Error("no identity is for another node")
	}
}

func TestOnlyTheServingCertificateCanBeAPlaceholder(t *testing.T) {
	if !(Certificate{Kind: csr.Client, Pair: pair("anything", day, day)}).Issued() || !(Certificate{Kind: csr.Serving, Pair: servingPair(nodeUser, day, day)}).Issued() ||
		(Certificate{Kind: csr.Serving, Pair: servingPair("worker-1@1772366400", day, day)}).Issued() || (Certificate{Kind: csr.Client}).Issued() {
		t.Error("a placeholder counts as issued, or an issued certificate as a placeholder")
	}
}

// A node with everything on its disk is observed, from the files alone.
func TestObserveFindsWhatIsOnTheDisk(t *testing.T) {
	cfg, dir := onDisk(t)
	placeholder, err := serving.Placeholder("worker-1", serving.Names{DNS: []string{"worker-1"}}, noon)
	must(t, err)
	must(t, dir.Commit(certdir.Client, placeholder, noon))
	must(t, dir.CommitServing(placeholder, noon))
	p, err := csr.New(csr.Wish{Kind: csr.Serving, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256"}, apiserver.Endpoint{})
	must(t, err)
	content, err := p.Encode()
	must(t, err)
	must(t, dir.WritePending(certdir.Serving, content))
	must(t, dir.WritePending(certdir.Client, content[:100]))
	bundle := placeholder[:bytes.Index(placeholder, []byte("-----BEGIN EC"))]
	must(t, dir.WriteCA(dir.ClientCA(), bundle))
	must(t, dir.WriteCA(dir.ServerCA(), []byte("\n"))) // the kubelet would not start with one like that
	must(t, os.WriteFile(cfg.BootstrapKubeconfig, []byte("a: b: c"), 0o600))
	must(t, os.WriteFile(kubeconfig.AsideName(cfg.BootstrapKubeconfig), nil, 0o600))

	o := Observe(cfg, noon)
	if o.Node != "worker-1" || o.NodeErr != nil || !o.Now.Equal(noon) {
		t.Errorf("node %q, %v, at %s", o.Node, o.NodeErr, o.Now)
	}
	if !o.Client.Usable(noon) || !o.Serving.Usable(noon) || !o.Serving.Linked || o.Serving.Adopted != nil || o.Client.Kind != csr.Client || o.Serving.Kind != csr.Serving {
		t.Errorf("certificates: %+v, %+v", o.Client, o.Serving)
	}
	if o.Serving.Pending == nil || o.Serving.Pending.Name != p.Name || o.Serving.Committed() || o.Client.Pending != nil || o.Client.PendingErr == nil {
		t.Errorf("requests: %+v, %+v, %v", o.Serving.Pending, o.Client.Pending, o.Client.PendingErr)
	}
	if !bytes.Equal(o.ClientCA, bundle) || o.ServerCA != nil || o.Kubelet != nil || o.KubeletErr == nil {
		t.Errorf("CAs %q, %q, kubeconfig %v", o.ClientCA, o.ServerCA, o.KubeletErr)
	}
	if o.Bootstrap != nil || o.BootstrapErr == nil || o.NoCredential() || !slices.Equal(o.Aside, []string{cfg.BootstrapKubeconfig}) {
		t.Errorf("bootstrap %v, aside %q", o.BootstrapErr, o.Aside)
	}
}

func onDisk(t *testing.T) (config.Config, certdir.Dir) {
	t.Helper()
	top := t.TempDir()
	cfg := settings
	cfg.HostnameOverride, cfg.CertDir = "Worker-1", filepath.Join(top, "pki")
	cfg.Kubeconfig, cfg.BootstrapKubeconfig = filepath.Join(top, "kubelet.kubeconfig"), filepath.Join(top, "bootstrap.kubeconfig")
	dir := certdir.Dir{Path: cfg.CertDir}
	must(t, dir.Open())
	return cfg, dir
}

func TestTheNewestPairThatIsStillValidIsTheOlderOne(t *testing.T) {
	cfg, dir := onDisk(t)
	for days := range 3 { // 31, 30 and 29 days old, of 30 each
		text, err := serving.Placeholder("worker-1", serving.Names{}, noon.Add(time.Duration(days-31)*day+time.Hour))
		must(t, err)
		must(t, dir.Commit(certdir.Client, text, noon.Add(time.Duration(days)*time.Second)))
	}
	if o := Observe(cfg, noon); o.Client.Older != nil {
		t.Error("an older pair is looked for though there is one in use")
	}
	must(t, os.Remove(dir.Current(certdir.Client)))
	for later, left := range map[time.Duration]time.Duration{0: 30*day - 29*day + time.Hour, day + 2*time.Hour: 0} {
		o := Observe(cfg, noon.Add(later))
		switch {
		case left == 0 && o.Client.Older != nil:
			t.Errorf("after %s a pair is offered that has expired", later)
		case left > 0 && (o.Client.Older == nil || !o.Client.Older.Leaf.NotAfter.Equal(noon.Add(left).Truncate(time.Second))):
			t.Errorf("after %s: %+v", later, o.Client.Older)
		}
	}
}

// Only the end of its commit is missing: what is asked for is in use already.
func TestARequestIsCommittedWhenThePairInUseHasItsKey(t *testing.T) {
	p, err := csr.New(csr.Wish{Kind: csr.Client, NodeName: "worker-1", KeyAlgorithm: "ecdsa-p256"}, apiserver.Endpoint{})
	must(t, err)
	other, err := csr.New(p.Wish, apiserver.Endpoint{})
	must(t, err)
	key, err := p.PublicKey()
	must(t, err)
	used := pair(nodeUser, day, day)
	used.Leaf.PublicKey = key
	for name, c := range map[string]struct {
		certificate Certificate
		committed   bool
	}{
		"its key":           {Certificate{Pair: used, Pending: p}, true},
		"another key":       {Certificate{Pair: used, Pending: other}, false},
		"no pair":           {Certificate{Pending: p}, false},
		"no request":        {Certificate{Pair: used}, false},
		"no key in it":      {Certificate{Pair: pair(nodeUser, day, day), Pending: p}, false},
		"a damaged request": {Certificate{Pair: used, Pending: &csr.Pending{}}, false},
	} {
		if c.certificate.Committed() != c.committed {
			t.Errorf("%s: %v", name, !c.committed)
		}
	}
}
