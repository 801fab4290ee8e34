package doctor

import (
	"bytes"
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

// ownEndpoint is about an API server, or a way to it, that runs on this very machine as a static pod: it is there only when the kubelet
// runs, and the kubelet runs only when the node has its identity.
func ownEndpoint(_ context.Context, p *Patient) []Result {
	b := p.Observed.Bootstrap
	if b == nil {
		return nil // bootstrap-kubeconfig says so
	}
	host, port := address(b.Endpoint.Server)
	if !isHere(host) {
		return one(ok("%s is not on this machine", b.Endpoint.Server))
	}
	folder := p.staticPods()
	manifests, mentions := p.manifests(folder, port)
	remedy := "name another URL of the API server in " + b.Path + ", and give the kubelet this one: kubeletServer: " + b.Endpoint.Server
	switch {
	case manifests == 0:
		return one(ok("%s is on this machine, which has no static pods: something else than the kubelet serves it", b.Endpoint.Server))
	case p.Observed.HasIdentity():
		return one(ok("%s is on this machine; the kubelet can serve it, for the node has its identity", b.Endpoint.Server))
	case mentions != "":
		return one(broken("%s is on this machine, and %s serves it: that runs only when the kubelet does, which waits for the node's identity", b.Endpoint.Server, mentions).with(remedy, ""))
	}
	return one(attention("%s is on this machine: if one of the %d static pods in %s serves it, it runs only when the kubelet does, which waits for the node's identity",
		b.Endpoint.Server, manifests, folder).with(remedy, ""))
}

func address(server string) (host, port string) {
	u, err := url.Parse(server)
	if err != nil || apiserver.CheckServer(server) != nil {
		return "", ""
	}
	if port = u.Port(); port == "" {
		port = "443"
	}
	return u.Hostname(), port
}

// isHere says whether a host is this machine, as far as that is known without asking a name server.
func isHere(host string) bool {
	name, _ := os.Hostname()
	if host == "localhost" || host != "" && host == name {
		return true
	}
	ip := net.ParseIP(host)
	if ip == nil {
		return false
	}
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if ours, is := a.(*net.IPNet); is && ours.IP.Equal(ip) {
			return true
		}
	}
	return ip.IsLoopback()
}

var staticPodPath = regexp.MustCompile(`(?m)^\s*"?staticPodPath"?:\s*"?([^"\s,}]+)`)

// staticPods is the folder of the kubelet's static pods: kubeadm's, unless the kubelet's configuration, where most have it, names another.
func (p *Patient) staticPods() string {
	text, err := readSome(p.path("/var/lib/kubelet/config.yaml"), maxUnit)
	if err != nil {
		return "/etc/kubernetes/manifests"
	}
	if found := staticPodPath.FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return "/etc/kubernetes/manifests"
}

// manifests counts the static pods, and finds the one that speaks of a port.
func (p *Patient) manifests(folder, port string) (count int, mentions string) {
	entries, _ := os.ReadDir(p.path(folder))
	speaks := regexp.MustCompile(`(^|[^0-9])` + regexp.QuoteMeta(port) + `($|[^0-9])`)
	for _, entry := range entries {
		text, err := readSome(filepath.Join(p.path(folder), entry.Name()), maxUnit)
		if err != nil || entry.Name()[0] == '.' || !bytes.Contains(text, []byte("Pod")) {
			continue
		}
		count++
		if speaks.Match(text) && mentions == "" {
			mentions = filepath.Join(folder, entry.Name())
		}
	}
	return count, mentions
}
