package e2e

import (
	"os"
	"path/filepath"
	"testing"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
	"github.com/bootstrap-agent/bootstrap-agent/test/tracer"
)

// TestANewCredentialSurvivesTheDeletionOfTheOldOne drops a new kubeconfig in place before each of the agent's system calls on the
// old one, and after the last. It leads to a server where nobody answers, so that it is to stay.
func TestANewCredentialSurvivesTheDeletionOfTheOldOne(t *testing.T) {
	t.Parallel()
	newer := clientcmdapi.AuthInfo{Token: "m4nb6v.9k2jx7wq5zr4hf3t"}
	moments := 1
	for moment := 0; moment <= moments; moment++ {
		n := clientOnly(t)
		n.bootstrap(n.secretToken())
		content, err := n.cp.Kubeconfig("https://127.0.0.1:1", newer)
		must(t, err)
		calls := 0
		trace, err := tracer.Run(n.command(t.Context(), []string{"run", "--once"}, "--serving-wait=1s"), tracer.Kill{}, func(call tracer.Call) {
			if name := filepath.Base(call.On); name != bootstrapName && name != asideName {
				return
			}
			if calls == moment {
				n.write(n.bootstrapFile(), content, 0o600)
			}
			calls++
		})
		must(t, err)
		if code := trace.Status.ExitStatus(); code != 0 {
			t.Fatalf("before call %d: it ended with %d", moment, code)
		}
		if moment == 0 {
			moments = calls
		}
		if calls <= moment { // the disposal has ended
			n.write(n.bootstrapFile(), content, 0o600)
		}
		n.keeps(n.bootstrapFile())
		n.assertJoined()
		n.assertGone(n.path(asideName))
		b, err := kubeconfig.LoadBootstrap(n.bootstrapFile())
		if err != nil || b.Credential.Token != newer.Token {
			t.Errorf("before call %d: the new credential is not there: %v", moment, err)
		}
		text, _ := os.ReadFile(n.bootstrapFile())
		if string(text) != string(content) {
			t.Errorf("before call %d: it is not as it was", moment)
		}
	}
	t.Logf("%d moments", moments+1)
}
