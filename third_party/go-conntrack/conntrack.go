// Package conntrack stands in for github.com/mwitkow/go-conntrack, of which the agent runs no line: exporter-toolkit takes two types from
// a package that can also make HTTP clients, and those count their connections with it. The real one brings golang.org/x/net/trace with
// it, whose pages are templates, and with templates the linker keeps every method of every type: 4 MB of program and 3 MB of memory on
// each node. This one has the names that are asked for; its dialer dials and does nothing else. See the replace in go.mod.
package conntrack

import (
	"context"
	"net"
)

// Dial is the DialContext of a [net.Dialer].
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// DialerOpt changes how is dialed.
type DialerOpt func(*Dial)

// DialWithTracing changes nothing.
func DialWithTracing() DialerOpt { return func(*Dial) {} }

// DialWithName changes nothing.
func DialWithName(string) DialerOpt { return func(*Dial) {} }

// DialWithDialContextFunc dials with dial.
func DialWithDialContextFunc(dial Dial) DialerOpt { return func(d *Dial) { *d = dial } }

// NewDialContextFunc returns what dials.
func NewDialContextFunc(options ...DialerOpt) Dial {
	dial := (&net.Dialer{}).DialContext
	for _, option := range options {
		option(&dial)
	}
	return dial
}
