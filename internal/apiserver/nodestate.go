package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
)

// Node is what matters of a Node object (core/v1).
type Node struct {
	// Ready is the status of its condition Ready: True, False, Unknown (its kubelet is silent); empty: there is no such condition yet.
	Ready string
	// Why is the message of that condition, as it came.
	Why string
	// KubeletVersion ("v1.34.1") and MachineID (that of /etc/machine-id) are what its kubelet has said when it was started last.
	KubeletVersion, MachineID string
	Addresses                 []NodeAddress
}

// Node asks the API server for the Node name. The node authorizer answers a node for its own name only. The errors are those of
// [Client.NodeAddresses].
func (c *Client) Node(ctx context.Context, name string) (Node, error) {
	body, err := c.read(allow(ctx, nodeLimit), "node "+name, "/api/v1/nodes/"+url.PathEscape(name))
	if isMissing(err) {
		return Node{}, fmt.Errorf("%w: %w", ErrNotRegistered, err)
	}
	if err != nil {
		return Node{}, err
	}
	node, err := decodeNode(body, name)
	if err != nil {
		return Node{}, fmt.Errorf("read node %s at %s: %w", name, c.Endpoint.Server, err)
	}
	return node, nil
}

func decodeNode(body []byte, name string) (Node, error) {
	var object struct {
		Status struct {
			Conditions []struct {
				Type    string `json:"type"`
				Status  string `json:"status"`
				Message string `json:"message"`
			} `json:"conditions"`
			NodeInfo struct {
				KubeletVersion string `json:"kubeletVersion"`
				MachineID      string `json:"machineID"`
			} `json:"nodeInfo"`
		} `json:"status"`
	}
	addresses, err := decodeAddresses(body, name)
	if err != nil {
		return Node{}, err
	}
	if err := json.Unmarshal(body, &object); err != nil {
		return Node{}, fmt.Errorf("the answer is no Node: %w", err)
	}
	node := Node{KubeletVersion: object.Status.NodeInfo.KubeletVersion, MachineID: object.Status.NodeInfo.MachineID, Addresses: addresses}
	if len(node.KubeletVersion) > longestVersion || len(node.MachineID) > longestAddress {
		return Node{}, errors.New("the answer has a version or machine ID that is too long for one")
	}
	for _, condition := range object.Status.Conditions {
		if condition.Type == "Ready" {
			node.Ready, node.Why = condition.Status, condition.Message
		}
	}
	return node, nil
}
