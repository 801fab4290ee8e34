package doctor

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/discovery"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// credentialSoon is how long before its end a credential is worth a word: joining, and looking for what is in the way, take their time.
const credentialSoon = time.Hour

func checkBootstrapCredential(_ context.Context, p *Patient) []Result {
	w := p.network.way(false)
	if w == nil {
		return nil
	}
	b := p.Observed.Bootstrap
	switch {
	case b.Credential.Token != "":
		return one(p.tokenForm(w, b.Credential.Token))
	case b.Source == kubeconfig.ExecPlugin:
		return one(ok("an exec plugin gives the credential: %s; where it is needed, doctor runs it as the agent does, but outside of the unit's sandbox", words(b.Credential.Exec.Command)))
	}
	pair, err := certdir.ParsePair(append(append([]byte{}, b.Credential.CertificatePEM...), b.Credential.KeyPEM...))
	if err != nil {
		return one(unknown("it is a client certificate that cannot be read").with("make another bootstrap kubeconfig", ""))
	}
	return one(p.until(w, "it is a client certificate", pair.Leaf.NotAfter))
}

// tokenForm says what kind of token it is, and until when it is good if it says so.
func (p *Patient) tokenForm(w *way, token string) Result {
	if bootstrap, err := discovery.ParseToken(token); err == nil {
		return unknown("it is a bootstrap token with the ID %s; until when it is good stands in its Secret, which the token itself may not read", bootstrap.ID).
			with("an administrator of the cluster sees it (without the secret)", lookAtToken(bootstrap.ID))
	}
	if until, is := expiryOfJWT(token); is {
		return p.until(w, "it is a JSON Web Token", until)
	}
	if id, secret, found := strings.Cut(token, "."); found && !strings.Contains(secret, ".") && len(id) <= 12 && len(secret) <= 32 {
		return say(w.atMost(Attention), "it is neither a bootstrap token nor a JSON Web Token: with %d and %d characters around its dot it looks like a bootstrap token that was miscopied, which has 6 and 16, of a-z and 0-9", len(id), len(secret)).
			with("compare it with the tokens of the cluster", listTokens)
	}
	return ok("it is a static token, or another that does not say until when it is good")
}

func (p *Patient) until(w *way, what string, end time.Time) Result {
	now := p.Clock.Now()
	if seen := w.sight; !seen.Date.IsZero() {
		now = now.Add(seen.Date.Sub(seen.At))
	}
	remedy := "make another bootstrap kubeconfig, and put it at " + p.Config.BootstrapKubeconfig // no discovery token says until when it is good
	switch left := end.Sub(now); {
	case left <= 0:
		return say(w.atMost(Broken), "%s that has expired at %s", what, date(end)).with(remedy, "")
	case left < credentialSoon:
		return attention("%s that expires in %s, at %s", what, lasts(left), date(end)).with(remedy+" unless the node joins before", "")
	}
	return ok("%s, good until %s", what, date(end))
}

// expiryOfJWT reads the claim exp (RFC 7519 4.1.4) of a token that is one. Nothing is verified: it is the holder's own.
func expiryOfJWT(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if err != nil || json.Unmarshal(text, &claims) != nil || claims.Exp <= 0 || claims.Exp > 1<<40 {
		return time.Time{}, false
	}
	return time.Unix(int64(claims.Exp), 0), true
}

const listTokens = "kubectl -n kube-system get secrets --field-selector type=bootstrap.kubernetes.io/token"

// lookAtToken shows a bootstrap token's Secret without its secret.
func lookAtToken(id string) string {
	return fmt.Sprintf(`kubectl -n kube-system get secret bootstrap-token-%s -o go-template='{{range $k, $v := .data}}{{if ne $k "token-secret"}}{{$k}}={{base64decode $v}}{{"\n"}}{{end}}{{end}}'`, id)
}

// refusedToken finds out what it can about a token that is not accepted. A cluster that publishes cluster-info has signed that with each
// of its tokens, so that it can be seen there whether the token is known, with this very secret, without sending it.
func (p *Patient) refusedToken(ctx context.Context, w *way, text string) Result {
	token, err := discovery.ParseToken(w.credential.Token)
	if err != nil {
		return say(w.atMost(Broken), "%s: it is unknown there, or has expired", text).
			with(p.anotherToken()+"; a bootstrap token, on a kubeadm control plane node, is made by", "kubeadm token create")
	}
	id := token.ID
	text = fmt.Sprintf("%s: the bootstrap token with the ID %s", text, id)
	switch known, right := p.signedWith(ctx, w, token); {
	case known && right:
		return say(w.atMost(Broken), "%s is there (it has signed kube-public/cluster-info), and may not be used to log in", text).
			with("have kube-apiserver run with --enable-bootstrap-token-auth=true, and let the token authenticate; an administrator of the cluster",
				fmt.Sprintf(`kubectl -n kube-system patch secret bootstrap-token-%s -p '{"stringData":{"usage-bootstrap-authentication":"true"}}'`, id))
	case known:
		return say(w.atMost(Broken), "%s is there with another secret (by what has signed kube-public/cluster-info): it was miscopied, or made anew", text).
			with("put the right token into "+p.Observed.Bootstrap.Path+"; on a kubeadm control plane node they are listed by", "kubeadm token list")
	}
	return say(w.atMost(Broken), "%s is unknown there, has expired, or may not be used to log in", text).
		with("an administrator of the cluster looks at its Secret: usage-bootstrap-authentication must be true and expiration in the future; if it is gone, make another token "+
			"(kubeadm token create); "+p.anotherToken(), lookAtToken(id))
}

// signedWith says whether cluster-info is signed with a token of this ID, and whether with this secret.
func (p *Patient) signedWith(ctx context.Context, w *way, token discovery.Token) (known, right bool) {
	stranger, err := apiserver.New(w.endpoint, apiserver.Credential{}, p.UserAgent, p.Clock)
	if err != nil {
		return false, false
	}
	defer stranger.Close()
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	info, err := stranger.ClusterInfo(limited)
	if err != nil {
		return false, false
	}
	return token.Signed(info)
}
