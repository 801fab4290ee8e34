package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
	"github.com/bootstrap-agent/bootstrap-agent/test/internal/program"
)

// admin is the person who runs the cluster: kubectl, with the right to do everything.
type admin struct {
	screen  *screen
	cp      *controlplane.ControlPlane
	kubectl string
}

func newAdmin(s *screen, cp *controlplane.ControlPlane) (*admin, error) {
	kubectl, err := controlplane.Program("kubectl")
	return &admin{screen: s, cp: cp, kubectl: kubectl}, err
}

// run shows a kubectl command, runs it, and shows what it says.
func (a *admin) run(ctx context.Context, args ...string) error {
	a.screen.command(append([]string{"kubectl"}, args...)...)
	command := program.Command(ctx, a.kubectl, args...)
	// a HOME of its own: no preferences or caches of whoever looks at the demo
	command.Env = append(os.Environ(), "KUBECONFIG="+a.cp.AdminKubeconfig(), "HOME="+a.cp.Dir())
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(output))
	}
	a.screen.say("%s", output)
	return nil
}

// token is a bootstrap token.
type token struct{ id, secret string }

func newToken() token {
	random := strings.ToLower(rand.Text()) // of a-z and 2-7, as a token may be
	return token{id: random[:6], secret: random[6:22]}
}

func (t token) String() string { return t.id + "." + t.secret }

const tokenManifest = `apiVersion: v1
kind: Secret
type: bootstrap.kubernetes.io/token
metadata: {namespace: kube-system, name: bootstrap-token-%s}
stringData:
  token-id: %[1]s
  token-secret: %s
  expiration: %s
  usage-bootstrap-authentication: "true"
`

// makeToken makes the token's Secret from a file that is gone afterwards, and returns when the API server takes the token.
func (a *admin) makeToken(ctx context.Context, dir string) (token, error) {
	t := newToken()
	file := filepath.Join(dir, "token.yaml")
	manifest := fmt.Sprintf(tokenManifest, t.id, t.secret, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		return t, err
	}
	if err := a.run(ctx, "create", "-f", file); err != nil {
		return t, err
	}
	return t, errors.Join(a.awaitToken(ctx, t), os.Remove(file))
}

// awaitToken waits until the API server has heard of the Secret, or the agent's first request would be one too many to count.
func (a *admin) awaitToken(ctx context.Context, t token) error {
	reviews := a.cp.AdminClient().AuthenticationV1().TokenReviews()
	return await(ctx, "the API server to take the token", func() (bool, error) {
		review, err := reviews.Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: t.String()}}, metav1.CreateOptions{})
		return err == nil && review.Status.Authenticated, err
	})
}

// await looks until done, for half a minute at most.
func await(ctx context.Context, what string, look func() (done bool, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		done, err := look()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}
