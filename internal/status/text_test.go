package status

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
)

func textOf(t *testing.T, o Observed, s screen.Screen, columns int) string {
	t.Helper()
	var text bytes.Buffer
	must(t, o.Report(settings).WriteText(&text, s, columns))
	return text.String()
}

func TestANodeThatIsWellFitsOnTheSmallestScreen(t *testing.T) {
	text := textOf(t, healthy(), screen.Screen{}, 80)
	if lines := strings.Count(text, "\n"); lines > 23 { // and the prompt
		t.Errorf("%d lines:\n%s", lines, text)
	}
	expectColumns(t, text, 80)
}

func expectColumns(t *testing.T, text string, columns int) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > columns && !strings.HasPrefix(line, commandIndent) {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestNoPictureIsBroaderThanTheTerminalAndNoneGrowsPastAScreenAndAHalf(t *testing.T) {
	for name, picture := range pictures {
		o, _ := picture()
		for _, columns := range []int{80, 100, 200} {
			text := textOf(t, o, screen.Screen{}, columns)
			expectColumns(t, text, columns)
			if lines := strings.Count(text, "\n"); lines > 36 {
				t.Errorf("%s has %d lines:\n%s", name, lines, text)
			}
		}
	}
}

// A person copies the line; grep finds the sentence.
func TestACommandStandsOnALineOfItsOwnAndAPipeGetsWholeSentences(t *testing.T) {
	o := empty()
	o.Bootstrap, o.BootstrapErr, o.Client.Pending = bootstrapper, nil, pending(csr.Client, sent)
	command := "\n    kubectl certificate approve worker-1-kubelet-client-0123456789abcdef0123\n"
	for _, columns := range []int{0, 30, 80, 200} {
		if text := textOf(t, o, screen.Screen{}, columns); strings.Count(text, command) != 1 {
			t.Errorf("%d columns: the command is there %d times:\n%s", columns, strings.Count(text, command), text)
		}
	}
	sentence := "certificate signing request worker-1-kubelet-client-0123456789abcdef0123 waits for approval since 2026-03-01T11:58:30Z\n"
	if text := textOf(t, o, screen.Screen{}, 0); !strings.Contains(text, sentence) {
		t.Errorf("a pipe gets:\n%s", text)
	}
}

// hostile is what a cluster might put into a message, a name or an issuer to change what a person sees.
const hostile = "all is well\x1b[2J\x1b]0;owned\a\r\n\u009b31m\u202egnp.exe\x7f \x00 \xff"

func TestWordsOfTheClusterCommandNoTerminal(t *testing.T) {
	o := healthy()
	p := servingPair(hostile, day, 30*day)
	p.Leaf.Issuer.CommonName, p.Leaf.DNSNames, p.Leaf.IPAddresses = hostile, []string{hostile}, []net.IP{net.IPv6loopback}
	o.Serving.Pair = p
	o.Serving.Pending = pending(csr.Serving, sent, ended(csr.Denied), func(p *csr.Pending) { p.Ended.Reason, p.Ended.Message, p.Name = hostile, hostile, hostile })
	o.Client.Pending = pending(csr.Client, sent, func(p *csr.Pending) { p.Name = hostile })
	o.Kubelet.Endpoint.Server, o.KubeletErr = hostile, fmt.Errorf("%s", hostile)
	o.Bootstrap, o.BootstrapErr = nil, fmt.Errorf("%s", hostile)
	o.Aside = []string{"/etc/kubernetes/" + hostile}
	r := o.Report(settings)
	for _, columns := range []int{0, 80} {
		var text bytes.Buffer
		must(t, r.WriteText(&text, screen.Screen{}, columns))
		expectHarmless(t, text.String())
	}
	var data bytes.Buffer
	must(t, r.WriteJSON(&data))
	expectHarmless(t, data.String())
}

func expectHarmless(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Errorf("it is no UTF-8: %q", text)
	}
	for _, r := range text {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			t.Errorf("%q reaches the terminal: %q", r, text)
			return
		}
	}
	if !strings.Contains(text, "all is well") {
		t.Errorf("the words are gone: %q", text)
	}
}

func TestALongMessageAndManyNamesAreCut(t *testing.T) {
	o := healthy()
	o.Serving.Pair = servingPair(nodeUser, day, 300*day)
	for i := range 100 {
		o.Serving.Pair.Leaf.DNSNames = append(o.Serving.Pair.Leaf.DNSNames, fmt.Sprintf("name-%d", i))
	}
	o.Serving.Pending = pending(csr.Serving, sent, ended(csr.Denied), func(p *csr.Pending) { p.Ended.Message = strings.Repeat("no ", 100_000) })
	text := textOf(t, o, screen.Screen{}, 80)
	if lines := strings.Count(text, "\n"); lines > 40 || !strings.Contains(text, "more characters: status -o json") || !strings.Contains(text, "94 more") {
		t.Errorf("%d lines:\n%s", lines, text)
	}
}

func TestColoursSayHowMuchItMatters(t *testing.T) {
	s := screen.Coloured()
	if text := textOf(t, healthy(), s, 80); !strings.Contains(text, s.Green("well")) || !strings.Contains(text, s.Green("valid")) || strings.Contains(text, "\x1b[31m") {
		t.Errorf("a node that is well is shown as %q", text)
	}
	if text := textOf(t, empty(), s, 80); !strings.Contains(text, s.Red("broken")) || !strings.Contains(text, s.Yellow("missing")) {
		t.Errorf("a broken node is shown as %q", text)
	}
}

func TestTheBarIsATankWithAMarkWhereTheRotationIsDue(t *testing.T) {
	for _, c := range []struct {
		name      string
		age, left time.Duration
		size      int
		bar       string
	}{
		{"new", 0, 100 * day, 20, "[##|#################] 100 % left, 100 d"},
		{"half gone", 50 * day, 50 * day, 20, "[##|#######----------] 50 % left, 50 d"},
		{"the last moments", 100*day - time.Second, time.Second, 20, "[#-|-----------------] 0 % left, 1 s"},
		{"gone", 100 * day, 0, 20, "[--|-----------------] nothing left"},
		{"long gone", 300 * day, -200 * day, 20, "[--|-----------------] nothing left"},
		{"no room", 0, 100 * day, -5, "[#|########] 100 % left, 100 d"},
		{"much room", 0, 100 * day, 500, "[" + strings.Repeat("#", 5) + "|" + strings.Repeat("#", 34) + "] 100 % left, 100 d"},
	} {
		o := healthy()
		o.Client.Pair = pair(nodeUser, c.age, c.left)
		if bar := o.certificate(o.Client).bar(c.size); bar != c.bar {
			t.Errorf("%s: %s, expected %s", c.name, bar, c.bar)
		}
	}
}

// What was stored when it had expired has no life to draw, and a placeholder no rotation.
func TestTheBarOfACertificateWithoutALifeOrARotation(t *testing.T) {
	second, nothing := int64(1), int64(0)
	c := CertificateReport{LifetimeSeconds: &nothing, RemainingSeconds: &nothing}
	if bar := c.bar(10); bar != "[----------] nothing left" {
		t.Error(bar)
	}
	c.LifetimeSeconds, c.RemainingSeconds = &second, &second
	if bar := c.bar(10); bar != "[##########] 100 % left, 1 s" {
		t.Error(bar)
	}
}

func TestTheBarReachesItsMarkWhenTheRotationIsDueAndNotBefore(t *testing.T) {
	o := healthy()
	for gone := range 100 {
		o.Client.Pair = pair(nodeUser, time.Duration(gone)*day, time.Duration(100-gone)*day)
		r := o.certificate(o.Client)
		below, above, _ := strings.Cut(r.bar(40), "|")
		if overdue := o.Now.After(*r.RotateAt); overdue && strings.Contains(above, "#") || !overdue && strings.Contains(below, "-") {
			t.Errorf("after %d of 100 days (overdue: %t): %s", gone, overdue, r.bar(40))
		}
	}
}
