package apiserver

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// User is who the API server takes a client for.
type User struct {
	Name   string
	Groups []string
}

// IsNode says whether this is the node of that name: user system:node:NAME in group system:nodes.
func (u User) IsNode(name string) bool {
	return u.Name == "system:node:"+name && (u.Groups == nil || slices.Contains(u.Groups, "system:nodes"))
}

// longestName is what is kept of a user's name, which is said when it is not ours; a node's has at most 265 bytes.
const longestName = 512

// forbiddenUser finds the user in the text of a 403 (apiserver endpoints/handlers/responsewriters/errors.go).
var forbiddenUser = regexp.MustCompile(`User "([^"]+)" cannot `)

// WhoAmI asks the API server (SelfSubjectReview, since 1.28) who this client is. A 403 that names the user answers it too: the
// credential was accepted, only the question was not; Groups is nil then, for they are not said.
func (c *Client) WhoAmI(ctx context.Context) (User, error) {
	request, ctx, cancel := Once(ctx, c.api.Post().AbsPath("/apis/authentication.k8s.io/v1/selfsubjectreviews"))
	defer cancel()
	review := &authenticationv1.SelfSubjectReview{}
	err := request.Body(review).Do(ctx).Into(review)
	if apierrors.IsForbidden(err) {
		if named := forbiddenUser.FindStringSubmatch(err.Error()); named != nil {
			return User{Name: named[1]}, nil
		}
	}
	if err != nil {
		return User{}, fmt.Errorf("ask %s who we are: %w", c.Endpoint.Server, err)
	}
	if review.Status.UserInfo.Username == "" {
		return User{}, fmt.Errorf("ask %s who we are: the answer names nobody", c.Endpoint.Server)
	}
	name := review.Status.UserInfo.Username
	return User{Name: name[:min(len(name), longestName)], Groups: append([]string{}, review.Status.UserInfo.Groups...)}, nil // none is not unknown
}
