package agent

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
)

// settled is an agent of a node that has everything, and a bootstrap kubeconfig for another server beside it.
func settled(t *testing.T, m *material, withKubeconfig bool) (*settler, *machine) {
	t.Helper()
	s, on := start(t, m, disk{client: "good", older: "missing", clientPending: "none", serving: "issued", servingPending: "none", kubeconfig: withKubeconfig}, durable.Disk{})
	t.Cleanup(s.close)
	on.write(t, on.cfg.BootstrapKubeconfig, bootstrapKubeconfig("https://new.example.com:6443", theCA().pem))
	return s, on
}

func TestABootstrapKubeconfigBesideAnIdentityIsJudgedByItsServersAnswer(t *testing.T) {
	m := newMaterial(t)
	known := apiserver.User{Name: nodeUser, Groups: []string{"system:nodes"}}
	for _, c := range []struct {
		name       string
		user       apiserver.User
		err        error
		kubeconfig bool
		same       bool
		trouble    string
		wait       time.Duration
	}{
		{"the same cluster at another address", known, nil, true, true, "", 0},
		{"the same cluster, and the kubeconfig was lost", known, nil, false, true, "", 0},
		{"a cluster that takes this node for another", apiserver.User{Name: otherUser}, nil, true, false, "takes this node for user", 30 * time.Second},
		{"a cluster that does not know this node", apiserver.User{}, apierrors.NewUnauthorized("by a test"), true, false, "own cluster does not know its identity", 30 * time.Second},
		{"no answer", apiserver.User{}, errors.New("connection refused"), true, false, "connection refused", -1},
	} {
		s, on := settled(t, m, c.kubeconfig)
		o := s.agent.observe()
		before := rememberDisk(t, on)
		s.agent.compared(o.Bootstrap.Fingerprint(), o.Bootstrap.Endpoint, c.user, c.err)
		after := s.agent.observe()
		if same := s.agent.credential.sameCluster == o.Bootstrap.Fingerprint(); same != c.same || !strings.Contains(s.agent.credential.trouble, c.trouble) {
			t.Errorf("%s: same %v, trouble %q", c.name, same, s.agent.credential.trouble)
		}
		if c.same && (after.Kubelet == nil || after.Kubelet.Endpoint.Server != "https://new.example.com:6443" || after.ClientCA == nil || after.ServerCA == nil) {
			t.Errorf("%s: its server was not taken over: %+v, %v", c.name, after.Kubelet, after.KubeletErr)
		}
		if !c.same && rememberDisk(t, on) != before {
			t.Errorf("%s: files were changed", c.name)
		}
		if wait := s.agent.credential.retryAt.Sub(noon); c.wait > 0 && wait != c.wait {
			t.Errorf("%s: asked again after %s, expected %s", c.name, wait, c.wait)
		}
		if step := decideCredential(after, s.agent.credential, false); c.same != (step == dispose) {
			t.Errorf("%s: next %q", c.name, step)
		}
	}
}

// Who may call the kubelet was decided before, perhaps by a person; another way to the same cluster is no reason to change it.
func TestAnotherAddressOfTheClusterDoesNotChangeWhoMayCallTheKubelet(t *testing.T) {
	m := newMaterial(t)
	s, _ := settled(t, m, true)
	chosen := append([]byte("# chosen by a person\n"), theCA().pem...)
	must(t, s.agent.dir.WriteCA(s.agent.dir.ClientCA(), chosen))
	o := s.agent.observe()
	s.agent.compared(o.Bootstrap.Fingerprint(), o.Bootstrap.Endpoint, apiserver.User{Name: nodeUser, Groups: []string{"system:nodes"}}, nil)
	if after := s.agent.observe(); after.Kubelet.Endpoint.Server != "https://new.example.com:6443" || !bytes.Equal(after.ClientCA, chosen) {
		t.Errorf("%s may be called by holders of a certificate of\n%s", after.Kubelet.Endpoint.Server, after.ClientCA)
	}
}

func TestAnAnswerAboutABootstrapKubeconfigThatWasReplacedMeanwhileCountsForNothing(t *testing.T) {
	m := newMaterial(t)
	s, on := settled(t, m, true)
	o := s.agent.observe()
	on.write(t, on.cfg.BootstrapKubeconfig, bootstrapKubeconfig("https://newer.example.com:6443", theCA().pem))
	s.agent.compared(o.Bootstrap.Fingerprint(), o.Bootstrap.Endpoint, apiserver.User{Name: nodeUser}, nil)
	if after := s.agent.observe(); s.agent.credential.sameCluster != "" || after.Kubelet.Endpoint.Server != m.endpoint.Server {
		t.Errorf("taken over: %s", after.Kubelet.Endpoint.Server)
	}
}

// The token is the only way back as long as the kubelet's kubeconfig cannot be read.
func TestTheCredentialStaysWhileTheKubeconfigIsOfNoUse(t *testing.T) {
	m := newMaterial(t)
	s, on := settled(t, m, false)
	o := s.agent.observe()
	must(t, os.Mkdir(on.cfg.Kubeconfig+".d", 0o700))
	must(t, os.Chmod(on.cfg.Kubeconfig+".d", 0o777)) // others could replace what lies there
	s.agent.cfg.Kubeconfig = on.cfg.Kubeconfig + ".d/kubelet.kubeconfig"
	s.agent.compared(o.Bootstrap.Fingerprint(), o.Bootstrap.Endpoint, apiserver.User{Name: nodeUser}, nil)
	after := s.agent.observe()
	if step := decideCredential(after, s.agent.credential, false); step != waitRetry || !strings.Contains(s.agent.credential.trouble, "writable by others") {
		t.Errorf("next %q, trouble %q", step, s.agent.credential.trouble)
	}
}

func TestAKubeconfigThatIsLostWhileTheCredentialIsThereComesBack(t *testing.T) {
	m := newMaterial(t)
	s, on := settled(t, m, true)
	o := s.agent.observe()
	s.agent.credential.sameCluster, s.agent.credential.settled = o.Bootstrap.Fingerprint(), o.Bootstrap.Fingerprint()
	must(t, os.Remove(on.cfg.Kubeconfig))
	if step := decideCredential(s.agent.observe(), s.agent.credential, true); step != rest {
		t.Fatalf("next %q, expected that it is healed, or the client certificate goes too", step)
	}
	s.agent.keep = keepsake{} // as after a restart
	if step := decideCredential(s.agent.observe(), s.agent.credential, true); step != compare {
		t.Fatalf("next %q, expected that its server is asked", step)
	}
	s.agent.compared(o.Bootstrap.Fingerprint(), o.Bootstrap.Endpoint, apiserver.User{Name: nodeUser}, nil)
	if after := s.agent.observe(); !after.HasIdentity() {
		t.Errorf("the kubeconfig is not back: %v", after.KubeletErr)
	}
}

func TestANewCredentialIsTriedAtOnceWithTheSameRequest(t *testing.T) {
	m := newMaterial(t)
	s, p := asking(t, m, "sent", nil)
	a := s.agent
	a.noticeCredential(a.observe())
	a.client.retryAt, a.client.trouble = noon.Add(time.Hour), "unauthorized"
	a.noticeCredential(a.observe())
	if a.client.trouble == "" {
		t.Error("the same credential counts as a new one")
	}
	must(t, os.WriteFile(a.cfg.BootstrapKubeconfig, bootstrapKubeconfig("https://192.0.2.7:6443", theCA().pem), 0o600))
	a.noticeCredential(a.observe())
	if !a.client.retryAt.IsZero() || a.client.trouble != "" {
		t.Errorf("still waiting until %s: %s", a.client.retryAt, a.client.trouble)
	}
	o := a.observe()
	if a.askAsBootstrap(s.ctx, o) != true || s.pending(t).Name != p.Name || s.pending(t).Endpoint.Server != "https://192.0.2.7:6443" || s.pending(t).UID != "" {
		t.Errorf("%s goes to %s, expected the same request to the new server", s.pending(t).Name, s.pending(t).Endpoint.Server)
	}
}

func TestABootstrapKubeconfigThatOthersCanReadIsNarrowed(t *testing.T) {
	m := newMaterial(t)
	s, _ := asking(t, m, "fresh", nil)
	path := s.agent.cfg.BootstrapKubeconfig
	must(t, os.Chmod(path, 0o644))
	s.agent.narrow(s.agent.observe().Bootstrap)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
}

func TestACAThatIsConfiguredLaterCompletesTheIdentity(t *testing.T) {
	m := newMaterial(t)
	s, on := settled(t, m, true)
	a := s.agent
	must(t, os.Remove(a.dir.ClientCA()))
	a.keep = keepsake{} // it was lost while the agent was not there to remember it
	if !a.completeClientCA(a.observe()) || string(a.observe().ClientCA) != string(theCA().pem) {
		t.Error("the kubeconfig's CA, which signed the identity, did not take the place of the lost one")
	}
	must(t, os.Remove(a.dir.ClientCA()))
	a.keep = keepsake{}
	must(t, a.dir.WriteCA(a.dir.ServerCA(), m.realCert))
	if a.completeClientCA(a.observe()) {
		t.Error("a CA that did not sign the identity may call the kubelet")
	}
	a.cfg.KubeletClientCAFile = on.cfg.Kubeconfig + ".ca"
	if a.completeClientCA(a.observe()) || a.client.retryAt.IsZero() {
		t.Error("a file that is not there is not waited for")
	}
	on.write(t, a.cfg.KubeletClientCAFile, theCA().pem)
	s.clock.SetTime(a.client.retryAt)
	if !a.completeClientCA(a.observe()) || string(a.observe().ClientCA) != string(theCA().pem) {
		t.Errorf("%q is there", a.observe().ClientCA)
	}
	if a.completeClientCA(a.observe()) {
		t.Error("it is written again and again")
	}
}

// The disposal itself is kubeconfig's; what follows from it is the agent's.
func TestWhatStaysOfACredentialIsSaidOnceAndLeftAlone(t *testing.T) {
	m := newMaterial(t)
	for _, c := range []struct {
		name   string
		change func(a *Agent, path string) error
		// settled: nothing more is to be done about it; acted: the disk has changed; again is when it is tried once more.
		settled, acted bool
		again          time.Duration
	}{
		{"deleted", func(*Agent, string) error { return nil }, false, true, 0},
		{"it has another name", func(_ *Agent, path string) error { return os.Link(path, path+".2") }, true, false, 0},
		{"it is systemd's", func(a *Agent, path string) error { a.cfg.CredentialsDirectory = filepath.Dir(path); return nil }, true, false, 0},
		{"another one was just put there", func(_ *Agent, path string) error { return os.WriteFile(path, []byte("newer"), 0o600) }, false, true, 0},
		{"the disk does not let it go", func(a *Agent, _ string) error {
			a.Disk.Before = func(op durable.Op) error {
				if op.Call == "fsync-dir" { // which a read-only file system allows
					return nil
				}
				return errors.New("read-only file system")
			}
			return nil
		}, false, false, time.Hour},
	} {
		s, on := settled(t, m, true)
		a := s.agent
		o := a.observe()
		a.credential.sameCluster = o.Bootstrap.Fingerprint()
		must(t, c.change(a, on.cfg.BootstrapKubeconfig))
		acted := a.dispose(o)
		if done := a.credential.settled == o.Bootstrap.Fingerprint(); done != c.settled || acted != c.acted {
			t.Errorf("%s: settled %v, acted %v, expected %v, %v", c.name, done, acted, c.settled, c.acted)
		}
		if waits := !a.credential.retryAt.IsZero(); waits != (c.again > 0) || waits && a.credential.retryAt.Sub(noon) != c.again {
			t.Errorf("%s: again at %s, expected after %s", c.name, a.credential.retryAt, c.again)
		}
	}
}

// An API server that is restarted may know nobody for a moment, each time.
func TestTwoRefusalsWithSomethingElseBetweenThemAreNoLastingOne(t *testing.T) {
	m := newMaterial(t)
	s, _ := settled(t, m, true)
	a := s.agent
	o := a.observe()
	hear := func(err error) {
		a.compared(o.Bootstrap.Fingerprint(), o.Bootstrap.Endpoint, apiserver.User{}, err)
		s.clock.Step(2 * identityRefused)
	}
	hear(apierrors.NewUnauthorized("by a test"))
	hear(errors.New("connection refused"))
	hear(apierrors.NewUnauthorized("by a test"))
	if a.credential.replacesBy != "" {
		t.Error("the identity is to be replaced though its refusal did not last")
	}
	hear(apierrors.NewUnauthorized("by a test"))
	if a.credential.replacesBy == "" {
		t.Error("the identity stays though its refusal has lasted")
	}
}
