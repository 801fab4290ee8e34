package agent

import (
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/status"
)

// Metrics is told of what happens, when it happens, and of how things stand. Its methods are called from several goroutines and must not
// take long. certificate is client or serving.
type Metrics interface {
	// Alive: the loop goes round.
	Alive()
	// Stands is how things stand, after each look at the files.
	Stands(status.Standing)
	// Requested: a certificate signing request was created, or came to its end: issued, denied, failed, deleted, replaced, refused, abandoned.
	Requested(certificate, result string)
	// Waited is how long a request took from its acceptance by the API server to the certificate.
	Waited(certificate string, d time.Duration)
	// Rotated: a certificate took the place of an issued one, or a request for one came to nothing.
	Rotated(certificate string, success bool)
	// Failed: something went wrong; reason is one of [status.Reasons] or counts as another.
	Failed(phase status.Phase, reason string)
	// Called: a request to the API server was answered, or not (code 0).
	Called(verb string, code int)
}
