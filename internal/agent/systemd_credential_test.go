package agent

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/internal/serving"
	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// credentialed is a machine whose unit has a systemd credential with this bootstrap kubeconfig, and that has no file of its own.
func credentialed(t *testing.T, api *apiStandIn, node string, content []byte) *joiner {
	t.Helper()
	j := newJoiner(t, api, node, false)
	j.cfg.Once, j.cfg.Timeout.Duration, j.cfg.Serving = false, 0, string(serving.Off)
	j.cfg.CredentialsDirectory = filepath.Join(j.top, "credentials")
	must(t, os.Mkdir(j.cfg.CredentialsDirectory, 0o700))
	j.write(t, filepath.Join(j.cfg.CredentialsDirectory, kubeconfig.SystemdCredential), content)
	must(t, os.Remove(j.cfg.BootstrapKubeconfig))
	return j
}

// member has the machine's identity made by an earlier boot.
func (j *joiner) member(server string) {
	j.furnish(foundIdentity{age: time.Minute, life: time.Hour, credential: true}, server)
	_ = os.Remove(j.cfg.BootstrapKubeconfig)
}

func (j *joiner) server() string {
	k, err := kubeconfig.LoadKubelet(j.cfg.Kubeconfig)
	must(j.t, err)
	return k.Endpoint.Server
}

func wrongToken(content []byte) []byte {
	return bytes.Replace(content, []byte(token), []byte("zzzzzz.0123456789abcdef"), 1)
}

func TestASystemdCredentialStaysAndIsUsedOnce(t *testing.T) {
	t.Parallel()
	api := newAPIStandIn(t)
	j := credentialed(t, api, "systemd-joins", bootstrapKubeconfig(api.url, api.ca.pem))
	settled := func() bool {
		return j.joinedAnew(api) && strings.Contains(j.log.String(), "it is a systemd credential")
	}
	j.live(settled)
	if !settled() {
		t.Fatalf("it has not joined:\n%s", j.log.String())
	}
	j.log.Reset()
	j.live(func() bool { return strings.Contains(j.log.String(), "it is a systemd credential") }) // the token may be used up by now
	if by := api.requesters(j.node); by != byToken {
		t.Errorf("asked by %q, expected one request by the token", by)
	}
	r := status.Observe(j.cfg, time.Now()).Report(j.cfg)
	if r.Level != status.Well || len(r.BootstrapSecrets) != 1 || filepath.Dir(r.BootstrapSecrets[0]) != j.cfg.CredentialsDirectory {
		t.Errorf("status is %s, credential %q: %+v", r.Level, r.BootstrapSecrets, r.Findings)
	}
}

func TestAFileThatIsPutInPlaceLaterIsUsedInsteadOfASystemdCredential(t *testing.T) {
	t.Parallel()
	api := newAPIStandIn(t)
	good := bootstrapKubeconfig(api.url, api.ca.pem)
	j := credentialed(t, api, "systemd-file", wrongToken(good))
	dropped := false
	j.live(func() bool {
		if !dropped && strings.Contains(j.log.String(), "will try again") {
			j.write(t, j.cfg.BootstrapKubeconfig, good)
			dropped = true
		}
		return j.joinedAnew(api) && !j.exists(j.cfg.BootstrapKubeconfig)
	})
	if !dropped || !j.joinedAnew(api) || j.exists(j.cfg.BootstrapKubeconfig) {
		t.Errorf("dropped %v, joined %v:\n%s", dropped, j.joinedAnew(api), j.log.String())
	}
}

// A file for another cluster means that the node goes there with the next boot. A credential that is there at every boot means nothing
// of the kind: the node may be where it is because a person has put a file in place.
func TestASystemdCredentialTakesNoNodeToAnotherCluster(t *testing.T) {
	t.Parallel()
	api, other := newAPIStandIn(t), newAPIStandInOf(t, newAuthority())
	j := credentialed(t, api, "systemd-other", bootstrapKubeconfig(other.url, other.ca.pem))
	j.member(api.url)
	said := func() bool { return strings.Contains(j.log.String(), "which stays") }
	j.live(said)
	if !said() || !strings.Contains(j.log.String(), j.cfg.BootstrapKubeconfig) {
		t.Errorf("it does not say what to do:\n%s", j.log.String())
	}
	if asked := other.requestsOf(j.node, csr.Client); asked != 0 || j.server() != api.url {
		t.Errorf("%d requests in the other cluster; the kubelet goes to %s", asked, j.server())
	}
	before, _, _ := strings.Cut(j.log.String(), "which stays")
	if !strings.Contains(before, "the kubelet can start") {
		t.Errorf("the kubelet's start waits for the other cluster:\n%s", j.log.String())
	}
}

func TestTheWayToTheClusterIsTheSystemdCredentialsOnlyWhenTheNodesOwnIsOfNoUse(t *testing.T) {
	t.Parallel()
	for name, dead := range map[string]bool{"the node's own way leads there": false, "nobody answers there any more": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api, another := newAPIStandIn(t), newAPIStandIn(t) // of one CA, so of one cluster
			j := credentialed(t, api, "systemd-way", bootstrapKubeconfig(another.url, another.ca.pem))
			j.member(api.url)
			want := api.url
			if dead {
				api.server.Close()
				want = another.url
			}
			settled := func() bool { return strings.Contains(j.log.String(), "it is a systemd credential") }
			j.live(settled)
			if !settled() || j.server() != want || another.requestsOf(j.node, csr.Client) > 0 {
				t.Errorf("the kubelet goes to %s, expected %s:\n%s", j.server(), want, j.log.String())
			}
		})
	}
}

func TestWhatToDoNamesTheFileThatAPersonCanPutInPlace(t *testing.T) {
	api := newAPIStandIn(t)
	j := credentialed(t, api, "systemd-says", []byte("half a kube"))
	s := newSettler(t, j.machine, durable.Disk{})
	defer s.close()
	a := s.agent
	o := a.observe()
	credential := filepath.Join(j.cfg.CredentialsDirectory, kubeconfig.SystemdCredential)
	if text := a.bootstrapLine(o).text; !strings.Contains(text, credential) {
		t.Errorf("what is not usable: %q, expected %s", text, credential)
	}
	if text := a.clientLine(o).text; !strings.Contains(text, "put a bootstrap kubeconfig at "+j.cfg.BootstrapKubeconfig) {
		t.Errorf("what to do: %q", text)
	}
	watched := strings.Join(a.watched(), "\n")
	if !strings.Contains(watched, credential) || !strings.Contains(watched, j.cfg.BootstrapKubeconfig) {
		t.Errorf("watched are\n%s", watched)
	}
}

// Where the unit has a User=, systemd gives it its credentials by an access list, which looks like a group that may read them.
func TestTheModeOfASystemdCredentialIsLeftAlone(t *testing.T) {
	t.Parallel()
	api := newAPIStandIn(t)
	j := credentialed(t, api, "systemd-mode", bootstrapKubeconfig(api.url, api.ca.pem))
	credential := filepath.Join(j.cfg.CredentialsDirectory, kubeconfig.SystemdCredential)
	must(t, os.Chmod(credential, 0o440))
	var touched []durable.Op
	s := newSettler(t, j.machine, durable.Disk{Before: func(op durable.Op) error {
		if op.Path == credential {
			touched = append(touched, op)
		}
		return nil
	}})
	defer s.close()
	s.agent.narrow(s.agent.observe().Bootstrap)
	if len(touched) > 0 || len(s.agent.said) > 0 {
		t.Errorf("touched %+v, said %q", touched, s.agent.said)
	}
}
