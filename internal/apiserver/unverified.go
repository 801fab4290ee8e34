package apiserver

import (
	"context"

	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
)

// Unverified reads the public cluster-info of whoever answers, without knowing who that is. It can do nothing else, and no credential can
// be given to it: what it returns is to be judged by signature and pins before anything of it is used.
type Unverified struct{ client *Client }

// NewUnverified returns one for server, an https URL. It sends nothing.
func NewUnverified(server, userAgent string, now clock.PassiveClock) (*Unverified, error) {
	return NewUnverifiedAt(Endpoint{Server: server}, userAgent, now)
}

// NewUnverifiedAt returns one that takes the way to an endpoint, through its proxy and by its name. The endpoint's CA does not matter.
func NewUnverifiedAt(endpoint Endpoint, userAgent string, now clock.PassiveClock) (*Unverified, error) {
	if err := CheckServer(endpoint.Server); err != nil {
		return nil, err
	}
	config := restConfig(endpoint, Credential{}, userAgent)
	config.TLSClientConfig = rest.TLSClientConfig{Insecure: true, ServerName: endpoint.TLSServerName}
	if err := proxied(config, endpoint); err != nil {
		return nil, err
	}
	client, err := clientOf(endpoint, config, now, defaultHealth())
	if err != nil {
		return nil, err
	}
	return &Unverified{client}, nil
}

// ClusterInfo is [Client.ClusterInfo].
func (u *Unverified) ClusterInfo(ctx context.Context) (ClusterInfo, error) {
	return u.client.ClusterInfo(ctx)
}

// Count is [Client.Count].
func (u *Unverified) Count(count func(verb string, code int)) { u.client.Count(count) }

// Close is [Client.Close].
func (u *Unverified) Close() { u.client.Close() }
