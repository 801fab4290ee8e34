package apiserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// ErrCredential is wrapped by the error of a request that was not sent, because its credential could not be had.
var ErrCredential = errors.New("no credential to send")

// Limits of what is read of one answer, so that a server which never ends fills no memory. A CSR with its certificate has some
// kilobytes; a watch carries a few of them and bookmarks. Decoding makes much more of it: three bytes ("{},") are a condition, which
// takes 112.
const (
	answerLimit = 256 << 10
	watchLimit  = 512 << 10
	// nodeLimit is for a Node, with the images that it has (nodeStatusMaxImages may be switched off), annotations and all that was ever
	// set by whom: etcd takes 1.5 MiB of that, which JSON makes longer.
	nodeLimit = 4 << 20
)

// errTooLong is wrapped by the error of an answer that goes on behind its limit.
var errTooLong = errors.New("the answer is longer than any of an API server")

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

// mostConnections is how many connections a request may be tried on. net/http tries again by itself, at once and without end, when a
// server ends the connection before it has begun to answer (HTTP/2: GOAWAY). One that was kept for long may have been closed meanwhile,
// and a server that is going away says so once. Each try is counted by both of net/http's layers.
const mostConnections = 4

// fewConnections ends a request that is passed on from one connection to the next: how long to wait is the caller's to say.
func fewConnections(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		ctx, end := context.WithCancelCause(request.Context()) // otherwise it ends with the request's own, which every caller cancels
		var tried atomic.Int32
		trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
			if tried.Add(1) > mostConnections {
				end(errEndsAll)
			}
		}}
		response, err := next.RoundTrip(request.WithContext(httptrace.WithClientTrace(ctx, trace)))
		if err != nil && errors.Is(context.Cause(ctx), errEndsAll) {
			return nil, fmt.Errorf("%w: %w", errBrokenOff, errEndsAll)
		}
		return response, err
	})
}

var errEndsAll = errors.New("the server ends every connection before it has answered")

type limitKey struct{}

// allow has the answers to requests in this context be longer than others.
func allow(ctx context.Context, limit int64) context.Context {
	return context.WithValue(ctx, limitKey{}, limit)
}

func limitAnswers(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		response, err := next.RoundTrip(request)
		if err != nil {
			return response, err
		}
		limit := int64(answerLimit)
		if larger, ok := request.Context().Value(limitKey{}).(int64); ok {
			limit = larger
		}
		if request.URL.Query().Get("watch") != "" {
			limit = watchLimit
		}
		response.Body = &limitedBody{response.Body, limit}
		return response, nil
	})
}

// errBrokenOff is wrapped by the error of a body that ended before its end, which HTTP/1.1 and HTTP/2 word differently.
var errBrokenOff = errors.New("the answer broke off")

type limitedBody struct {
	io.ReadCloser
	left int64
}

func (b *limitedBody) Read(buffer []byte) (int, error) {
	n, err := b.ReadCloser.Read(buffer[:min(int64(len(buffer)), b.left+1)])
	if b.left -= int64(n); b.left < 0 {
		b.left = 0
		return n - 1, errTooLong
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%w: %w", errBrokenOff, err)
	}
	return n, err
}
