package apiserver

import (
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

// How long a connection may be silent. A watch has nothing to say for hours, and so has a server that is gone without a word (a load
// balancer that has failed over, a firewall that has forgotten): without these the kernel would wait for a quarter of an hour and more.
const (
	silence     = 30 * time.Second // then the server is asked for a sign of life
	signOfLife  = 15 * time.Second // which must come within this time; as client-go has both
	idleTimeout = 90 * time.Second // a connection that no request uses is closed
)

// keepAliveProbes is how many questions of TCP's may be unanswered.
const keepAliveProbes = 3

// health is how a dead connection is found out: by pings of HTTP/2, which the server itself must answer, or where HTTP/1.1 is spoken by
// TCP's keep-alive, which its kernel answers, or that of a proxy in front of it. Both take silence and sign together, at most.
//
// TCP_USER_TIMEOUT is not set: it concerns what was sent and not acknowledged, where a request's own time limit comes first; and with it
// the kernel would take one lost probe for the end of a connection.
type health struct {
	silence, sign, idle time.Duration
}

// healthFrom reads the variables by which client-go's health check can be set, in whole seconds. Here they make it faster and never
// slower, and do not switch it off (0): a certificate whose renewal waits for a dead connection would expire. DISABLE_HTTP2, for what
// stands in the way of HTTP/2, is left as client-go has it; the kernel's keep-alive takes over then.
func healthFrom(environment func(string) string) health {
	faster := func(name string, most time.Duration) time.Duration {
		seconds, err := strconv.Atoi(environment(name))
		if err != nil || seconds <= 0 || seconds > int(most.Seconds()) {
			return most
		}
		return time.Duration(seconds) * time.Second
	}
	return health{
		silence: faster("HTTP2_READ_IDLE_TIMEOUT_SECONDS", silence),
		sign:    faster("HTTP2_PING_TIMEOUT_SECONDS", signOfLife),
		idle:    idleTimeout,
	}
}

func defaultHealth() health { return healthFrom(os.Getenv) }

// pings are those of HTTP/2. They have precedence over what utilnet.SetTransportDefaults makes of the environment.
func (h health) pings() *http.HTTP2Config {
	return &http.HTTP2Config{SendPingTimeout: h.silence, PingTimeout: h.sign, WriteByteTimeout: h.sign}
}

// dialer dials connections with TCP's keep-alive. The kernel counts in seconds.
func (h health) dialer() *net.Dialer {
	return &net.Dialer{
		Timeout: dialTimeout,
		KeepAliveConfig: net.KeepAliveConfig{
			Enable: true, Idle: h.silence, Count: keepAliveProbes,
			Interval: max(h.sign/keepAliveProbes-time.Second, time.Second), // its timers are late, that of 30 s by up to 2 s
		},
	}
}
