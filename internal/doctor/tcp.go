package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

func checkTCP(ctx context.Context, p *Patient) []Result {
	return each(p.network.sites, func(site *site) []Result {
		if down := site.stopped(); down != "" {
			return one(notLooked(down))
		}
		return one(p.dialAll(ctx, site))
	})
}

// attempt is a connection to one address.
type attempt struct {
	address string
	took    time.Duration
	err     error
}

// String says what came of it: how long it took, or in which way there was none.
func (a attempt) String() string {
	var timeout net.Error
	switch {
	case a.err == nil:
		return fmt.Sprintf("%s takes connections (%s)", a.address, max(a.took.Round(time.Millisecond), time.Millisecond))
	case errors.Is(a.err, syscall.ECONNREFUSED):
		return a.address + " refuses connections: the machine is there, and nothing listens on that port"
	case a.noRoute(), errors.Is(a.err, syscall.EHOSTUNREACH):
		return a.address + " is unreachable: there is no route to it"
	case errors.Is(a.err, context.DeadlineExceeded), errors.As(a.err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("%s does not answer within %s: a firewall drops what is sent there, or the machine is down", a.address, tcpLimit)
	}
	return a.address + ": " + words(a.err.Error())
}

// noRoute says whether this machine cannot even try, as it has no address of that IP family.
func (a attempt) noRoute() bool {
	return errors.Is(a.err, syscall.ENETUNREACH) || errors.Is(a.err, syscall.EADDRNOTAVAIL)
}

// dialAll connects to each address of a site, and says goodbye at once.
func (p *Patient) dialAll(ctx context.Context, site *site) Result {
	attempts := make([]*attempt, len(site.addresses))
	for i, address := range site.addresses {
		attempts[i] = &attempt{address: address}
	}
	each(attempts, func(a *attempt) []Result {
		p.dial(ctx, a)
		return nil
	})
	var said []string
	var failed *attempt // the first that matters
	failures := 0
	for _, a := range attempts {
		said = append(said, a.String())
		if a.err == nil {
			continue
		}
		failures++
		if failed == nil || failed.noRoute() {
			failed = a
		}
	}
	text := strings.Join(said, "; ")
	switch {
	case failed == nil, failures < len(attempts) && failed.noRoute():
		return ok("%s", text)
	case failures < len(attempts):
		remedy, command := failed.remedy()
		return attention("%s", text).with("one of the addresses costs time whenever it is tried first; "+remedy, command)
	}
	site.stop("there is no connection to %s", site.endpoint.Server)
	return say(site.atMost(Waiting), "%s", text).with(failed.remedy())
}

func (p *Patient) dial(ctx context.Context, a *attempt) {
	limited, cancel := context.WithTimeout(ctx, tcpLimit)
	defer cancel()
	begun := p.Clock.Now()
	connection, err := new(net.Dialer).DialContext(limited, "tcp", a.address)
	if err == nil {
		connection.Close()
	}
	a.took, a.err = p.Clock.Since(begun), err
}

func (a attempt) remedy() (remedy, command string) {
	if errors.Is(a.err, syscall.ECONNREFUSED) {
		return "see that kube-apiserver, or the load balancer in front of it, runs and listens there; on a control plane node", "crictl ps -a --name kube-apiserver"
	}
	host, _, _ := net.SplitHostPort(a.address)
	return "see that the machine is up, and what routes, firewalls and security groups are between here and there; the way from here", "ip route get " + host
}
