package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// api returns a client of which every request is counted.
func (a *Agent) api(endpoint apiserver.Endpoint, credential apiserver.Credential) (*apiserver.Client, error) {
	api, err := apiserver.New(endpoint, credential, a.UserAgent, a.Clock)
	if err == nil {
		api.Count(a.Metrics.Called)
	}
	return api, err
}

// nodeAPI returns a client with the node's own certificate. It is the same, with its connections, until certificate or endpoint
// change; then the old one's are closed.
func (a *Agent) nodeAPI(certificate, key []byte, endpoint apiserver.Endpoint) (*apiserver.Client, error) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s\x00%s\x00%s", leafBytes(certificate), endpoint.Server, endpoint.TLSServerName, endpoint.ProxyURL, endpoint.CA))
	name := hex.EncodeToString(sum[:])
	if a.identity != nil && a.identity.key == name {
		return a.identity.api, nil
	}
	api, err := a.api(endpoint, apiserver.Credential{CertificatePEM: certificate, KeyPEM: key})
	if err != nil {
		return nil, err
	}
	a.disconnect()
	a.identity = &identity{key: name, api: api}
	return api, nil
}

func (a *Agent) disconnect() {
	if a.identity != nil {
		a.identity.api.Close()
	}
}

// noteTime remembers what time it is at the API server, and when that was here.
func (a *Agent) noteTime(api *apiserver.Client) {
	if now, known := api.ServerTime(); known {
		a.noted.server, a.noted.local = now, a.Clock.Now()
	}
}

// askTime hears what time it is at the API server now. What it last said may have been wrong, and nothing else is asked while a
// certificate waits for its time.
func (a *Agent) askTime(ctx context.Context, m *memory, api *apiserver.Client) {
	a.task(ctx, m, func(ctx context.Context) func() {
		api.AskTime(ctx)
		return func() { a.noteTime(api) }
	})
}

func (a *Agent) serverTimeKnown() bool { return !a.noted.local.IsZero() }

// serverTime is now by the API server's clock, as far as it is known. It goes on from what the server said by the time that has
// passed since (Go's monotonic clock): our clock being set right meanwhile must not shift it.
func (a *Agent) serverTime() time.Time {
	if !a.serverTimeKnown() {
		return a.Clock.Now()
	}
	return a.noted.server.Add(a.Clock.Since(a.noted.local))
}

// byOurClock translates a time of the API server's clock, unless it is none.
func (a *Agent) byOurClock(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(a.Clock.Now().Sub(a.serverTime()))
}
