package e2e

import (
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/bootstrap-agent/bootstrap-agent/internal/join"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// accepts says whether the API server takes a token now, and for whom, without what it remembers of tokens for 10 s: that is kept
// by the audiences that are asked for.
func accepts(t *testing.T, cp *controlplane.ControlPlane, token string) (bool, authenticationv1.UserInfo) {
	t.Helper()
	review, err := cp.AdminClient().AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{"https://kubernetes.default.svc", rand.Text()}},
	}, metav1.CreateOptions{})
	must(t, err)
	return review.Status.Authenticated, review.Status.User
}

// A token of a minute, the shortest that the command makes, is waited for with SOAK; otherwise one of a few seconds, made by the same code.
func TestATokenOfJoinConfigEndsWhenItsSecretSays(t *testing.T) {
	t.Parallel()
	cp, group := shared(t), "system:bootstrappers:ends-when-it-says"
	life := 4 * time.Second
	for !livesUntilItsEnd(t, cp, group, life) { // this machine was too slow to see it live
		if life *= 4; life > 5*time.Minute {
			t.Fatal("it was never taken")
		}
	}
	if os.Getenv("SOAK") == "" {
		return
	}
	c := exec.CommandContext(t.Context(), agentProgram, "join-config", "--ttl=1m", "--group="+group, "--print=secret")
	begin := time.Now()
	made, err := c.Output()
	must(t, err)
	if until := endOf(t, string(made)); until.Before(begin.Add(time.Minute-time.Second)) || until.After(time.Now().Add(time.Minute)) {
		t.Errorf("made between %s and %s for a minute, and it ends at %s", begin, time.Now(), until)
	}
	if !followed(t, cp, string(made), group) {
		t.Error("a token of a minute was never taken")
	}
}

func livesUntilItsEnd(t *testing.T, cp *controlplane.ControlPlane, group string, life time.Duration) bool {
	t.Helper()
	token, err := join.NewToken()
	must(t, err)
	return followed(t, cp, join.Invitation{Token: token, Until: time.Now().Add(life), Groups: []string{group}}.Secret(), group)
}

// secretFields are those of a Secret's manifest.
func secretFields(t *testing.T, manifest string) map[string]string {
	t.Helper()
	var object struct{ StringData map[string]string }
	must(t, yaml.Unmarshal([]byte(manifest), &object))
	return object.StringData
}

func endOf(t *testing.T, manifest string) time.Time {
	t.Helper()
	until, err := time.Parse(time.RFC3339, secretFields(t, manifest)["expiration"])
	must(t, err)
	return until
}

// followed applies a Secret and follows its token until it is refused, which must be at its end and not before; false: it was over when the
// first answer came.
func followed(t *testing.T, cp *controlplane.ControlPlane, manifest, group string) (taken bool) {
	t.Helper()
	id, text := secretFields(t, manifest)["token-id"], secretFields(t, manifest)["token-id"]+"."+secretFields(t, manifest)["token-secret"]
	file := filepath.Join(t.TempDir(), "secret.yaml")
	must(t, os.WriteFile(file, []byte(manifest), 0o600))
	_, err := cp.Kubectl("apply", "-f", file)
	must(t, err)
	for until := endOf(t, manifest); ; time.Sleep(100 * time.Millisecond) {
		asked := time.Now()
		good, user := accepts(t, cp, text)
		switch answered := time.Now(); {
		case good && asked.After(until):
			t.Fatalf("taken at %s, and its Secret says that it ends at %s", asked, until)
		case good:
			taken = true
			if user.Username != "system:bootstrap:"+id || !slices.Contains(user.Groups, group) || !slices.Contains(user.Groups, "system:bootstrappers") {
				t.Fatalf("it is %s in %q", user.Username, user.Groups)
			}
		case answered.After(until):
			return taken
		case taken:
			t.Fatalf("refused at %s, and its Secret says that it ends at %s", answered, until)
		}
	}
}

// TestJoinConfigAsksNobodyAndNeedsNoRights runs it as a user without any, and sees that it makes no socket.
func TestJoinConfigAsksNobodyAndNeedsNoRights(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is not in PATH: apt-get install strace")
	}
	n := newNode(t, nil)
	n.becomeNobody()
	must(t, os.Chown(n.dir, nobody, nobody))
	must(t, os.WriteFile(n.path("ca.crt"), shared(t).CA(), 0o644))
	c := exec.CommandContext(t.Context(), strace, "-f", "-o", n.path("calls"), "-e", "trace=%network,execve",
		n.program, "join-config", "--server=https://api.example.com:6443", "--ca-file="+n.path("ca.crt"), "-o", n.path("a", "out"), "--print=rbac,secret")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	asNobody(c.SysProcAttr)
	r := n.finish(c)
	n.expect(r, 0, "kind: Secret", "good until")
	n.said.Reset() // it was to be printed
	calls, err := os.ReadFile(n.path("calls"))
	must(t, err)
	if strings.Count(string(calls), "execve(") != 1 || strings.Contains(string(calls), "socket(") || strings.Contains(string(calls), "connect(") {
		t.Errorf("it has made a socket, or started a program:\n%.2000s", calls)
	}
	for _, name := range []string{"secret.yaml", "bootstrap.kubeconfig", "user-data.yaml"} {
		info, err := os.Stat(n.path("a", "out", name))
		must(t, err)
		if info.Mode() != 0o600 || info.Sys().(*syscall.Stat_t).Uid != nobody {
			t.Errorf("%s: %s, user %d", name, info.Mode(), info.Sys().(*syscall.Stat_t).Uid)
		}
	}
}
