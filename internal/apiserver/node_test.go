package apiserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// nodeObject is a Node as the API server gives it, with as much of everything else as a test wants.
func nodeObject(name string, images int, addresses ...NodeAddress) string {
	type image struct {
		Names     []string `json:"names"`
		SizeBytes int      `json:"sizeBytes"`
	}
	status := map[string]any{"capacity": map[string]string{"cpu": "2"}, "nodeInfo": map[string]string{"kubeletVersion": "v1.36.3"}}
	if addresses != nil {
		status["addresses"] = addresses
	}
	var list []image
	for i := range images {
		digest := fmt.Sprintf("registry.example.com/team/application-%06d@sha256:%064d", i, i)
		list = append(list, image{[]string{digest, fmt.Sprintf("registry.example.com/team/application-%06d:v1.2.3", i)}, i})
	}
	status["images"] = list
	object, err := json.Marshal(map[string]any{
		"kind": "Node", "apiVersion": "v1", "metadata": map[string]any{"name": name, "uid": "1"}, "spec": map[string]string{"podCIDR": "10.0.0.0/24"}, "status": status,
	})
	if err != nil {
		panic(err) // plain data
	}
	return string(object)
}

func TestTheAddressesOfANodeAreThoseOfItsStatusInTheirOrder(t *testing.T) {
	t.Parallel()
	many := make([]NodeAddress, mostAddresses)
	for i := range many {
		many[i] = NodeAddress{"InternalIP", fmt.Sprintf("192.0.2.%d", i)}
	}
	for name, row := range map[string]struct {
		images    int
		addresses []NodeAddress
		more      int // bytes of nothing
	}{
		"one of each type": {50, []NodeAddress{
			{"InternalIP", "192.0.2.10"}, {"InternalIP", "2001:db8::10"}, {"ExternalIP", "203.0.113.1"}, {"InternalDNS", "a.internal"}, {"ExternalDNS", "a.example.com"}, {"Hostname", "a"},
		}, 0},
		"none yet":                    {0, nil, 0},
		"an empty list":               {0, []NodeAddress{}, 0},
		"an address without a text":   {0, []NodeAddress{{"InternalIP", ""}, {"InternalIP", "192.0.2.10"}}, 0},
		"a type that nobody knows":    {0, []NodeAddress{{"Overlay", "10.1.2.3"}}, 0},
		"the most that there may be":  {0, many, 0},
		"the longest name of DNS":     {0, []NodeAddress{{"InternalDNS", strings.Repeat("a", 253)}}, 0},
		"beside 200 KB of images":     {1200, []NodeAddress{{"InternalIP", "192.0.2.10"}}, 0},
		"beside all that etcd stores": {50, []NodeAddress{{"InternalIP", "192.0.2.10"}}, 3 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := ""
			object := nodeObject("a", row.images, row.addresses...) + strings.Repeat(" ", row.more)
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				asked = r.Method + " " + r.URL.String()
				answer(http.StatusOK, "application/json", object)(w, r)
			})
			got, err := connect(t, endpointOf(server)).NodeAddresses(t.Context(), "a")
			if err != nil || !slices.Equal(got, row.addresses) || asked != "GET /api/v1/nodes/a" {
				t.Errorf("%s of %d KB: got %v, %v", asked, len(object)>>10, got, err)
			}
			t.Logf("a Node of %d KB", len(object)>>10)
		})
	}
}

func TestTheAddressesOfANodeAreNotAnsweredByAnythingElse(t *testing.T) {
	t.Parallel()
	const json200 = "application/json"
	for name, row := range map[string]struct {
		handler       http.HandlerFunc
		want          Reason
		notRegistered bool
	}{
		"there is no such node":        {answer(404, json200, statusBody(404, "NotFound", `,"details":{"name":"a","kind":"nodes"}`)), NotFound, true},
		"404 of a web server":          {answer(404, "text/html", "<h1>not here</h1>"), NotFound, false},
		"the certificate is not taken": {answer(401, json200, statusBody(401, "Unauthorized", "")), Unauthorized, false},
		"another node's":               {answer(403, json200, statusBody(403, "Forbidden", "")), Forbidden, false},
		"too many requests":            {answer(429, "text/plain", "later"), Throttled, false},
		"a failure":                    {answer(500, json200, statusBody(500, "InternalError", "")), ServerError, false},
		"a redirect":                   {redirect(http.StatusTemporaryRedirect, "https://127.0.0.1:1/"), Redirected, false},
		"broken off":                   {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, Unreachable, false},
		"a page":                       {answer(200, "text/html", "<h1>welcome</h1>"), BadAnswer, false},
		"a page that says it was JSON": {answer(200, json200, "<h1>welcome</h1>"), BadAnswer, false},
		"nothing":                      {answer(200, json200, ""), BadAnswer, false},
		"an empty object":              {answer(200, json200, "{}"), BadAnswer, false},
		"a list":                       {answer(200, json200, "[]"), BadAnswer, false},
		"another node":                 {answer(200, json200, nodeObject("b", 0)), BadAnswer, false},
		"a pod of that name":           {answer(200, json200, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a"}}`), BadAnswer, false},
		"a success that is none":       {answer(200, json200, `{"kind":"Status","apiVersion":"v1","status":"Success"}`), BadAnswer, false},
		"half a node":                  {answer(200, json200, nodeObject("a", 5, NodeAddress{"InternalIP", "192.0.2.1"})[:300]), BadAnswer, false},
		"addresses that are none":      {answer(200, json200, `{"kind":"Node","metadata":{"name":"a"},"status":{"addresses":["192.0.2.1"]}}`), BadAnswer, false},
		"an address that never ends":   {answer(200, json200, nodeObject("a", 0, NodeAddress{"InternalDNS", strings.Repeat("a", 254)})), BadAnswer, false},
		"a type that never ends":       {answer(200, json200, nodeObject("a", 0, NodeAddress{strings.Repeat("a", 254), "192.0.2.1"})), BadAnswer, false},
		"more than any node has":       {answer(200, json200, nodeObject("a", 0, slices.Repeat([]NodeAddress{{"InternalIP", "192.0.2.1"}}, 101)...)), BadAnswer, false},
		"more than is read":            {answer(200, json200, nodeObject("a", 0)+strings.Repeat(" ", nodeLimit)), BadAnswer, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := connect(t, endpointOf(serve(t, row.handler))).NodeAddresses(t.Context(), "a")
			assertReason(t, err, row.want)
			if got != nil || errors.Is(err, ErrNotRegistered) != row.notRegistered || !strings.Contains(err.Error(), "read node a at https://") {
				t.Errorf("got %v, not registered: %t; %v", got, errors.Is(err, ErrNotRegistered), err)
			}
		})
	}
}

// What may be long is a Node, and nothing else.
func TestOnlyANodeMayBeLong(t *testing.T) {
	t.Parallel()
	server := serve(t, answer(http.StatusOK, "application/json", nodeObject("node", 2000)))
	assertReason(t, get(t.Context(), connect(t, endpointOf(server))), BadAnswer)
	if err := get(t.Context(), connect(t, endpointOf(server))); !errors.Is(err, errTooLong) {
		t.Errorf("%v", err)
	}
}

// A name that is none leads nowhere else.
func TestANameThatIsNoneIsNotAskedFor(t *testing.T) {
	t.Parallel()
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked for", r.URL) })
	for _, name := range []string{"", "..", ".", "a/b", "../secrets", "a%2fb"} {
		if got, err := connect(t, endpointOf(server)).NodeAddresses(t.Context(), name); err == nil {
			t.Errorf("%q: %v", name, got)
		}
	}
}
