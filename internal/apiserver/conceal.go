package apiserver

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
)

// concealed stands where a token was.
const concealed = "[the credential]"

// conceal crosses the token of a request out of its answer. Whoever answers knows the token, but an error page that repeats the
// request, as some proxies' do, would be quoted in log and STATUS=.
func conceal(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		token, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" {
			return response, err
		}
		if err != nil {
			if text := err.Error(); strings.Contains(text, token) {
				err = errors.New(strings.ReplaceAll(text, token, concealed))
			}
			return response, err
		}
		response.Status = strings.ReplaceAll(response.Status, token, concealed)
		for _, values := range response.Header {
			for i := range values {
				values[i] = strings.ReplaceAll(values[i], token, concealed)
			}
		}
		response.Body = &concealing{ReadCloser: response.Body, token: []byte(token)}
		return response, nil
	})
}

// concealing is a body without the token. It holds nothing back but what may be the token's beginning: events of a watch are told at once.
type concealing struct {
	io.ReadCloser
	token []byte
	// ready may be handed on, held not yet; err comes behind both.
	ready, held []byte
	err         error
}

func (c *concealing) Read(buffer []byte) (int, error) {
	for len(c.ready) == 0 && c.err == nil && len(buffer) > 0 {
		n, err := c.ReadCloser.Read(buffer)
		text := bytes.ReplaceAll(append(c.held, buffer[:n]...), c.token, []byte(concealed))
		hold := 0
		if c.err = err; err == nil {
			hold = c.begun(text)
		}
		c.ready, c.held = text[:len(text)-hold], bytes.Clone(text[len(text)-hold:])
	}
	n := copy(buffer, c.ready)
	if c.ready = c.ready[n:]; len(c.ready) > 0 {
		return n, nil
	}
	return n, c.err
}

// begun is the length of the longest end of text with which the token begins.
func (c *concealing) begun(text []byte) int {
	for length := min(len(text), len(c.token)-1); length > 0; length-- {
		if bytes.HasSuffix(text, c.token[:length]) {
			return length
		}
	}
	return 0
}
