package agent

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
)

// verdict is what becomes of every request in a cluster.
type simVerdict string

const (
	issueAll   simVerdict = "issued"
	denyAll    simVerdict = "denied"
	failAll    simVerdict = "failed"
	answerNone simVerdict = "never approved"
	deleteAll  simVerdict = "deleted" // by somebody, as soon as they see it
)

// outage is a time in which calls are not answered as they should be.
type simOutage struct {
	from, to time.Duration
	// err is what each call ends with, after takes.
	err   error
	takes time.Duration
	// cut is how long a watch that is open when it begins takes to notice.
	cut time.Duration
}

// cluster is the model of API server, approver, signer and clean-up, as all nodes see it.
type simCluster struct {
	verdict simVerdict
	// unaccepted: the API server does not accept what was issued.
	unaccepted bool
	// life is that of a certificate from its issue on; the signer lets it begin 5 minutes earlier (kube-controller-manager).
	life time.Duration
	// ends is when the signer's own certificate does: those that it issues end no later, and after it there are none. 0: never.
	ends   time.Duration
	outage simOutage
	// perSecond is how many calls the API server takes in a second; the others are told to come again in a second (429). 0: all.
	perSecond int
	taken     map[time.Duration]int
}

const backdated = 5 * time.Minute

// The errors that the agent's API client returns.
var (
	errDial = fmt.Errorf("create certificate signing request: %w",
		&url.Error{Op: "Post", URL: "https://api", Err: &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}})
	errNoAnswer = fmt.Errorf("create certificate signing request: %w",
		&url.Error{Op: "Post", URL: "https://api", Err: context.DeadlineExceeded})
	errUnauthorized = fmt.Errorf("create certificate signing request: %w", apierrors.NewUnauthorized("Unauthorized"))
	errThrottled    = fmt.Errorf("create certificate signing request: %w", apierrors.NewTooManyRequests("too many requests", 1))
)

// noConnection is an outage in which nothing listens at the API server's address.
func noConnection(from, to time.Duration) simOutage {
	return simOutage{from: from, to: to, err: errDial, takes: time.Millisecond, cut: 0}
}

// noAnswer is an outage in which the network takes every packet and brings none: the dial ends after 10 s (internal/apiserver), and an open
// connection with the pings of HTTP/2, 30 + 15 s.
func noAnswer(from, to time.Duration) simOutage {
	return simOutage{from: from, to: to, err: errNoAnswer, takes: 10 * time.Second, cut: 45 * time.Second}
}

// noAccess is a time in which the credential is not accepted.
func noAccess(from, to time.Duration) simOutage {
	return simOutage{from: from, to: to, err: errUnauthorized, takes: 10 * time.Millisecond, cut: neverAgain}
}

func (o simOutage) lasts(at time.Duration) bool { return o.from <= at && at < o.to }

// call says how a call ends that is made now, and after how long.
func (c *simCluster) call(n *simNode) (time.Duration, error) {
	at := n.world.at
	if c.outage.lasts(at) {
		return c.outage.takes, c.outage.err
	}
	if c.perSecond > 0 {
		if c.taken == nil {
			c.taken = map[time.Duration]int{}
		}
		second := at.Truncate(time.Second)
		if c.taken[second] >= c.perSecond {
			return 5 * time.Millisecond, errThrottled
		}
		c.taken[second]++
	}
	return n.within(5*time.Millisecond, 50*time.Millisecond), nil
}

// object is a CertificateSigningRequest.
type simObject struct {
	name    string
	uid     string
	created time.Duration
	// ends is when it is issued, denied or failed; gone when it is deleted.
	ends, gone time.Duration
}

// create makes an object, unless there is one under the name; what becomes of it is known then. It says whether it has made one.
func (c *simCluster) create(n *simNode, name string) bool {
	at := n.world.at
	if c.read(n, name) != nil {
		return false
	}
	n.objects++
	o := &simObject{name: name, uid: n.name + "-" + strconv.Itoa(n.objects), created: at, ends: neverAgain, gone: cleaned(at + aDay)}
	soon := at + n.within(100*time.Millisecond, 2*time.Second)
	switch c.verdict {
	case issueAll, denyAll, failAll:
		o.ends, o.gone = soon, cleaned(soon+time.Hour)
	case deleteAll:
		o.gone = soon
	case answerNone:
	}
	if c.ends > 0 && o.ends >= c.ends {
		o.ends, o.gone = neverAgain, cleaned(at+aDay)
	}
	n.object = o
	n.created()
	return true
}

// cleaned is when the clean-up, which looks once an hour, takes what is due (kube-controller-manager's csrcleaner).
func cleaned(due time.Duration) time.Duration { return due.Truncate(time.Hour) + time.Hour }

// read returns the node's object of a name, nil when there is none.
func (c *simCluster) read(n *simNode, name string) *simObject {
	if n.object == nil || n.object.name != name || n.world.at >= n.object.gone {
		return nil
	}
	return n.object
}

// outcome is what an object says now.
func (c *simCluster) outcome(o *simObject, at time.Duration) csr.Result {
	if at < o.ends {
		return csr.Waiting
	}
	return map[simVerdict]csr.Result{issueAll: csr.Issued, denyAll: csr.Denied, failAll: csr.Failed}[c.verdict]
}

// until is when a certificate that is issued now ends.
func (c *simCluster) until(at time.Duration) time.Duration {
	if c.ends > 0 {
		return min(at+c.life, c.ends)
	}
	return at + c.life
}
