package prometheus

import (
	"context"
	"testing"
)

// NewNodeExporter starts a node_exporter, with the collectors that it has by default, which reads text files from a folder. It ends with
// the test. The address that is returned, 127.0.0.1:PORT, is where it is scraped.
func NewNodeExporter(tb testing.TB, textfiles string) (address string) {
	tb.Helper()
	p, err := startNodeExporter(tb.Context(), textfiles)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		p.stop()
		if tb.Failed() {
			tb.Logf("node_exporter said:\n%s", p.log())
		}
	})
	return p.address
}

func startNodeExporter(ctx context.Context, textfiles string) (*process, error) {
	path, err := Program("prometheus-node-exporter")
	if err != nil {
		return nil, err
	}
	return startProcess(ctx, textfiles, path, "--web.listen-address=127.0.0.1:0", "--collector.textfile.directory="+textfiles)
}
