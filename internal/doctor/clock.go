package doctor

import (
	"context"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// clockChecks are about this machine's time, without asking anybody.
func clockChecks() []Check {
	return []Check{{"time", "Whether something keeps this machine's clock, and it is not behind what was made already; nobody else is asked.", timeKept}}
}

// timekeeping is what the machine itself knows of its clock.
type timekeeping struct {
	unsynchronised bool
	// maxError is the kernel's own estimate.
	maxError time.Duration
	// marked: systemd-timesyncd has set the clock in this boot.
	marked bool
	// contained: the clock is that of the machine that runs this container.
	contained bool
	err       error
}

func timeKept(_ context.Context, p *Patient) []Result {
	if at, what := p.madeLast(); p.Observed.Now.Before(at) {
		return one(broken("this machine's clock says %s, and %s was made at %s: it is behind", date(p.Observed.Now), what, date(at)).
			with("set the clock, "+asRoot, setTime))
	}
	return one(p.timekeeping().judge(p.Observed.Now))
}

const setTime = "timedatectl set-ntp true"

// madeLast is when the latest of the certificates on the disk began to be valid. Signers date them back by minutes, so that a clock
// that is right is never behind them.
func (p *Patient) madeLast() (at time.Time, what string) {
	look := func(leaf *x509.Certificate, name string) {
		if leaf.NotBefore.After(at) {
			at, what = leaf.NotBefore, name
		}
	}
	if pair := p.Observed.Client.Pair; pair != nil {
		look(pair.Leaf, pair.File)
	}
	if pair := p.Observed.Serving.Pair; pair != nil {
		look(pair.Leaf, pair.File)
	}
	cas := parse(p.Observed.ServerCA)
	if b := p.Observed.Bootstrap; b != nil { // all there is on a first boot, on a board without a clock
		cas = append(cas, parse(b.Endpoint.CA)...)
	}
	for _, ca := range cas {
		look(ca, "the cluster's CA")
	}
	return at, what
}

func (p *Patient) timekeeping() timekeeping {
	var k timekeeping
	var timex unix.Timex // with no mode: it only asks
	state, err := unix.Adjtimex(&timex)
	k.unsynchronised, k.err = state == unix.TIME_ERROR || timex.Status&unix.STA_UNSYNC != 0, err
	k.maxError = time.Duration(timex.Maxerror) * time.Microsecond
	k.marked = exists(p.path("/run/systemd/timesync/synchronized"))
	k.contained = exists(p.path("/run/systemd/container")) || exists(p.path("/run/.containerenv")) || exists(p.path("/.dockerenv"))
	return k
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil || !errors.Is(err, fs.ErrNotExist)
}

func (k timekeeping) judge(now time.Time) Result {
	switch {
	case k.err != nil:
		return unknown("the kernel does not say how its clock is kept: %v; it says %s", k.err, date(now)).with("see who keeps it", "timedatectl")
	case !k.unsynchronised:
		return ok("the clock is kept, within %s as the kernel estimates; it says %s", k.maxError.Round(time.Millisecond), date(now))
	case k.marked:
		return ok("systemd-timesyncd has set the clock in this boot; it says %s", date(now))
	case k.contained:
		return unknown("the clock is that of the machine which runs this container; it says %s", date(now)).with("see there who keeps it", "timedatectl")
	}
	return attention("nothing keeps this machine's clock; it says %s, and certificates are good and bad by it", date(now)).
		with("switch on systemd-timesyncd, or install chrony, "+asRoot, setTime)
}
