package csr

import (
	"context"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// Seen is how the object of a request stands, for whoever only looks.
type Seen struct {
	Outcome
	// Since is when the API server accepted it; Approved: only the signer's work is missing.
	Since    time.Time
	Approved bool
}

// Look reads the object of p once, and changes nothing. It is Replaced when another object stands under the name; an object that is not
// there is an error, [apiserver.NotFound].
func Look(ctx context.Context, api *apiserver.Client, p *Pending) (Seen, error) {
	object, err := (&Asker{API: api}).get(ctx, p.Name)
	if err != nil {
		return Seen{}, err
	}
	if p.UID != "" && string(object.UID) != p.UID || !p.ours(object, p.AsNode || p.Wish.Kind == Serving) {
		return Seen{Outcome: replaced(object)}, nil
	}
	return Seen{Outcome: outcomeOf(object), Since: object.CreationTimestamp.Time, Approved: Approved(object)}, nil
}
