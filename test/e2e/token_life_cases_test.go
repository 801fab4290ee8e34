package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// tokenEnd is a way in which a bootstrap token comes to its end, and how a person takes that back.
type tokenEnd struct {
	name     string
	do, undo func(l *tokenLife)
}

var tokenEnds = []tokenEnd{
	{
		"expired", func(l *tokenLife) {
			l.patch(controlplane.TokenExpiration, controlplane.Expiration(time.Now().Add(-time.Minute)))
		},
		func(l *tokenLife) {
			l.patch(controlplane.TokenExpiration, controlplane.Expiration(time.Now().Add(time.Hour)))
		},
	},
	{"deleted", (*tokenLife).drop, func(l *tokenLife) {
		id, secret, _ := strings.Cut(l.token, ".")
		_, err := l.cp.CreateBootstrapToken(l.t.Context(), controlplane.TokenOptions{ID: id, Secret: secret})
		must(l.t, err)
	}},
	{
		"disabled", func(l *tokenLife) { l.patch(controlplane.TokenAuthentication, "false") },
		func(l *tokenLife) { l.patch(controlplane.TokenAuthentication, "true") },
	},
	{
		"given another secret", func(l *tokenLife) { l.patch(controlplane.TokenSecret, randomText(16)) },
		func(l *tokenLife) {
			_, secret, _ := strings.Cut(l.token, ".")
			l.patch(controlplane.TokenSecret, secret)
		},
	},
}

func (l *tokenLife) patch(field, value string) {
	l.t.Helper()
	must(l.t, l.cp.PatchBootstrapToken(l.t.Context(), l.token, map[string]string{field: value}))
}

func (l *tokenLife) drop() { l.t.Helper(); must(l.t, l.cp.DropBootstrapToken(l.t.Context(), l.token)) }

// tokenMoment is where in a bootstrap the token comes to its end.
type tokenMoment string

const (
	// beforePost: nothing was sent yet.
	beforePost tokenMoment = "before the POST"
	// inWatch: the request waits for approval, which comes when the agent can hear of it again.
	inWatch tokenMoment = "in the WATCH"
	// notHeard: the request is approved and the certificate issued, and the agent has not heard of it.
	notHeard tokenMoment = "approved and not heard of"
	// issuedOnly: the agent has the certificate, and could not use it yet. The token is not needed any more.
	issuedOnly tokenMoment = "issued and not proved"
	// inTime: another credential was there while the request waited, before the token came to its end.
	inTime tokenMoment = "after its successor had come"
)

// tokenMend is a way in which the agent is given a good credential again.
type tokenMend struct {
	name string
	// user writes what belongs to a credential with the token, and returns the user of the bootstrap kubeconfig. nil: the token is
	// inline.
	user func(l *tokenLife, token string) clientcmdapi.AuthInfo
	// discovery: the token is a file of its own, and where the cluster is stands in a discovery file.
	discovery bool
	// renew puts the new token in place; nil: the old one is made good.
	renew func(l *tokenLife, token string)
	// half: a part of the new token is there for a moment, which is no token.
	half bool
	// gone and kept are files of the node's folder when the node has joined.
	gone, kept []string
}

var tokenMends = []tokenMend{
	{name: "the same token", gone: []string{bootstrapName}},
	{name: "a kubeconfig renamed into place", renew: func(l *tokenLife, token string) {
		l.bootstrapVia(l.proxy.URL(), clientcmdapi.AuthInfo{Token: token})
	}, gone: []string{bootstrapName}},
	{name: "a kubeconfig written in place", renew: func(l *tokenLife, token string) {
		content, err := l.cp.Kubeconfig(l.proxy.URL(), clientcmdapi.AuthInfo{Token: token})
		must(l.t, err)
		l.tell(l.bootstrapFile(), content)
		l.overwrite(l.bootstrapFile(), string(content))
	}, gone: []string{bootstrapName}},
	{
		name: "a tokenFile renamed into place", user: tokenFileUser,
		renew: func(l *tokenLife, token string) { l.write(l.path("token"), []byte(token+"\n"), 0o600) },
		gone:  []string{"token"}, kept: []string{bootstrapName},
	},
	{
		name: "a tokenFile written in place", user: tokenFileUser,
		renew: func(l *tokenLife, token string) { l.overwrite(l.path("token"), token) },
		gone:  []string{"token"}, kept: []string{bootstrapName},
	},
	{
		name: "a tokenFile written in two parts", user: tokenFileUser, half: true,
		renew: func(l *tokenLife, token string) {
			l.overwrite(l.path("token"), token[:10])
			l.d.awaitLog("a new bootstrap credential is there")
			l.overwrite(l.path("token"), token)
		},
		gone: []string{"token"}, kept: []string{bootstrapName},
	},
	{
		// as a projected volume and certain secret managers do it
		name: "a tokenFile in a folder that a link leads to",
		user: func(l *tokenLife, token string) clientcmdapi.AuthInfo {
			l.write(l.path("data-1", "token"), []byte(token), 0o600)
			must(l.t, os.Symlink("data-1", l.path("data")))
			must(l.t, os.Symlink(filepath.Join("data", "token"), l.path("token")))
			return clientcmdapi.AuthInfo{TokenFile: "token"}
		},
		renew: func(l *tokenLife, token string) {
			l.write(l.path("data-2", "token"), []byte(token), 0o600)
			must(l.t, os.Symlink("data-2", l.path("data.new")))
			must(l.t, os.Rename(l.path("data.new"), l.path("data")))
		},
		kept: []string{bootstrapName, "token", "data-1/token", "data-2/token"}, // a link that leads elsewhere is not ours to follow
	},
	{name: "the same discovery token", discovery: true, gone: []string{"token"}},
	discoveryTokenRenamed,
	{
		name: "a discovery token written in two parts", discovery: true, gone: []string{"token"},
		renew: func(l *tokenLife, token string) {
			l.overwrite(l.path("token"), token[:10])
			l.d.awaitLog("discovery token " + l.path("token") + " is malformed")
			l.overwrite(l.path("token"), token)
		},
	},
}

var discoveryTokenRenamed = tokenMend{
	name: "a discovery token renamed into place", discovery: true, gone: []string{"token"},
	renew: func(l *tokenLife, token string) { l.write(l.path("token"), []byte(token+"\n"), 0o600) },
}

func tokenFileUser(l *tokenLife, token string) clientcmdapi.AuthInfo {
	l.write(l.path("token"), []byte(token), 0o600)
	return clientcmdapi.AuthInfo{TokenFile: "token"}
}

// overwrite writes a file as it is, which whoever reads it meanwhile sees empty.
func (l *tokenLife) overwrite(path, content string) {
	l.t.Helper()
	must(l.t, os.WriteFile(path, []byte(content), 0o600))
}

// all are all lives of a token there are.
func allTokenLives() []*tokenLife {
	var all []*tokenLife
	for _, end := range tokenEnds {
		for _, mend := range tokenMends {
			for _, at := range []tokenMoment{beforePost, inWatch, notHeard} {
				all = append(all, &tokenLife{end: end, mend: mend, at: at, restarted: len(all)%2 == 1})
			}
		}
		all = append(all, &tokenLife{end: end, mend: tokenMends[0], at: issuedOnly})
	}
	for _, mend := range tokenMends {
		all = append(all, &tokenLife{end: tokenEnds[1], mend: mend, at: inTime})
	}
	for _, restarted := range []bool{false, true} {
		all = append(all, &tokenLife{end: tokenEnds[1], mend: discoveryTokenRenamed, at: inWatch, discovers: true, restarted: restarted})
	}
	return all
}

// someTokenLives has each end and each moment once at least, and most of the mends.
func someTokenLives(random *rand.Rand) []*tokenLife {
	var some []*tokenLife
	all, moment, end := allTokenLives(), random.IntN(3), random.IntN(len(tokenEnds))
	draw := func(fits func(*tokenLife) bool) {
		fitting := slices.DeleteFunc(slices.Clone(all), func(l *tokenLife) bool { return !fits(l) })
		some = append(some, fitting[random.IntN(len(fitting))])
	}
	for i, mend := range random.Perm(len(tokenMends))[:6] {
		at := []tokenMoment{beforePost, inWatch, notHeard}[(i+moment)%3]
		draw(func(l *tokenLife) bool {
			return l.at == at && l.mend.name == tokenMends[mend].name && l.end.name == tokenEnds[(i+end)%len(tokenEnds)].name &&
				!l.discovers
		})
	}
	draw(func(l *tokenLife) bool { return l.at == issuedOnly })
	draw(func(l *tokenLife) bool { return l.discovers })
	draw(func(l *tokenLife) bool { return l.at == inTime && l.mend.renew == nil })
	draw(func(l *tokenLife) bool { return l.at == inTime && l.mend.renew != nil && l.mend.user == nil })
	draw(func(l *tokenLife) bool { return l.at == inTime && l.mend.user != nil }) // a file that nothing but a kubeconfig names
	return some
}

func (l *tokenLife) String() string {
	text := fmt.Sprintf("%s %s, then %s", l.end.name, l.at, l.mend.name)
	if l.at == inTime && l.mend.renew == nil {
		text = "extended in time"
	}
	if l.discovers {
		text += ", by cluster-info"
	}
	if l.restarted {
		text += ", with a restart"
	}
	return text
}
