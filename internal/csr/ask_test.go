package csr

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const approved, denied, failed = certificatesv1.CertificateApproved, certificatesv1.CertificateDenied, certificatesv1.CertificateFailed

func TestAskSendsOnceAndWaitsForTheEnd(t *testing.T) {
	p := newPending(t, servingWish)
	first := objectOf(p, "uid-1")
	theirs := objectOf(newPending(t, servingWish), "uid-3")
	theirs.Name = p.Name
	bookmark := &object{TypeMeta: first.TypeMeta, ObjectMeta: metav1.ObjectMeta{ResourceVersion: "9"}}
	gone := metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure", Reason: metav1.StatusReasonExpired, Code: http.StatusGone}
	for _, c := range []struct {
		name string
		uid  string
		// there is the object at the start; events are what the watches bring.
		there   *object
		watches []events
		result  Result
		calls   []string
	}{
		{"a fresh request costs one create and one watch", "", nil, []events{{{"MODIFIED", with(first, approved, "PEM")}}}, Issued, []string{"POST", "WATCH 7"}},
		{"bookmarks, and an approval, are not the end", "", nil, []events{{{"BOOKMARK", bookmark}, {"MODIFIED", with(first, approved, "")}, {"MODIFIED", with(first, approved, "PEM")}}}, Issued, []string{"POST", "WATCH 7"}},
		{"a denial", "", nil, []events{{{"MODIFIED", with(first, denied, "")}}}, Denied, []string{"POST", "WATCH 7"}},
		{"a failure", "", nil, []events{{{"MODIFIED", with(first, failed, "")}}}, Failed, []string{"POST", "WATCH 7"}},
		{"a deletion", "", nil, []events{{{"DELETED", first}}}, Deleted, []string{"POST", "WATCH 7"}},
		{"another object under the name", "", nil, []events{{{"ADDED", objectOf(p, "uid-2")}}}, Replaced, []string{"POST", "WATCH 7"}},
		{"a resumed request is read, not sent", "uid-1", first, []events{{{"MODIFIED", with(first, approved, "PEM")}}}, Issued, []string{"GET", "WATCH 7"}},
		{"a resumed request that was answered meanwhile", "uid-1", with(first, approved, "PEM"), nil, Issued, []string{"GET"}},
		{"a resumed request that is gone is not sent again here", "uid-1", nil, nil, Deleted, []string{"GET"}},
		{"a resumed request in whose place another stands", "uid-0", first, nil, Replaced, []string{"GET"}},
		{"a request whose answer was lost is found by its name", "", with(first, approved, "PEM"), nil, Issued, []string{"POST", "GET"}},
		{"somebody else's request under the name", "", theirs, nil, Replaced, []string{"POST", "GET"}},
		{"a watch that the server ends", "", nil, []events{nil, {{"MODIFIED", with(first, denied, "")}}}, Denied, []string{"POST", "WATCH 7", "GET", "WATCH 7"}},
		{"a watch whose version is gone begins anew", "", nil, []events{{{"ERROR", gone}}, {{"MODIFIED", with(first, denied, "")}}}, Denied, []string{"POST", "WATCH 7", "GET", "WATCH 0"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStandIn(t)
			s.there, s.watches = c.there, scripts(c.watches)
			mine := *p
			mine.UID = c.uid
			outcome, err := s.asker(t, &mine).Ask(t.Context(), &mine)
			must(t, err)
			if outcome.Result != c.result || (string(outcome.CertificatePEM) == "PEM") != (c.result == Issued) {
				t.Errorf("%s (%s: %s), expected %s", outcome.Result, outcome.Reason, outcome.Message, c.result)
			}
			if !slices.Equal(s.calls, c.calls) {
				t.Errorf("calls %q, expected %q", s.calls, c.calls)
			}
		})
	}
}

type events []struct {
	kind   string
	object any
}

func scripts(all []events) []func(func(string, any)) {
	var scripts []func(func(string, any))
	for _, watch := range all {
		scripts = append(scripts, func(send func(string, any)) {
			for _, event := range watch {
				send(event.kind, event.object)
			}
		})
	}
	return scripts
}

func TestAcceptedHearsOfTheObjectAtOnceAndOfItsApproval(t *testing.T) {
	s := newStandIn(t)
	p := newPending(t, clientWish)
	first := objectOf(p, "uid-1")
	s.watches = scripts([]events{{{"MODIFIED", with(first, approved, "")}, {"MODIFIED", with(first, approved, "PEM")}}})
	asker := s.asker(t, p)
	var heard []bool
	asker.Accepted = func(o *object) { heard = append(heard, Approved(o)) }
	_, err := asker.Ask(t.Context(), p)
	must(t, err)
	if !slices.Equal(heard, []bool{false, true}) {
		t.Errorf("heard of it %d times, approved: %v", len(heard), heard)
	}
}

func TestWithoutTheRightToWatchTheObjectIsReadAtGrowingIntervals(t *testing.T) {
	s := newStandIn(t)
	p := newPending(t, clientWish)
	s.refuse["WATCH"] = apierrors.NewForbidden(certificatesv1.Resource(resource), "", nil)
	asker := s.asker(t, p)
	told := 0
	asker.Unwatchable = func(error) { told++ }
	ctx, cancel := context.WithCancel(t.Context())
	begin := s.clock.Now()
	done := make(chan error)
	go func() { _, err := asker.Ask(ctx, p); done <- err }()
	for s.clock.Since(begin) < 5*time.Minute { // by its own clock
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("no error when the waiting was broken off")
	}
	reads := 0
	for _, call := range s.calls {
		if call == "GET" {
			reads++
		}
	}
	// 2, 4, 8, 16, then every 30 s, each up to a quarter longer
	if told != 1 || reads < 8 || reads > 14 || strings.Count(strings.Join(s.calls, " "), "WATCH") != 1 {
		t.Errorf("said %d times that it cannot watch; calls in 5 minutes: %q", told, s.calls)
	}
}

func TestAnErrorOfTheServerEndsTheAttemptAndNothingIsRepeatedHere(t *testing.T) {
	for _, c := range []struct {
		uid, call string
	}{{"", "POST"}, {"uid-1", "GET"}} {
		s := newStandIn(t)
		p := newPending(t, clientWish)
		p.UID = c.uid
		s.refuse[c.call] = apierrors.NewUnauthorized("who are you?")
		_, err := s.asker(t, p).Ask(t.Context(), p)
		if !apierrors.IsUnauthorized(err) || !strings.Contains(err.Error(), p.Name) || !strings.Contains(err.Error(), s.server.URL) {
			t.Errorf("%v, expected what was refused, and where", err)
		}
		if len(s.calls) != 1 {
			t.Errorf("calls %q, expected one: how long to wait is not for this package to say", s.calls)
		}
	}
}
