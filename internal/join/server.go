package join

import (
	"cmp"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// CheckServer checks the URL at which nodes reach the API server: what the agent takes, and in characters that no text understands as
// something else.
func CheckServer(server string) error {
	if err := apiserver.CheckServer(server); err != nil {
		return err
	}
	if strings.ContainsFunc(server, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'<>\\^`{|}", r) }) {
		return errors.New("server has a character in it that a URL has only percent-encoded; it looks like https://HOST:6443")
	}
	return nil
}

// checkServerName checks a kubeconfig's tls-server-name.
func checkServerName(name string) error {
	if name != "" && len(validation.IsDNS1123Subdomain(strings.ToLower(name))) > 0 && net.ParseIP(name) == nil {
		return errors.New("tls-server-name is neither a DNS name nor an address")
	}
	return nil
}

// OnlyHere says whether a server is one that a machine other than its own does not reach.
func OnlyHere(server string) bool {
	u, err := url.Parse(server)
	if err != nil {
		return false
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	address, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && (address.IsLoopback() || address.IsUnspecified())
}

// hostPort is the server for a node that finds out the rest itself.
func (c Cluster) hostPort() (string, error) {
	u, err := url.Parse(c.Server)
	if err != nil {
		return "", errors.New("server is not a URL")
	}
	switch {
	case strings.Trim(u.Path, "/") != "":
		return "", errors.New("server has a path, and discovery asks at HOST:PORT; leave --discovery out")
	case c.TLSServerName != "":
		return "", errors.New("the kubeconfig has a tls-server-name, and discovery does not know of it; give --server with a name that is in the server's certificate, or leave --discovery out")
	case net.ParseIP(u.Hostname()) == nil && len(validation.IsDNS1123Subdomain(strings.ToLower(u.Hostname()))) > 0:
		return "", errors.New("server's host is neither a DNS name nor an address, and discovery asks at HOST:PORT")
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")), nil
}

// known says whether a node can find the cluster, and tell it from others.
func (c Cluster) known() error {
	if len(c.CA) == 0 {
		return errors.New("there is no CA for a node to verify the server with")
	}
	return c.Check()
}

// Check checks where a cluster is said to be.
func (c Cluster) Check() error {
	return errors.Join(CheckServer(c.Server), checkServerName(c.TLSServerName))
}
