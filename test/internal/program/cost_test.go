package program

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestProcessorTimeIsThatOfAllThreadsInFineSteps(t *testing.T) {
	before, err := CPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const work = 20 * time.Millisecond
	end := time.Now().Add(50 * work) // another process may have the processor
	now := before
	for now-before < work && time.Now().Before(end) {
		if now, err = CPU(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if now-before < work || now-before > 2*work {
		t.Errorf("%s of work are %s", work, now-before)
	}
	if resident, err := Resident(os.Getpid()); err != nil || resident < 1e6 || resident > 1e9 {
		t.Errorf("resident: %v, %v", resident, err)
	}
}

func TestASleepingProcessUsesNothingAndOneThatIsGoneIsSaid(t *testing.T) {
	sleeper := exec.Command("sleep", "60")
	if err := sleeper.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = sleeper.Process.Kill()
		_ = sleeper.Wait()
		if used, err := CPU(sleeper.Process.Pid); err == nil {
			t.Errorf("a process that is gone has used %s", used)
		}
		if _, err := Resident(sleeper.Process.Pid); err == nil {
			t.Error("a process that is gone is resident")
		}
	}()
	used, err := CPU(sleeper.Process.Pid)
	if err != nil || used > 200*time.Millisecond {
		t.Errorf("sleep has used %s, %v", used, err)
	}
}
