package csr

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"

	"github.com/bootstrap-agent/bootstrap-agent/internal/apiserver"
)

const resource = "certificatesigningrequests"

// Pace of waiting. A watch that ends is begun again after a pause, so that an API server which ends them at once is asked at
// most once a second by each node; without the right to watch the object is read at growing intervals.
const (
	rewatchPause = time.Second
	// rewatchSpread is over how long the nodes come back whose watches an API server has ended all at once.
	rewatchSpread = 2 * time.Second
	pollFirst     = 2 * time.Second
	pollLast      = 30 * time.Second
	watchDuration = 8 * time.Minute
	// watchGrace is how much later we end a watch ourselves: behind a proxy that keeps connections to a dead server open, it would
	// be silent for ever. HTTP/2 notices by its pings, HTTP/1.1 has none.
	watchGrace = time.Minute
)

// anyVersion makes a watch begin with the object as the API server knows it. An object that nobody changes keeps a version that
// a restarted API server has no history for: watching from there would end at once, again and again, for as long as nobody
// approves.
const anyVersion = "0"

// Asker sends a request and waits for the answer.
type Asker struct {
	API   *apiserver.Client
	Clock clock.Clock
	// AsNode: the client is the node itself and not a bootstrap credential.
	AsNode bool
	// Accepted is told of the object as soon as the API server has it, and again while it changes without an end.
	Accepted func(object *certificatesv1.CertificateSigningRequest)
	// Unwatchable is told that the object can only be polled.
	Unwatchable func(err error)
}

// Ask sends p, or finds the object that an earlier attempt made, and waits until the request has an end: Issued, Denied, Failed,
// Deleted or Replaced. An error means that the API server could not be asked or did not answer; asking again is safe, whatever
// had been sent. A fresh request costs one POST and one WATCH, a resumed one a GET and a WATCH.
func (a *Asker) Ask(ctx context.Context, p *Pending) (Outcome, error) {
	object, err := a.present(ctx, p)
	if err != nil || object == nil {
		return Outcome{Result: Deleted}, err
	}
	if p.UID != "" && string(object.UID) != p.UID || !p.ours(object, a.AsNode) {
		return replaced(object), nil
	}
	a.Accepted(object)
	return a.wait(ctx, p, object)
}

// present returns the object, creating it unless it is known to have been there; nil when it was there and is gone.
func (a *Asker) present(ctx context.Context, p *Pending) (*certificatesv1.CertificateSigningRequest, error) {
	if p.UID == "" {
		object, err := a.create(ctx, p)
		if !apierrors.IsAlreadyExists(err) {
			return object, err
		}
	}
	object, err := a.get(ctx, p.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return object, err
}

// wait looks at the object until its request has an end.
func (a *Asker) wait(ctx context.Context, p *Pending, object *certificatesv1.CertificateSigningRequest) (Outcome, error) {
	uid, look, told := object.UID, a.watch, Approved(object)
	for poll := pollFirst; ; {
		if object.UID != uid || !p.ours(object, a.AsNode) {
			return replaced(object), nil
		}
		if outcome := outcomeOf(object); outcome.Result != Waiting {
			return outcome, nil
		}
		if Approved(object) != told { // while nobody watched
			told = !told
			a.Accepted(object)
		}
		latest, err := look(ctx, object)
		if apierrors.IsForbidden(err) {
			a.Unwatchable(err)
			look = func(ctx context.Context, object *certificatesv1.CertificateSigningRequest) (*certificatesv1.CertificateSigningRequest, error) {
				pause := poll
				poll = min(poll*2, pollLast)
				return a.again(ctx, object.Name, pause)
			}
			continue
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, errDeleted) {
			// a watch that ended, whatever the reason (410 after a restart of the API server is the usual one): read, and decide
			expired := apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
			latest, err = a.again(ctx, p.Name, rewatchPause)
			if expired && err == nil {
				latest.ResourceVersion = anyVersion
			}
		}
		switch {
		case errors.Is(err, errDeleted), apierrors.IsNotFound(err):
			return Outcome{Result: Deleted}, nil
		case err != nil:
			return Outcome{}, err
		}
		object = latest
	}
}

var (
	// errEnded says that a watch was ended by the server without a word about the request.
	errEnded = errors.New("the watch ended")
	// errDeleted says that a watch has told of the object's end. An answer of 404 to the watch itself does not: it is for a read to say
	// whether the object is there.
	errDeleted = errors.New("the object was deleted")
)

// watch waits for a change from the version that is known, without a list. It returns the object when its request has an end or it
// is not the one that was known, errDeleted when it was deleted, and any other error when it must be read again. Events about other
// objects, which were not asked for, say nothing about this one.
func (a *Asker) watch(ctx context.Context, object *certificatesv1.CertificateSigningRequest) (*certificatesv1.CertificateSigningRequest, error) {
	limited, cancel := context.WithTimeout(ctx, watchDuration+watchGrace)
	defer cancel()
	stream, err := a.API.API().Get().Resource(resource).
		Param("watch", "true").
		Param("fieldSelector", "metadata.name="+object.Name).
		Param("resourceVersion", object.ResourceVersion).
		Param("allowWatchBookmarks", "true").
		Param("timeoutSeconds", strconv.Itoa(int(watchDuration.Seconds()))).
		MaxRetries(0).
		Watch(limited)
	if err != nil {
		return nil, fmt.Errorf("watch certificate signing request %s at %s: %w", object.Name, a.API.Endpoint.Server, err)
	}
	defer stream.Stop()
	approved := Approved(object)
	for event := range stream.ResultChan() {
		if event.Type == watch.Error {
			return nil, apierrors.FromObject(event.Object)
		}
		seen, ok := event.Object.(*certificatesv1.CertificateSigningRequest)
		if !ok || event.Type == watch.Bookmark || a.isObject("watch", seen, object.Name) != nil {
			continue
		}
		if event.Type == watch.Deleted {
			return nil, errDeleted
		}
		if outcome := outcomeOf(seen); outcome.Result != Waiting || seen.UID != object.UID {
			return seen, nil
		}
		if Approved(seen) != approved { // the rest of what may change is of no interest, however often it does
			approved = !approved
			a.Accepted(seen)
		}
	}
	return nil, errors.Join(errEnded, ctx.Err())
}

// again reads the object after a pause with jitter, so that a fleet does not ask in step.
func (a *Asker) again(ctx context.Context, name string, pause time.Duration) (*certificatesv1.CertificateSigningRequest, error) {
	timer := a.Clock.NewTimer(pause + rand.N(max(pause/4, rewatchSpread)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C():
		return a.get(ctx, name)
	}
}

func (a *Asker) create(ctx context.Context, p *Pending) (*certificatesv1.CertificateSigningRequest, error) {
	object := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    p.RequestPEM,
			SignerName: p.Wish.Kind.Signer(),
			Usages:     p.Wish.Usages(),
		},
	}
	if p.Wish.ExpirationSeconds > 0 {
		object.Spec.ExpirationSeconds = &p.Wish.ExpirationSeconds
	}
	request, limited, cancel := apiserver.Once(ctx, a.API.API().Post().Resource(resource))
	defer cancel()
	created := &certificatesv1.CertificateSigningRequest{}
	if err := request.Body(object).Do(limited).Into(created); err != nil {
		return nil, fmt.Errorf("create certificate signing request %s at %s: %w", p.Name, a.API.Endpoint.Server, err)
	}
	return created, a.isObject("create", created, p.Name)
}

func (a *Asker) get(ctx context.Context, name string) (*certificatesv1.CertificateSigningRequest, error) {
	request, limited, cancel := apiserver.Once(ctx, a.API.API().Get().Resource(resource).Name(name))
	defer cancel()
	object := &certificatesv1.CertificateSigningRequest{}
	if err := request.Do(limited).Into(object); err != nil {
		return nil, fmt.Errorf("read certificate signing request %s at %s: %w", name, a.API.Endpoint.Server, err)
	}
	return object, a.isObject("read", object, name)
}

// longestUID is far above a UUID's 36 characters. The UID is kept in the pending file.
const longestUID = 128

// isObject keeps the answer of something that is no API server, a health check's {"status": "ok"} say, from passing for an
// object that is not ours: it decodes into an empty one.
func (a *Asker) isObject(what string, object *certificatesv1.CertificateSigningRequest, name string) error {
	if object.Name != name || object.UID == "" || len(object.UID) > longestUID {
		return fmt.Errorf("%s certificate signing request %s at %s: the answer is something else", what, name, a.API.Endpoint.Server)
	}
	return nil
}

func replaced(object *certificatesv1.CertificateSigningRequest) Outcome {
	return Outcome{
		Result: Replaced,
		Reason: "NotOurs",
		Message: fmt.Sprintf("another certificate signing request stands under the name %s (uid %s, made by %s)",
			object.Name, object.UID, Plain(object.Spec.Username)),
	}
}
