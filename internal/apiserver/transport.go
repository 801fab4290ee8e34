package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// ErrCredential is wrapped by the error of a request that was not sent, because its credential could not be had.
var ErrCredential = errors.New("no credential to send")

// Limits of what is read of one answer, so that a server which never ends fills no memory. A CSR with its certificate has some
// kilobytes; a watch carries a few of them and bookmarks.
const (
	answerLimit = 1 << 20
	watchLimit  = 4 << 20
)

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }

type sentKey struct{}

// noteSending marks a request that has reached the network.
func noteSending(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if sent, ok := request.Context().Value(sentKey{}).(chan struct{}); ok {
			select {
			case sent <- struct{}{}:
			default:
			}
		}
		return next.RoundTrip(request)
	})
}

// tellCredentialErrors tells a failing exec plugin from a failing network, and does not wait for one that hangs: client-go runs
// plugins without regard to the request's context.
func tellCredentialErrors(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		sent := make(chan struct{}, 1)
		ctx := context.WithValue(request.Context(), sentKey{}, sent)
		type answer struct {
			response *http.Response
			err      error
		}
		answers := make(chan answer)
		go func() {
			response, err := next.RoundTrip(request.WithContext(ctx))
			select {
			case answers <- answer{response, err}:
			case <-ctx.Done():
				if err == nil {
					response.Body.Close()
				}
			}
		}()
		select {
		case a := <-answers:
			if a.err != nil && len(sent) == 0 {
				a.err = fmt.Errorf("%w: %w", ErrCredential, a.err)
			}
			return a.response, a.err
		case <-ctx.Done():
			if len(sent) == 0 {
				return nil, fmt.Errorf("%w: %w", ErrCredential, ctx.Err())
			}
			return nil, ctx.Err()
		}
	})
}

func limitAnswers(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err != nil {
			return response, err
		}
		limit := int64(answerLimit)
		if request.URL.Query().Get("watch") != "" {
			limit = watchLimit
		}
		response.Body = limitedBody{io.LimitReader(response.Body, limit), response.Body}
		return response, nil
	})
}

// errBrokenOff is wrapped by the error of a body that ended before its end, which HTTP/1.1 and HTTP/2 word differently.
var errBrokenOff = errors.New("the answer broke off")

type limitedBody struct {
	io.Reader
	io.Closer
}

func (b limitedBody) Read(buffer []byte) (int, error) {
	n, err := b.Reader.Read(buffer)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errBrokenOff, err)
	}
	return n, err
}
