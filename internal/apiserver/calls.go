package apiserver

import (
	"net/http"
	"sync/atomic"
)

// calls tells of each request, once it was answered or was not.
type calls struct {
	count atomic.Pointer[func(verb string, code int)]
}

// Count has count be told of each request from now on: its verb, of which a watch has one of its own, and the status code of the answer,
// 0 if there was none. It is called when the answer begins, from several goroutines.
func (c *Client) Count(count func(verb string, code int)) { c.calls.count.Store(&count) }

func (c *calls) counting(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if count := c.count.Load(); count != nil {
			code := 0
			if err == nil {
				code = response.StatusCode
			}
			(*count)(verb(request), code)
		}
		return response, err
	})
}

func verb(request *http.Request) string {
	if watch := request.URL.Query().Get("watch"); watch == "1" || watch == "true" {
		return "WATCH"
	}
	return request.Method
}
