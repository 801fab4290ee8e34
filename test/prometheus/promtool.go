package prometheus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// CheckMetrics has promtool look at a page of metrics. Any remark is an error.
func CheckMetrics(ctx context.Context, page []byte) error {
	said, err := promtool(ctx, page, "check", "metrics")
	if err == nil && said != "" {
		err = errors.New(said)
	}
	return err
}

// CheckRules has promtool look at files of recording and alerting rules, and lint them.
func CheckRules(ctx context.Context, paths ...string) error {
	_, err := promtool(ctx, nil, append([]string{"check", "rules", "--lint=all", "--lint-fatal"}, paths...)...)
	return err
}

// TestRules has promtool run files of tests of rules.
func TestRules(ctx context.Context, paths ...string) error {
	_, err := promtool(ctx, nil, append([]string{"test", "rules"}, paths...)...)
	return err
}

// CheckConfig has promtool look at configurations of Prometheus, and the files that they name.
func CheckConfig(ctx context.Context, paths ...string) error {
	_, err := promtool(ctx, nil, append([]string{"check", "config", "--lint=all", "--lint-fatal"}, paths...)...)
	return err
}

// CheckWebConfig has promtool look at web configurations of exporter-toolkit.
func CheckWebConfig(ctx context.Context, paths ...string) error {
	_, err := promtool(ctx, nil, append([]string{"check", "web-config"}, paths...)...)
	return err
}

// createBlocks makes data of Prometheus of samples in the OpenMetrics text format.
func createBlocks(ctx context.Context, samples []byte, dir string) error {
	file, err := os.CreateTemp("", "openmetrics-") // promtool maps it: no pipe
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(samples)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	// all samples are read once for each block, and a block is two hours unless told otherwise
	_, err = promtool(ctx, nil, "tsdb", "create-blocks-from", "--max-block-duration=1458h", "openmetrics", file.Name(), dir)
	return err
}

// promtool returns what promtool said; an exit code other than 0 is an error that holds it too.
func promtool(ctx context.Context, input []byte, args ...string) (string, error) {
	path, err := Program("promtool")
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, path, args...)
	command.Stdin = bytes.NewReader(input)
	output, err := command.CombinedOutput()
	said := strings.TrimSpace(string(output))
	if err != nil {
		return said, fmt.Errorf("promtool %s: %w\n%s", strings.Join(args, " "), err, said)
	}
	return said, nil
}
