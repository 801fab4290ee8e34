package discovery

import (
	"fmt"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// FromFile keeps of the CA that a discovery file names the certificates that are pinned or chain to one that is; without pins all of it,
// for the file is root's own.
func FromFile(endpoint apiserver.Endpoint, path string, hashes []string, now time.Time) (apiserver.Endpoint, error) {
	pins, err := ParsePins(hashes)
	if err != nil || len(pins) == 0 {
		return endpoint, err
	}
	bundle, err := ParseBundle(endpoint.CA)
	if err != nil {
		return endpoint, fmt.Errorf("discovery file %s: %w", path, err)
	}
	kept, dropped := Trusted(bundle, pins, nil, now)
	if len(kept) == 0 {
		return endpoint, fmt.Errorf("discovery file %s: none of its %d CA certificates is pinned by --discovery-ca-cert-hash: %s", path, len(dropped), known(Strangers(dropped)))
	}
	endpoint.CA = EncodeBundle(kept)
	return endpoint, nil
}
