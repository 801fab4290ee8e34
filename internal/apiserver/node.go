package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ErrNotRegistered is wrapped by the error of a question about a Node that the API server does not have: its kubelet has not been there
// yet, or somebody has deleted it. The error's reason is [NotFound].
var ErrNotRegistered = errors.New("the kubelet has not registered the node yet")

// NodeAddress is one of a Node's status.addresses (core/v1).
type NodeAddress struct {
	// Type is Hostname, InternalIP, ExternalIP, InternalDNS, ExternalDNS, or what a cloud provider makes of it.
	Type string `json:"type"`
	// Address is an IP address or a name, by the type; it may be empty, or not be what the type says: the kubelet passes these over.
	Address string `json:"address"`
}

// Limits of what is believed of a Node: the addresses go into a certificate request, which is kept on the disk. A real one has a few,
// and no name is longer than DNS has them.
const (
	mostAddresses  = 100
	longestAddress = 253
)

// NodeAddresses asks the API server for the addresses of the Node name, in its order; none is no error, for a cloud provider may be late
// with them. The node authorizer answers a node for its own name only. Types are taken as they are; the error is of [ReasonOf]'s kinds.
func (c *Client) NodeAddresses(ctx context.Context, name string) ([]NodeAddress, error) {
	request, ctx, cancel := Once(allow(ctx, nodeLimit), c.api.Get().AbsPath("/api/v1").Resource("nodes").Name(name))
	defer cancel()
	result := request.Do(ctx)
	switch err := result.Error(); { // Raw's own does not read the API server's words
	case apierrors.IsNotFound(err) && !apierrors.IsUnexpectedServerError(err): // which is a page of something else
		return nil, fmt.Errorf("read node %s at %s: %w: %w", name, c.Endpoint.Server, ErrNotRegistered, err)
	case err != nil:
		return nil, fmt.Errorf("read node %s at %s: %w", name, c.Endpoint.Server, err)
	}
	body, err := result.Raw()
	if err != nil {
		return nil, fmt.Errorf("read node %s at %s: %w", name, c.Endpoint.Server, err)
	}
	addresses, err := decodeAddresses(body, name)
	if err != nil {
		return nil, fmt.Errorf("read node %s at %s: %w", name, c.Endpoint.Server, err)
	}
	return addresses, nil
}

// decodeAddresses takes no more of a Node than is needed: its images alone may be a megabyte. It makes the binary 4 KB larger.
func decodeAddresses(body []byte, name string) ([]NodeAddress, error) {
	var node struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Status struct {
			Addresses []NodeAddress `json:"addresses"`
		} `json:"status"`
	}
	if err := json.Unmarshal(body, &node); err != nil {
		return nil, fmt.Errorf("the answer is no object: %w", err)
	}
	if node.Kind != "Node" || node.Metadata.Name != name {
		return nil, errors.New("the answer is something else")
	}
	if len(node.Status.Addresses) > mostAddresses {
		return nil, fmt.Errorf("the answer has %d addresses, and no node has more than %d", len(node.Status.Addresses), mostAddresses)
	}
	for _, address := range node.Status.Addresses {
		if len(address.Address) > longestAddress || len(address.Type) > longestAddress {
			return nil, fmt.Errorf("the answer has an address of %d characters", len(address.Address))
		}
	}
	return node.Status.Addresses, nil
}
