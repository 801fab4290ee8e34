package metrics

import (
	"fmt"
	"net"
	"slices"

	"github.com/coreos/go-systemd/v22/activation"
)

// Inherited returns the sockets that the service manager has opened for this process (sd_listen_fds(3)); none is usual. It takes them out
// of the environment, and no program that is started later gets them: call it once, before any is.
func Inherited() ([]net.Listener, error) {
	sockets, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets of the service manager: %w", err)
	}
	sockets = slices.DeleteFunc(sockets, func(l net.Listener) bool { return l == nil }) // what is no stream socket
	return sockets, nil
}
