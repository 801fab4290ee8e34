package apiserver

import (
	"net/http"
	"testing"
)

const review = `{"kind":"SelfSubjectReview","apiVersion":"authentication.k8s.io/v1","status":{"userInfo":{"username":"system:node:a","groups":["system:nodes","system:authenticated"]}}}`

// forbidden is how the API server words it to somebody without the right.
func forbidden(user string) string {
	return `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"selfsubjectreviews.authentication.k8s.io is forbidden: User \"` + user +
		`\" cannot create resource \"selfsubjectreviews\" in API group \"authentication.k8s.io\" at the cluster scope","reason":"Forbidden","details":{"group":"authentication.k8s.io","kind":"selfsubjectreviews"},"code":403}`
}

func TestWhoAmIIsAnsweredByAReviewOrByARefusalThatNamesTheUser(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		handler  http.HandlerFunc
		node     bool
		wantUser string
	}{
		"the node":                     {answer(201, "application/json", review), true, "system:node:a"},
		"refused, and named":           {answer(403, "application/json", forbidden("system:node:a")), true, "system:node:a"},
		"refused, and somebody else":   {answer(403, "application/json", forbidden("system:anonymous")), false, "system:anonymous"},
		"refused, and another node":    {answer(403, "application/json", forbidden("system:node:b")), false, "system:node:b"},
		"a user with the node's name":  {answer(201, "application/json", `{"status":{"userInfo":{"username":"system:node:a","groups":["system:authenticated"]}}}`), false, "system:node:a"},
		"a user in the node's group":   {answer(201, "application/json", `{"status":{"userInfo":{"username":"admin","groups":["system:nodes"]}}}`), false, "admin"},
		"a user without groups at all": {answer(201, "application/json", `{"status":{"userInfo":{"username":"system:node:a","groups":[]}}}`), false, "system:node:a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, err := connect(t, endpointOf(serve(t, row.handler))).WhoAmI(t.Context())
			if err != nil || user.Name != row.wantUser || user.IsNode("a") != row.node {
				t.Errorf("got %+v, %v; node a: %t", user, err, user.IsNode("a"))
			}
		})
	}
}

func TestWhoAmIIsNotAnsweredByAnythingElse(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    Reason
	}{
		"the certificate is not accepted": {answer(401, "application/json", statusBody(401, "Unauthorized", "")), Unauthorized},
		"refused without a name":          {answer(403, "text/html", "<h1>no</h1>"), Forbidden},
		"an API server before 1.28":       {answer(404, "text/plain", "404 page not found"), NotFound},
		"a failure":                       {answer(500, "application/json", statusBody(500, "InternalError", "")), ServerError},
		"a page":                          {answer(200, "text/html", "<h1>welcome</h1>"), BadAnswer},
		"an object that says nothing":     {answer(200, "application/json", "{}"), BadAnswer},
		"a success that says nothing":     {answer(200, "application/json", `{"kind":"Status","apiVersion":"v1","status":"Success"}`), BadAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, err := connect(t, endpointOf(serve(t, row.handler))).WhoAmI(t.Context())
			if err == nil {
				t.Fatalf("got %+v", user)
			}
			assertReason(t, err, row.want)
		})
	}
}
