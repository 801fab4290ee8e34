package e2e

import (
	"context"
	"math/rand/v2"
	"time"
)

// outages are what can become of the control plane and of the way there. Each lasts as long as it is told, and is mended then.
var outages = map[string]func(c *chaos, lasts time.Duration) error{
	"API server paused": func(c *chaos, lasts time.Duration) error {
		return c.during(lasts, c.cp.PauseAPIServer, c.cp.ResumeAPIServer)
	},
	"API server killed": func(c *chaos, lasts time.Duration) error {
		return c.during(lasts, c.cp.StopAPIServer, c.startAPIServer)
	},
	"API server restarted": func(c *chaos, _ time.Duration) error {
		return c.during(0, c.cp.StopAPIServer, c.startAPIServer)
	},
	"etcd paused": func(c *chaos, lasts time.Duration) error {
		return c.during(lasts, c.cp.PauseEtcd, c.cp.ResumeEtcd)
	},
	"controller manager paused": func(c *chaos, lasts time.Duration) error {
		return c.during(lasts, c.cp.PauseControllerManager, c.cp.ResumeControllerManager)
	},
	"network cut": func(c *chaos, lasts time.Duration) error {
		mend := c.proxy.Cut()
		return c.during(lasts, nothing, func() error { mend(); return nil })
	},
	"network slow": func(c *chaos, lasts time.Duration) error {
		mend := c.proxy.Slow(lasts / 30) // at most a second
		return c.during(lasts, nothing, func() error { mend(); return nil })
	},
	"connections refused": func(c *chaos, lasts time.Duration) error {
		c.proxy.Down()
		return c.during(lasts, nothing, func() error { c.proxy.Pass(); return nil })
	},
	"connections half-open": func(c *chaos, _ time.Duration) error {
		c.proxy.HalfOpen()
		return nil
	},
	"packets of connections dropped": func(c *chaos, _ time.Duration) error {
		_, err := c.proxy.Drop()
		return err
	},
}

func nothing() error { return nil }

// during breaks something, waits, and mends it, also when the chaos ends meanwhile.
func (c *chaos) during(lasts time.Duration, begin, mend func() error) error {
	if err := begin(); err != nil {
		return err
	}
	c.pause(lasts)
	return mend()
}

// startAPIServer waits until it is ready, which on a busy machine takes some seconds.
func (c *chaos) startAPIServer() error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), time.Minute)
	defer cancel()
	return c.cp.StartAPIServer(ctx)
}

// outagesInTurn has one outage after the other, with rests in between.
func (c *chaos) outagesInTurn(chance *rand.Rand) {
	for {
		o := drawOutage(chance)
		if !c.pause(o.rest) {
			return
		}
		c.log("outage", "%s for %s", o, o.lasts.Round(time.Second))
		c.setCalm(false)
		if err := outages[o.what](c, o.lasts); err != nil {
			c.violated("%s: %v", o, err)
		}
		c.setCalm(true)
		c.count(o.what)
	}
}
