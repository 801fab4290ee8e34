package agent

import (
	"bytes"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/rotate"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// finder is a machine with a discovery token, and an agent that has just begun.
type finder struct {
	t  *testing.T
	on *machine
	*Agent
	clock *testingclock.FakeClock
	log   bytes.Buffer
}

// newFinder makes one with the files of d, and the settings of somebody who joins by discovery.
func newFinder(t *testing.T, m *material, d disk, changes ...func(*finder)) *finder {
	t.Helper()
	f := &finder{t: t, on: newMachine(t), clock: testingclock.NewFakeClock(noon)}
	m.furnish(t, f.on, d)
	f.on.cfg.DiscoveryTokenFile, f.on.cfg.APIServers = filepath.Join(f.on.top, "bootstrap.token"), []string{"192.0.2.1:6443"}
	f.on.cfg.DiscoveryCACertHashes = []string{string(discovery.PinOf(theCA().cert))}
	f.on.write(t, f.on.cfg.DiscoveryTokenFile, []byte(token+"\n"))
	for _, change := range changes {
		change(f)
	}
	f.Agent = New(Options{Config: f.on.cfg, Clock: f.clock, Log: slog.New(slog.NewTextHandler(&f.log, nil))})
	f.started = noon
	return f
}

// changes to a machine.
func noToken(f *finder)        { f.on.cfg.DiscoveryTokenFile = filepath.Join(f.on.top, "nothing") }
func malformedToken(f *finder) { f.on.write(f.t, f.on.cfg.DiscoveryTokenFile, []byte("abcdef")) }
func otherHash(f *finder) {
	f.on.cfg.DiscoveryCACertHashes = []string{"sha256:" + strings.Repeat("0", 64)}
}
func renamed(f *finder) { f.on.cfg.HostnameOverride = "worker-2" }

func systemdToken(f *finder) {
	f.on.cfg.CredentialsDirectory, f.on.cfg.DiscoveryTokenFile = f.on.top, ""
	f.on.write(f.t, filepath.Join(f.on.top, "discovery.token"), []byte(token))
}

func discoveryFile(f *finder) {
	f.on.cfg.APIServers, f.on.cfg.DiscoveryFile = nil, filepath.Join(f.on.top, "cluster-info.kubeconfig")
	text := bootstrapKubeconfig("https://192.0.2.7:6443", theCA().pem)
	f.on.write(f.t, f.on.cfg.DiscoveryFile, bytes.Replace(text, []byte("token: "+token), nil, 1))
}

// whereItIs is what was found out about the token that is there.
func (f *finder) whereItIs(found apiserver.Endpoint, ago time.Duration) {
	f.t.Helper()
	o := f.observer.Observe(f.cfg, noon)
	if o.Undiscovered == nil {
		f.t.Fatalf("there is no token: %v", o.BootstrapErr)
	}
	f.noteDiscovered(o.Undiscovered.Fingerprint(), discovery.Found{Endpoint: found, Asked: "https://192.0.2.1:6443"})
	f.discovery.at = noon.Add(-ago)
}

func TestWhenTheClusterOfATokenIsFoundOut(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	joined := disk{client: "good", kubeconfig: true, serving: "placeholder"}
	with := func(d disk, change func(*disk)) disk { change(&d); return d }
	there := apiserver.Endpoint{Server: "https://192.0.2.7:6443", CA: theCA().pem}
	known := func(ago time.Duration, failure rotate.Failure) func(*finder) {
		return func(f *finder) {
			f.whereItIs(there, ago)
			f.client.failure = failure
		}
	}
	for _, c := range []struct {
		name   string
		disk   disk
		change func(*finder)
		memory func(*finder)
		asks   bool
		server string // of the credential that there is without asking
	}{
		{"a token and nothing else", disk{}, nil, nil, true, ""},
		{"no token", disk{}, noToken, nil, false, ""},
		{"a token that is none", disk{}, malformedToken, nil, false, ""},
		{"a token beside an identity, which may be for another cluster", joined, nil, nil, true, ""},
		{"a systemd credential, which is there at every boot, beside an identity", joined, systemdToken, nil, false, ""},
		{"a systemd credential and nothing else", disk{}, systemdToken, nil, true, ""},
		{"a systemd credential beside an identity that has expired", with(joined, func(d *disk) { d.client = "expired" }), systemdToken, nil, true, ""},
		{"a systemd credential beside an identity of which nobody knows where it belongs", with(joined, func(d *disk) { d.kubeconfig = false }), systemdToken, nil, true, ""},
		{"a bootstrap kubeconfig, which always wins", disk{bootstrap: true}, nil, nil, false, "the kubeconfig's"},
		{"a bootstrap kubeconfig that is damaged, which a person must mend", disk{badBootstrap: true}, nil, nil, false, ""},
		{"a discovery file says where", disk{}, discoveryFile, nil, false, there.Server},
		{"a discovery file whose CA is not pinned", disk{}, func(f *finder) { discoveryFile(f); otherHash(f) }, nil, false, ""},
		{"it is known", disk{}, nil, known(0, ""), false, there.Server},
		{"it is known of another token", disk{}, nil, func(f *finder) {
			known(0, "")(f)
			f.on.write(t, f.cfg.DiscoveryTokenFile, []byte("zzzzzz.0123456789abcdef"))
		}, true, ""},
		{"it is known, and nothing has answered there for a while", disk{}, nil, known(discoverAgain-time.Second, rotate.NoAnswer), false, there.Server},
		{"it is known, and nothing has answered there for ten minutes", disk{}, nil, known(discoverAgain, rotate.NoAnswer), true, there.Server},
		{"it is known, and the token is refused there", disk{}, nil, known(time.Hour, rotate.Unauthorized), false, there.Server},
		{"it is known, and there is an identity", joined, nil, known(time.Hour, rotate.NoAnswer), false, there.Server},
		{"the token was used before a reset", disk{}, nil, func(f *finder) {
			o := f.observer.Observe(f.cfg, noon)
			f.keep.spent = map[string]bool{o.Undiscovered.Fingerprint(): true}
		}, false, ""},
	} {
		var changes []func(*finder)
		if c.change != nil {
			changes = append(changes, c.change)
		}
		f := newFinder(t, m, c.disk, changes...)
		if c.memory != nil {
			c.memory(f)
		}
		o := f.observe()
		f.hideSpent(&o) // which is done once the agent has begun
		if asks := f.toDiscover(o) != nil; asks != c.asks {
			t.Errorf("%s: asks %t, expected %t (%v)", c.name, asks, c.asks, o.BootstrapErr)
		}
		server := ""
		if o.Bootstrap != nil {
			server = o.Bootstrap.Endpoint.Server
		}
		if c.server == "the kubeconfig's" {
			c.server = m.endpoint.Server
		}
		if server != c.server {
			t.Errorf("%s: the credential leads to %q, expected %q", c.name, server, c.server)
		}
		if o.Bootstrap != nil && o.Undiscovered != nil {
			t.Errorf("%s: it is known and not known", c.name)
		}
	}
}

func TestTheKubeletWaitsForATokenThatMayLeadToAnotherCluster(t *testing.T) {
	t.Parallel()
	m := newMaterial(t)
	joined := disk{client: "good", kubeconfig: true, serving: "placeholder"}
	for _, c := range []struct {
		name    string
		changes []func(*finder)
		started bool
		ready   bool
	}{
		{"no token", []func(*finder){noToken, otherHash}, false, true},
		{"the node's own CA is the one that is looked for", nil, false, true},
		{"another CA is looked for", []func(*finder){otherHash}, false, false},
		{"another CA is looked for, and the kubelet was let go in this boot", []func(*finder){otherHash}, true, true},
		{"another CA is looked for, by a systemd credential", []func(*finder){otherHash, systemdToken}, false, true},
		{"the node has another name than its identity", []func(*finder){renamed}, false, false},
		{"the node has another name, and the kubelet was let go", []func(*finder){renamed}, true, false},
	} {
		f := newFinder(t, m, joined, c.changes...)
		f.stages.started = c.started
		o := f.observe()
		if ready := f.kubeletCanStart(o); ready != c.ready {
			t.Errorf("%s: the kubelet can start: %t, expected %t", c.name, ready, c.ready)
		}
	}
	f := newFinder(t, m, disk{})
	if o := f.observe(); f.nothingToTry(o) {
		t.Error("a token whose cluster is not known yet is something to try")
	}
}

func TestAnotherTokenIsTriedAtOnce(t *testing.T) {
	t.Parallel()
	f := newFinder(t, newMaterial(t), disk{})
	look := func() { f.noticeToken(f.observe()) }
	look()
	f.notDiscovered(&discovery.Error{Reason: discovery.BadSignature, Err: fmt.Errorf("by a test"), Remedy: "mend it"})
	look()
	if f.discovery.retryAt.Before(noon.Add(30*time.Second)) || !strings.Contains(f.discoveryText(), "signature: by a test; mend it") {
		t.Errorf("after a failure it is tried at %s, and said: %s", f.discovery.retryAt, f.discoveryText())
	}
	f.discovery.running, f.discovery.cancel = true, func() {}
	generation := f.discovery.generation
	f.on.write(t, f.cfg.DiscoveryTokenFile, []byte("zzzzzz.0123456789abcdef"))
	f.clock.Step(time.Second) // files are read again when they have changed
	look()
	if m := f.discovery; !m.retryAt.IsZero() || m.trouble != "" || m.running || m.generation == generation {
		t.Errorf("with another token it is tried at %s, running %t, after %q", m.retryAt, m.running, m.trouble)
	}
	f.notDiscovered(&discovery.Error{Reason: discovery.NotSigned, Err: fmt.Errorf("by a test")})
	f.on.write(t, f.cfg.BootstrapKubeconfig, bootstrapKubeconfig("https://192.0.2.9:6443", theCA().pem))
	f.clock.Step(time.Second)
	look()
	if m := f.discovery; !m.retryAt.IsZero() || m.trouble != "" {
		t.Errorf("with a bootstrap kubeconfig it is tried at %s, after %q", m.retryAt, m.trouble)
	}
}

func TestEachReasonHasItsRowOfThePolicy(t *testing.T) {
	t.Parallel()
	for reason, row := range map[discovery.Reason]rotate.Failure{
		discovery.NotSigned: rotate.Unauthorized, discovery.NotPublished: rotate.Unauthorized, discovery.BadSignature: rotate.Forbidden,
		discovery.NotPinned: rotate.Forbidden, discovery.BadClusterInfo: rotate.Forbidden, discovery.Changed: rotate.NoAnswer, "configuration": rotate.Forbidden,
		"unreachable": rotate.NoAnswer, "timeout": rotate.NoAnswer, "tls": rotate.NoAnswer, "clock": rotate.NoAnswer, "redirect": rotate.Forbidden,
		"unauthorized": rotate.Unauthorized, "forbidden": rotate.Forbidden, "throttled": rotate.Throttled, "server-error": rotate.NoAnswer, "bad-answer": rotate.NoAnswer,
	} {
		if is := discoveryFailure(reason); is != row {
			t.Errorf("%s: %q, expected %q", reason, is, row)
		}
	}
	for _, reason := range discovery.Reasons() {
		if !contains(status.Reasons(status.DiscoveryPhase), string(reason)) {
			t.Errorf("no metric counts %s", reason)
		}
	}
}

func contains(all []string, one string) bool {
	return strings.Contains(" "+strings.Join(all, " ")+" ", " "+one+" ")
}

// Whoever answers has proved nothing, and may not have the agent wait for a year, nor fill its log.
func TestNobodyCanSilenceOrFloodAnAgentThatFindsOut(t *testing.T) {
	t.Parallel()
	f := newFinder(t, newMaterial(t), disk{})
	asked := apierrors.NewTooManyRequests("go away", 365*24*3600)
	err := &discovery.Error{Reason: "throttled", Server: "https://192.0.2.1:6443", Err: asked}
	for range 50 {
		f.notDiscovered(err)
		if at := f.discovery.retryAt; at.After(noon.Add(5*time.Minute)) || !at.After(noon) {
			t.Fatalf("it is tried again at %s", at)
		}
	}
	if said := strings.Count(f.log.String(), "\n"); said != 1 {
		t.Errorf("it is said %d times, expected once", said)
	}
	f.log.Reset()
	f.notDiscovered(&discovery.Error{Reason: "cluster-info", Err: fmt.Errorf("%s\x1b[2J\n\r\u0007", strings.Repeat("long ", 10000))})
	if text := f.log.String(); len(text) > 4<<10 || strings.ContainsAny(text, "\x1b\r\a") || strings.Count(text, "\n") != 1 {
		t.Errorf("%d bytes are logged: %q", len(text), text[:min(len(text), 300)])
	}
	if text := f.discoveryText(); len(text) > 4<<10 || strings.ContainsAny(text, "\x1b\n\r\a") {
		t.Errorf("%d bytes are said", len(text))
	}
}
