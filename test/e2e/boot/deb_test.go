package boot

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// debVersion is the version of the package that tests install.
const debVersion = "1.0.0"

// buildDeb makes the package as it is released, once.
var buildDeb = sync.OnceValue(func() error {
	output, err := exec.Command("../../../hack/packages.sh", "-v", debVersion, "-o", filepath.Join(built, "packages"), runtime.GOARCH).CombinedOutput()
	if err != nil {
		return fmt.Errorf("make the package: %w: %s", err, output)
	}
	return nil
})

// debPackage is the path of the package on machines.
func debPackage(t *testing.T) string {
	t.Helper()
	must(t, buildDeb())
	return "/opt/test/packages/bootstrap-agent_" + debVersion + "_" + runtime.GOARCH + ".deb"
}
