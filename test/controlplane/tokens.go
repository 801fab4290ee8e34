package controlplane

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// User is a user with a static token, there from the start. Each shows one way in which a bootstrap credential can be received.
type User string

const (
	// KubeletBootstrap is in group system:kubelet-bootstrap: what clusters used before bootstrap tokens. Its CSRs are approved.
	KubeletBootstrap User = "kubelet-bootstrap"
	// Unapproved may create, get and watch CSRs, and none of them is approved: a test holds approval back for itself alone.
	Unapproved User = "unapproved"
	// NoWatch may create and get CSRs, but neither watch nor list them. They are not approved.
	NoWatch User = "no-watch"
	// NoWatchApproved is NoWatch with CSRs that are approved.
	NoWatchApproved User = "no-watch-approved"
	// Stranger is known, and has no rights: creating a CSR is answered with 403.
	Stranger User = "stranger"
)

// groups of the users with static tokens; what each may do is in testRBAC and deploy/rbac.
var groups = map[User][]string{
	KubeletBootstrap: {"system:kubelet-bootstrap"},
	Unapproved:       {"test:unapproved"},
	NoWatch:          {"test:no-watch"},
	NoWatchApproved:  {"test:no-watch", "test:approved"},
	Stranger:         {"test:stranger"},
}

type staticTokens map[User]string

func newStaticTokens() staticTokens {
	tokens := staticTokens{}
	for user := range groups {
		tokens[user] = rand.Text()
	}
	return tokens
}

// csv is the content of --token-auth-file: token,user,uid,"groups".
func (s staticTokens) csv() string {
	var lines strings.Builder
	for user, token := range s {
		fmt.Fprintf(&lines, "%s,%s,%s,\"%s\"\n", token, user, user, strings.Join(groups[user], ","))
	}
	return lines.String()
}

// Token is the static token of a user.
func (cp *ControlPlane) Token(user User) string { return cp.staticTokens[user] }

// TokenOptions describe a bootstrap token. The zero value is a good one.
type TokenOptions struct {
	// ID (6 characters) and Secret (16) are of a-z and 0-9; random when empty.
	ID, Secret string
	// TTL is the time until it expires; never when zero, in the past when negative.
	TTL time.Duration
	// Groups besides system:bootstrappers; each must begin with system:bootstrappers: .
	Groups []string
}

// CreateBootstrapToken makes a bootstrap token, "id.secret", and returns when the API server takes it. Its user is
// system:bootstrap:ID. A token with a negative TTL is not waited for: kube-controller-manager deletes it soon.
func (cp *ControlPlane) CreateBootstrapToken(ctx context.Context, options TokenOptions) (string, error) {
	if options.ID == "" {
		options.ID = randomToken(6)
	}
	if options.Secret == "" {
		options.Secret = randomToken(16)
	}
	token := options.ID + "." + options.Secret
	secret := bootstrapSecret(options)
	if _, err := cp.admin.CoreV1().Secrets(secret.Namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return "", fmt.Errorf("create bootstrap token %s: %w", options.ID, err)
	}
	if options.TTL < 0 {
		return token, nil
	}
	return token, cp.awaitToken(ctx, token, true, uncached())
}

// DeleteBootstrapToken deletes the token, "id.secret", and returns when the API server refuses it. That takes 10 s if it was
// used: the API server remembers for so long that a token was good.
func (cp *ControlPlane) DeleteBootstrapToken(ctx context.Context, token string) error {
	if err := cp.DropBootstrapToken(ctx, token); err != nil {
		return err
	}
	return cp.AwaitBootstrapToken(ctx, token, false)
}

// Fields of a bootstrap token's Secret, for [ControlPlane.PatchBootstrapToken].
const (
	// TokenExpiration is when it ends, RFC 3339; see [Expiration].
	TokenExpiration = "expiration"
	// TokenAuthentication is "true" for a token that may be used to authenticate.
	TokenAuthentication = "usage-bootstrap-authentication"
	// TokenSecret is its second half.
	TokenSecret = "token-secret"
)

// Expiration is the value of [TokenExpiration] for a time.
func Expiration(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// PatchBootstrapToken changes fields of the Secret of a token, "id.secret", as kubectl patch secret does: it expires or extends
// the token, switches it off or on, gives it another second half. What the API server has remembered of the token holds for 10 s
// more: [ControlPlane.AwaitBootstrapToken] waits for that.
func (cp *ControlPlane) PatchBootstrapToken(ctx context.Context, token string, fields map[string]string) error {
	id, _, _ := strings.Cut(token, ".")
	patch, err := json.Marshal(map[string]any{"stringData": fields})
	if err != nil {
		return err
	}
	if _, err := cp.admin.CoreV1().Secrets(metav1.NamespaceSystem).Patch(ctx, "bootstrap-token-"+id, types.StrategicMergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("patch bootstrap token %s: %w", id, err)
	}
	return nil
}

// DropBootstrapToken deletes the Secret of a token, "id.secret", and does not wait until the API server has forgotten it, as
// [ControlPlane.DeleteBootstrapToken] does.
func (cp *ControlPlane) DropBootstrapToken(ctx context.Context, token string) error {
	id, _, _ := strings.Cut(token, ".")
	err := cp.admin.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, "bootstrap-token-"+id, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) { // expired tokens are deleted by kube-controller-manager
		return fmt.Errorf("delete bootstrap token %s: %w", id, err)
	}
	return nil
}

// AwaitBootstrapToken waits until the API server accepts a token, "id.secret", or refuses it: its own requests, that is, which
// are answered from what the API server remembers for 10 s.
func (cp *ControlPlane) AwaitBootstrapToken(ctx context.Context, token string, accepted bool) error {
	// The first look must not have an answer remembered that is about to be wrong; the second one goes by what is remembered.
	if err := cp.awaitToken(ctx, token, accepted, uncached()); err != nil {
		return err
	}
	return cp.awaitToken(ctx, token, accepted, nil)
}

// uncached are audiences for a look at a token that neither finds nor leaves anything in the API server's cache, whose
// key they are part of. The cache would make every token of a test outlive its deletion by 10 s.
func uncached() []string { return []string{issuer, rand.Text()} }

// awaitToken asks as the admin what the API server thinks of a token, so that the token's own requests stay countable.
func (cp *ControlPlane) awaitToken(ctx context.Context, token string, accepted bool, audiences []string) error {
	id, _, _ := strings.Cut(token, ".")
	return cp.await(ctx, "bootstrap token "+id, func(ctx context.Context) error {
		review, err := cp.admin.AuthenticationV1().TokenReviews().Create(ctx,
			&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: audiences}}, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if review.Status.Authenticated != accepted {
			return fmt.Errorf("accepted by the API server: %t", review.Status.Authenticated)
		}
		return nil
	})
}

func bootstrapSecret(options TokenOptions) *corev1.Secret {
	data := map[string]string{
		"token-id":                options.ID,
		TokenSecret:               options.Secret,
		TokenAuthentication:       "true",
		"usage-bootstrap-signing": "true",
	}
	if options.TTL != 0 {
		data[TokenExpiration] = Expiration(time.Now().Add(options.TTL))
	}
	if len(options.Groups) > 0 {
		data["auth-extra-groups"] = strings.Join(options.Groups, ",")
	}
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "bootstrap-token-" + options.ID},
		Type:       corev1.SecretTypeBootstrapToken,
		StringData: data,
	}
}

// randomToken is n characters of what rand.Text gives: a subset of a-z and 0-9 in lower case.
func randomToken(n int) string { return strings.ToLower(rand.Text())[:n] }
