package e2e

import (
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

// proof shows that a scenario ends as its row says.
type proof func(*testing.T, scenarios.Scenario)

// proofs are the tests of the table, by the name of the row; each file adds its own group.
func proofs(t *testing.T) map[string]proof {
	all := map[string]proof{}
	for _, group := range []map[string]proof{
		approvalProofs, restartProofs, answerProofs, troubleProofs, redirectProofs, kubeconfigProofs, settingsProofs, diskProofs, keepingProofs, discoveryProofs,
	} {
		for name, p := range group {
			if all[name] != nil {
				t.Errorf("scenario %s has two proofs", name)
			}
			all[name] = p
		}
	}
	return all
}

func TestEveryScenarioEndsAsItsRowSays(t *testing.T) {
	all := proofs(t)
	t.Cleanup(func() { assertAlerts(t) }) // after the last of the proofs
	for _, row := range scenarios.All {
		p := all[row.Name]
		if p == nil {
			t.Errorf("scenario %s (%s) has no proof", row.Name, row.What)
			continue
		}
		delete(all, row.Name)
		t.Run(row.Name, func(t *testing.T) {
			t.Parallel()
			p(t, row)
			if looks.Lock(); !t.Failed() {
				if _, seen := looks.pages[row.Name]; !seen {
					t.Error("nobody has looked for its signs")
				}
			}
			looks.Unlock()
		})
	}
	for name := range all {
		t.Errorf("proof %s belongs to no scenario", name)
	}
}
