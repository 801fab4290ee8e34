package doctor

import (
	"context"
	"time"
)

// How far the clocks may be apart. Certificates are valid from 5 minutes before they are signed (kube-controller-manager
// --cluster-signing-*, pkg/controller/certificates/authority), so that a machine farther behind has one that is not valid yet.
const (
	skewSeen    = 30 * time.Second
	skewBreaks  = 5 * time.Minute
	synchronise = "timedatectl set-ntp true && timedatectl timesync-status"
)

func checkServerClock(_ context.Context, p *Patient) []Result {
	return each(p.network.sites, func(site *site) []Result { return one(p.serverClock(site)) })
}

func (p *Patient) serverClock(site *site) Result {
	seen := site.sight
	if seen.Untimely {
		return p.whoseClock(site)
	}
	if seen.Date.IsZero() {
		if down := site.stopped(); down != "" {
			return notLooked(down)
		}
		return unknown("the answer of %s has no Date", site.endpoint.Server).with("compare the clock of this machine with that of the control plane", "date -u")
	}
	skew := skewOf(seen.At, seen.Date)
	text := "this machine's clock and that of " + site.endpoint.Server + " agree"
	if skew != 0 {
		text = "this machine's clock is " + lasts(skew.Abs()) + direction(skew) + site.endpoint.Server
	}
	switch {
	case skew.Abs() >= skewBreaks:
		return say(site.atMost(Broken), "%s: certificates are not valid yet, or not any more", text).with("set the clock that is wrong, and have it synchronised", synchronise)
	case skew.Abs() >= skewSeen:
		return attention("%s", text).with("have the clock that is wrong synchronised", synchronise)
	}
	return ok("%s", text)
}

// skewOf is by how much the local clock is ahead of a Date, which has a resolution of one second.
func skewOf(local, date time.Time) time.Duration {
	if skew := local.Truncate(time.Second).Sub(date); skew.Abs() > time.Second {
		return skew
	}
	return 0
}

func direction(skew time.Duration) string {
	if skew > 0 {
		return " ahead of that of "
	}
	return " behind that of "
}

// whoseClock is for a server whose certificate is not valid by the local clock: its own time says whether that is the clock's fault. It is
// the word of a server that would be trusted but for the time.
func (p *Patient) whoseClock(site *site) Result {
	seen, leaf := site.sight, site.sight.Chain[0]
	if seen.Date.IsZero() {
		return say(site.atMost(Broken), "the certificate of %s is not valid by this machine's clock, %s, and the server does not tell its time", site.endpoint.Server, date(p.Clock.Now())).
			with("set the clock of this machine if it is wrong, or else renew the API server's certificate", synchronise)
	}
	if seen.Date.Before(leaf.NotBefore) || seen.Date.After(leaf.NotAfter) {
		return say(site.atMost(Broken), "the clock of %s says %s, so that its certificate, valid from %s until %s, is not valid there either",
			site.endpoint.Server, date(seen.Date), date(leaf.NotBefore), date(leaf.NotAfter)).
			with("renew the API server's certificate, and restart it; on a kubeadm control plane node", "kubeadm certs renew apiserver")
	}
	skew := skewOf(seen.At, seen.Date)
	return say(site.atMost(Broken), "this machine's clock is %s%s%s, so that the API server's certificate is not valid by it", lasts(skew.Abs()), direction(skew), site.endpoint.Server).
		with("set this machine's clock, and have it synchronised", synchronise)
}
