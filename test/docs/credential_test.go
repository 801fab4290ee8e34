package docs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/bootstrap-agent/bootstrap-agent/test/scenarios"
)

func TestThePageOnTheCredentialHasEveryFate(t *testing.T) {
	var table strings.Builder
	table.WriteString("| credential | afterwards | the agent says | `status` | what you may do |\n|---|---|---|---|---|\n")
	for _, f := range scenarios.Fates {
		says := code(f.Says)
		if says != "" {
			says = strings.ToLower(f.Level) + ": " + says
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %d | %s |\n", f.What, f.Becomes, says, f.Status, f.Remedy)
	}
	compare(t, "../../docs/credential.md", "fates", table.String())
}
