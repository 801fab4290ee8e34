package rotate

import (
	"time"
)

// Failure is a kind of failed attempt, as far as it matters for the next one.
type Failure string

// The kinds of failures that have a row in the table.
const (
	NoAnswer     Failure = "no answer"    // unreachable, hanging, closing, 5xx, TLS: the server's trouble
	Throttled    Failure = "throttled"    // 429
	Unauthorized Failure = "unauthorized" // 401
	Forbidden    Failure = "forbidden"    // 403, redirects and other answers that stay the same until a person acts
	Denied       Failure = "denied"       // an approver said no
	Failed       Failure = "failed"       // the signer cannot
	Refused      Failure = "refused"      // what was issued is wrong, or not accepted by the API server
	Deleted      Failure = "deleted"      // the object went before its time
	Unproved     Failure = "unproved"     // the issued certificate is not accepted yet
	NotInWindow  Failure = "not in window"
	Taken        Failure = "taken"         // another machine is a live node of this name
	LocalTrouble Failure = "local trouble" // the disk
)

// Row is one line of the policy: the wait before try n (from 0) is drawn from [Least, min(First·2ⁿ, Last)].
type Row struct {
	Least, First, Last time.Duration
	// NewKey: the request is dead, the next attempt is another one.
	NewKey bool
	Why    string
}

// Policy says, for each failure, when to try again. Kubelets retry a denied request with a new key every 32 s, 112 times an
// hour on every node; a fleet must not.
var Policy = map[Failure]Row{
	NoAnswer:     {0, time.Second, 5 * time.Minute, false, "full jitter, so that a fleet does not come back in step"},
	Throttled:    {time.Second, 2 * time.Second, 5 * time.Minute, false, "Retry-After is a lower bound"},
	Unauthorized: {500 * time.Millisecond, time.Second, 5 * time.Minute, false, "the token's Secret may be a moment late, so fast at first"},
	Forbidden:    {30 * time.Second, 30 * time.Second, 5 * time.Minute, false, "a role binding is missing; a person acts in minutes"},
	Denied:       {15 * time.Minute, 15 * time.Minute, 6 * time.Hour, true, "counted from the denial; the cluster keeps the object for an hour"},
	Failed:       {5 * time.Minute, 5 * time.Minute, 6 * time.Hour, true, "a signer refuses the same request again until its configuration changes"},
	Refused:      {5 * time.Minute, 5 * time.Minute, 6 * time.Hour, true, "as Failed"},
	Deleted:      {time.Minute, time.Minute, time.Hour, false, "the same request again; somebody deleted it on purpose"},
	Unproved:     {30 * time.Second, 30 * time.Second, 5 * time.Minute, false, "API servers may learn of a signer late"},
	NotInWindow:  {30 * time.Second, 30 * time.Second, 30 * time.Second, false, "the certificate becomes valid by itself"},
	Taken:        {30 * time.Second, 30 * time.Second, 5 * time.Minute, false, "a machine that was switched off is not Ready after 40 to 50 s"},
	LocalTrouble: {time.Second, time.Second, time.Minute, false, "a full disk is mended without our knowing"},
}

// GiveUpProof is for how long an issued certificate that the API server does not accept is tried again.
const GiveUpProof = 15 * time.Minute

// OldRequest is the age after which a request that vanished was cleaned up by the cluster (24 h) and nobody meant anything by it.
const OldRequest = 23 * time.Hour

// Wait returns how long to wait before the next attempt after the n-th failure of a kind in a row (the first is 0). jitter is
// in [0, 1); asked is what the server asked for (Retry-After), 0 when it did not. It is capped: a server that asks for a year
// is looked at again within the hour.
func Wait(failure Failure, n int, jitter float64, asked time.Duration) time.Duration {
	row := Policy[failure]
	most := row.Last
	if n < 20 {
		most = min(row.First<<max(n, 0), row.Last) // n may come from a damaged file
	}
	least := row.Least
	if row.NewKey {
		least = most // no jitter: an approver's no is counted from its own time, which differs by node
	}
	wait := least + time.Duration(jitter*float64(max(most-least, 0)))
	return max(wait, min(asked, time.Hour))
}
