package metrics

import (
	"fmt"
	"html"
	"net/http"
)

// landing is the page for a person with a browser. exporter-toolkit's would bring text/template into the binary, which keeps every method of
// every type there: 5 MB of program and 4 MB of memory on each node.
const landing = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<title>bootstrap-agent</title>
<style>body { font-family: sans-serif; margin: 3em; } dt { margin-top: 1em; } dd { color: #555; }</style>
</head>
<body>
<h1>bootstrap-agent</h1>
<p>Certificates of this Kubernetes node, version %s</p>
<dl>
<dt><a href="metrics">Metrics</a></dt><dd>for Prometheus</dd>
<dt><a href="healthz">Health</a></dt><dd>does the agent live?</dd>
<dt><a href="readyz">Readiness</a></dt><dd>can the node's identity be used?</dd>
</dl>
</body>
</html>
`

func landingPage(version string) http.HandlerFunc {
	page := fmt.Appendf(nil, landing, html.EscapeString(version))
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		_, _ = w.Write(page) // whoever has gone does not need it
	}
}
