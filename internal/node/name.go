// Package node is what the agent must know of the machine as the kubelet sees it: the node's name and its addresses.
// It reads and computes; it keeps nothing and asks no API server.
package node

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// ErrNoName says that the machine has no name yet that could become a node name. Waiting may help: cloud-init and DHCP set
// host names late.
var ErrNoName = errors.New("the machine has no usable host name yet")

// Name returns the node name exactly as the kubelet forms it (k8s.io/component-helpers/node/util GetHostname): the override or
// the host name, without surrounding white space, in lower case. Both must agree, since the node authorizer ties every right to
// the name. A name that says nothing ("", "(none)", "localhost…") is [ErrNoName].
func Name(override string) (string, error) {
	name := override
	if name == "" {
		var err error
		if name, err = os.Hostname(); err != nil {
			return "", fmt.Errorf("read the host name: %w", err)
		}
	}
	return clean(name)
}

func clean(name string) (string, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if name == "" || name == "(none)" || strings.HasPrefix(name, "localhost") {
		return "", fmt.Errorf("host name %q: %w; set it (hostnamectl hostname NAME) or give --hostname-override", name, ErrNoName)
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return "", fmt.Errorf("host name %q cannot be a node name: %s", name, problems[0])
	}
	return name, nil
}
