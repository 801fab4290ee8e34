package agent

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	testingclock "k8s.io/utils/clock/testing"

	"github.com/bootstrap-agent/bootstrap-agent/internal/durable"
	"github.com/bootstrap-agent/bootstrap-agent/internal/kubeconfig"
)

// hurried is a clock that goes on by itself, a hundred times as fast as the wall's, whenever somebody waits for it.
func hurried(t *testing.T) *testingclock.FakeClock {
	t.Helper()
	c := testingclock.NewFakeClock(time.Now())
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	go func() {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				if c.HasWaiters() {
					c.Step(100 * time.Millisecond)
				}
			}
		}
	}()
	return c
}

// Unlike after a crash the agent goes on: it must try again what failed, and end where it would have ended.
func TestOneFailingOperationIsOnlyADelay(t *testing.T) {
	t.Parallel()
	api := newAPIStandIn(t)
	step := 3
	if os.Getenv("SOAK") != "" {
		step = 1
	}
	for k := 0; ; k += step {
		j := newJoiner(t, api, fmt.Sprintf("delayed-%d", k), false)
		j.cfg.ServingWait.Duration, j.cfg.Timeout.Duration = time.Hour, time.Hour
		var mu sync.Mutex
		var broken durable.Op
		calls := 0
		err := j.run(func(op durable.Op) error {
			j.expectSafe(op)
			mu.Lock()
			defer mu.Unlock()
			if calls++; calls == k+1 {
				broken = op
				return errors.New("input/output error")
			}
			return nil
		}, hurried(t))
		j.expectWayOn()
		j.expectEnd(err, broken, k < opening)
		if j.exists(j.credential) || j.exists(kubeconfig.AsideName(j.credential)) || k < opening { // what could not be deleted, or made, is left to the next run
			if err := j.run(func(durable.Op) error { return nil }, hurried(t)); err != nil {
				t.Errorf("the next run ends with %v", err)
			}
		}
		j.expectJoined(api)
		j.report(fmt.Sprintf("operation %d failed: %s %s", k, broken.Call, broken.Path))
		os.RemoveAll(j.top)
		if broken.Call == "" {
			return
		}
	}
}

// opening is how many operations make the cert-dir. Only they end the run when they fail: it is the configuration that is wrong.
const opening = 2

// expectEnd looks at how the run ended. A credential that is still there must be one that the disk would not let go.
func (j *joiner) expectEnd(err error, broken durable.Op, opening bool) {
	j.t.Helper()
	exit := &ExitError{}
	disposing := broken.From == j.credential || strings.Contains(broken.Path, "bootstrap.kubeconfig") || broken.Call == "fsync-dir"
	switch {
	case opening && (!errors.As(err, &exit) || exit.Code != 2), !opening && err != nil:
		j.t.Errorf("%s %s failed, and the run ends with %v", broken.Call, broken.Path, err)
	case err == nil && j.exists(j.credential) && !disposing:
		j.t.Errorf("%s %s failed, and the credential is still there", broken.Call, broken.Path)
	}
}
