package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Access is something that is done with certificate signing requests.
type Access struct {
	// Verb is create, get, watch, …
	Verb string `json:"verb"`
	// Subresource is empty for the objects themselves; nodeclient and selfnodeclient are what kube-controller-manager asks about before
	// it approves (pkg/controller/certificates/approver/sarapprove.go).
	Subresource string `json:"subresource,omitempty"`
}

// May asks the API server (SelfSubjectAccessReview) whether this client may do something with CSRs. Nothing is kept of the question.
// Everybody who is authenticated may ask (ClusterRole system:basic-user); the error is of [ReasonOf]'s kinds.
func (c *Client) May(ctx context.Context, access Access) (bool, error) {
	failed := func(err error) (bool, error) {
		return false, fmt.Errorf("ask %s whether we may %s certificatesigningrequests/%s: %w", c.Endpoint.Server, access.Verb, access.Subresource, err)
	}
	type attributes struct {
		Group    string `json:"group"`
		Version  string `json:"version"`
		Resource string `json:"resource"`
		Access
	}
	question, err := json.Marshal(map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": attributes{"certificates.k8s.io", "*", "certificatesigningrequests", access}},
	})
	if err != nil {
		return failed(err)
	}
	request, ctx, cancel := Once(ctx, c.api.Post().AbsPath("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"))
	defer cancel()
	result := request.SetHeader("Content-Type", "application/json").Body(question).Do(ctx)
	if err := result.Error(); err != nil { // Raw's own does not read the API server's words
		return failed(err)
	}
	body, err := result.Raw()
	if err != nil {
		return failed(err)
	}
	var review struct {
		Kind   string `json:"kind"`
		Status *struct {
			Allowed bool `json:"allowed"`
		} `json:"status"`
	}
	if err := json.Unmarshal(body, &review); err != nil || review.Kind != "SelfSubjectAccessReview" || review.Status == nil {
		return failed(errors.New("the answer is something else"))
	}
	return review.Status.Allowed, nil
}

// BindingsOf returns the names of the ClusterRoleBindings of a ClusterRole, in the API server's order and at most as many as one answer
// has. Seldom anybody but an administrator may read them: then the error's reason is [Forbidden].
func (c *Client) BindingsOf(ctx context.Context, role string) ([]string, error) {
	body, err := c.read(allow(ctx, nodeLimit), "the ClusterRoleBindings", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings")
	if err != nil {
		return nil, err
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
			RoleRef struct {
				Kind string `json:"kind"`
				Name string `json:"name"`
			} `json:"roleRef"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("read the ClusterRoleBindings at %s: the answer is something else", c.Endpoint.Server)
	}
	var names []string
	for _, binding := range list.Items {
		if binding.RoleRef.Kind == "ClusterRole" && binding.RoleRef.Name == role && len(binding.Metadata.Name) <= longestAddress {
			names = append(names, binding.Metadata.Name)
		}
	}
	return names, nil
}

// read sends one GET and returns the answer, JSON of which nothing is known.
func (c *Client) read(ctx context.Context, what, path string) ([]byte, error) {
	request, ctx, cancel := Once(ctx, c.api.Get().AbsPath(path))
	defer cancel()
	result := request.Do(ctx)
	err := result.Error()
	var body []byte
	if err == nil {
		body, err = result.Raw()
	}
	if err != nil {
		return nil, fmt.Errorf("read %s at %s: %w", what, c.Endpoint.Server, err)
	}
	return body, nil
}

// Version asks for the API server's version ("v1.34.1").
func (c *Client) Version(ctx context.Context) (string, error) {
	body, err := c.read(ctx, "the version", "/version")
	if err != nil {
		return "", err
	}
	var version struct {
		GitVersion string `json:"gitVersion"`
	}
	if json.Unmarshal(body, &version) != nil || version.GitVersion == "" || len(version.GitVersion) > longestVersion {
		return "", fmt.Errorf("read the version at %s: the answer is something else", c.Endpoint.Server)
	}
	return version.GitVersion, nil
}

// isMissing says whether the API server itself says that there is no such object; a 404 may be a page of something else.
func isMissing(err error) bool {
	return apierrors.IsNotFound(err) && !apierrors.IsUnexpectedServerError(err)
}
