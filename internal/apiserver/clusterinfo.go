package apiserver

import (
	"context"
	"encoding/json"
	"fmt"
)

// ClusterInfo is the public ConfigMap kube-public/cluster-info: a kubeconfig without a credential, signed with every bootstrap token that
// may sign (kube-controller-manager's bootstrapsigner, usage-bootstrap-signing).
type ClusterInfo struct {
	Kubeconfig string
	// Signatures are detached JWS (RFC 7515 appendix F, HS256) by the ID of the token that made it.
	Signatures map[string]string
}

const signaturePrefix = "jws-kubeconfig-"

// clusterInfoLimit is for a ConfigMap, which holds 1 MiB, with who has set each of its keys. A signature has 142 bytes of that, and clusters
// that grow by themselves have a token for each machine that is on its way.
const clusterInfoLimit = 2 << 20

// ClusterInfo reads it. kubeadm's clusters have one that everybody may read; others answer [NotFound], [Forbidden] or [Unauthorized].
func (c *Client) ClusterInfo(ctx context.Context) (ClusterInfo, error) {
	body, err := c.read(allow(ctx, clusterInfoLimit), "the ConfigMap kube-public/cluster-info", "/api/v1/namespaces/kube-public/configmaps/cluster-info")
	if err != nil {
		return ClusterInfo{}, err
	}
	var object struct {
		Kind string            `json:"kind"`
		Data map[string]string `json:"data"`
	}
	if err := json.Unmarshal(body, &object); err != nil || object.Kind != "ConfigMap" {
		return ClusterInfo{}, fmt.Errorf("read the ConfigMap kube-public/cluster-info at %s: the answer is something else", c.Endpoint.Server)
	}
	info := ClusterInfo{Kubeconfig: object.Data["kubeconfig"], Signatures: map[string]string{}}
	for key, value := range object.Data {
		if len(key) > len(signaturePrefix) && key[:len(signaturePrefix)] == signaturePrefix {
			info.Signatures[key[len(signaturePrefix):]] = value
		}
	}
	return info, nil
}
