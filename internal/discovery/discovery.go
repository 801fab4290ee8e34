// Package discovery finds out where a cluster is, and which CA is its own, from nothing but the address of an API server, a bootstrap
// token and the hash of the CA's key: it reads the public ConfigMap kube-public/cluster-info, first from whoever answers and then again
// from the server that it names, verified.
//
// Nothing secret is ever sent. What comes back is believed only if the token has signed it (HMAC-SHA256, so that whoever does not know the
// token's secret cannot have made it), and of the CAs in it only those are kept that are pinned or chain to one that is. So who has the
// token alone cannot bring a CA of his own, and who has neither can do nothing but be in the way.
package discovery

import (
	"context"
	"errors"

	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// Wish is what to find out, and by what to judge it.
type Wish struct {
	// Servers are the https URLs at which cluster-info is read, tried in turn.
	Servers []string
	Token   Token
	// Pins are what the cluster's CA is known by; at least one.
	Pins Pins
}

// NewWish reads what settings say: tokens and hashes as people write them. The error quotes no token.
func NewWish(servers []string, token string, hashes []string) (Wish, error) {
	parsed, err := ParseToken(token)
	pins, pinsErr := ParsePins(hashes)
	return Wish{Servers: servers, Token: parsed, Pins: pins}, errors.Join(err, pinsErr)
}

// Found is a cluster.
type Found struct {
	Endpoint apiserver.Endpoint
	// Asked is the server at which it was found.
	Asked string
	// Dropped are the CA certificates of cluster-info that are not trusted.
	Dropped []Stranger
}

// Asker reads cluster-info.
type Asker struct {
	UserAgent string
	Clock     clock.PassiveClock
	// Count is told of each request, as in [apiserver.Client.Count]; nil: nobody is.
	Count func(verb string, code int)
}

// Discover asks one server after the other until one leads to the cluster. The error is an [*Error]: the most telling one of all.
func (a Asker) Discover(ctx context.Context, wish Wish) (Found, error) {
	if len(wish.Pins) == 0 || len(wish.Servers) == 0 {
		return Found{}, &Error{Reason: "configuration", Err: errors.New("there is no server to ask, or no pin to know its CA by")}
	}
	var worst *Error
	for _, server := range wish.Servers {
		found, err := a.at(ctx, server, wish)
		if err == nil {
			return found, nil
		}
		worst = worst.and(err)
	}
	return Found{}, worst
}

// at looks at one server: what it says, whether the token has signed that, whether it names a CA that is pinned, and whether the server
// that it names says the same, verified under that CA.
func (a Asker) at(ctx context.Context, server string, wish Wish) (Found, *Error) {
	first, err := a.readUnverified(ctx, server)
	if err != nil {
		return Found{}, readFailed(server, err)
	}
	if first.Kubeconfig == "" {
		return Found{}, notPublished(server, errors.New("the ConfigMap has no key kubeconfig"))
	}
	if err := wish.signed(server, first); err != nil {
		return Found{}, a.sharpen(ctx, wish, first, err)
	}
	cluster, err := clusterOf(first.Kubeconfig, wish.Pins, a.Clock.Now())
	if err != nil {
		return Found{}, inside(server, err)
	}
	second, err := a.readVerified(ctx, cluster.endpoint)
	if err != nil {
		return Found{}, secondFailed(server, cluster, err)
	}
	if second.Kubeconfig != first.Kubeconfig {
		return Found{}, changed(server, cluster.endpoint.Server)
	}
	return Found{Endpoint: cluster.endpoint, Asked: server, Dropped: cluster.dropped}, nil
}

func (a Asker) readUnverified(ctx context.Context, server string) (apiserver.ClusterInfo, error) {
	return a.readUnverifiedAt(ctx, apiserver.Endpoint{Server: server})
}

func (a Asker) readVerified(ctx context.Context, endpoint apiserver.Endpoint) (apiserver.ClusterInfo, error) {
	info, _, err := a.readAt(ctx, endpoint)
	return info, err
}

// signed says whether the token has signed what a server says.
func (w Wish) signed(server string, info apiserver.ClusterInfo) *Error {
	switch known, right := w.Token.Signed(info); {
	case !known:
		return notSigned(server, w.Token.ID, len(info.Signatures))
	case !right:
		return badSignature(server, w.Token.ID)
	}
	return nil
}

// sharpen tells a token that was miscopied from an answer that was changed on its way: the server that was asked is asked once more,
// verified under what is pinned of the CAs in its answer. Nothing of either is used; above all, wherever the answer leads nobody goes, for
// nobody has vouched for it.
func (a Asker) sharpen(ctx context.Context, wish Wish, first apiserver.ClusterInfo, err *Error) *Error {
	if err.Reason != BadSignature {
		return err
	}
	cluster, failed := clusterOf(first.Kubeconfig, wish.Pins, a.Clock.Now())
	if failed != nil {
		return err.but("nor would it be of use: %w", failed)
	}
	second, failed := a.readVerified(ctx, apiserver.Endpoint{Server: err.Server, CA: cluster.endpoint.CA})
	switch {
	case failed != nil:
		return err.but("who answers there has not proved to be the cluster either: %w", failed)
	case second.Kubeconfig != first.Kubeconfig || wish.signed(err.Server, second) == nil:
		return changed(err.Server, "the same server")
	}
	return miscopied(err.Server, wish.Token.ID)
}
