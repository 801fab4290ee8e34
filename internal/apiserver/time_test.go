package apiserver

import (
	"net/http"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"
)

func TestTheServersTimeIsThatOfItsLastAnswer(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 29, 1, 59, 59, 700e6, time.UTC)
	for name, row := range map[string]struct {
		date  string
		ahead time.Duration
		known bool
	}{
		"an hour ahead":         {now.Add(time.Hour).Format(http.TimeFormat), time.Hour, true},
		"an hour behind":        {now.Add(-time.Hour).Format(http.TimeFormat), -time.Hour, true},
		"the same":              {now.Format(http.TimeFormat), 0, true},
		"the next second":       {now.Add(time.Second).Format(http.TimeFormat), 0, true}, // the header's resolution, and the way here
		"the second before":     {now.Add(-time.Second).Format(http.TimeFormat), 0, true},
		"a header that is none": {"yesterday", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", row.date)
				http.NotFound(w, r) // an error is an answer too
			})
			clock := clocktesting.NewFakeClock(now)
			client, err := New(endpointOf(server), Credential{Token: testToken}, "", clock)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.Close)
			if at, known := client.ServerTime(); known || !at.Equal(now) {
				t.Errorf("before any answer: %s, known: %t", at, known)
			}
			_ = post(t.Context(), client)
			clock.Step(time.Minute)
			at, known := client.ServerTime()
			if off := at.Sub(now.Add(time.Minute + row.ahead)); known != row.known || off.Abs() > time.Second {
				t.Errorf("%s, known: %t; want %s more than %s", at, known, row.ahead, now.Add(time.Minute))
			}
		})
	}
}

func TestAServerThatDoesNotAnswerHasNoTime(t *testing.T) {
	t.Parallel()
	client := connect(t, Endpoint{Server: "https://" + closedPort(t), CA: otherCA(t)})
	_ = post(t.Context(), client)
	if _, known := client.ServerTime(); known {
		t.Error("its time is known")
	}
}
