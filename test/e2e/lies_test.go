package e2e

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/sample"
)

// lie is what a server, or something on the way to it, does and a real API server never will.
type lie struct {
	name string
	// tell sets the liar going, before the agent starts.
	tell func(*lied)
	// about is the certificate that the lie is about, the client's if it is not said; the other one goes its way.
	about csr.Kind
	// says is what the agent logs of it.
	says string
	// slow lies last as long as the time limit of a connection or an answer; they are told with SOAK only.
	slow bool
	// lasts: what the agent was told stays as it is, whoever tells the truth later.
	lasts bool
}

// lies are all of them, by where they are told.
func lies(t *testing.T) map[string][]lie {
	return map[string][]lie{
		"certificate": certificateLies(t),
		"object":      objectLies(),
		"http":        httpLies(),
		"http2":       http2Lies(),
		"tls":         tlsLies(t),
		"proxy":       proxyLies(),
	}
}

// lied is a node with a liar on its way, and a witness of what the liars get to see.
type lied struct {
	*liar
	witness *witness
	// mend ends the lie where that takes more than a liar who tells the truth.
	mend func()
}

func newLied(t *testing.T, l lie, liar *liar) *lied {
	t.Helper()
	v := &lied{liar: liar, witness: &witness{}}
	v.program = plainProgram(t) // its memory is measured
	v.truth()
	l.tell(v)
	return v
}

// truth ends the lie.
func (v *lied) truth() {
	v.tell(nil, nil)
	v.tellIssued()
	v.reissue()
	v.handled(v.ServeHTTP)
	if v.mend != nil {
		v.mend()
	}
}

// handled has a handler answer at the API server's address. It may be sent the token, and never a private key.
func (v *lied) handled(handler http.HandlerFunc) {
	v.answered(func(w http.ResponseWriter, r *http.Request) {
		if request, err := httputil.DumpRequest(r, true); err == nil {
			v.witness.trusted.Write(request)
		}
		handler(w, r)
	})
}

// someOf draws from each group of lies; with SOAK it takes them all.
func someOf(t *testing.T, share map[string]int) []lie {
	t.Helper()
	source, all := sample.Random(t), lies(t)
	var chosen []lie
	total := 0
	for _, group := range []string{"certificate", "object", "http", "http2", "tls", "proxy"} {
		quick := slices.DeleteFunc(slices.Clone(all[group]), func(l lie) bool { return l.slow })
		source.Shuffle(len(quick), func(i, j int) { quick[i], quick[j] = quick[j], quick[i] })
		take := quick[:min(share[group], len(quick))]
		if os.Getenv("SOAK") != "" {
			take = all[group]
		}
		for _, l := range take {
			l.name = group + ": " + l.name
			chosen = append(chosen, l)
		}
		total += len(all[group])
	}
	t.Logf("%d of %d lies are told", len(chosen), total)
	return chosen
}

// TestNoLieIsTakenForTheTruth has each lie told to the agent as it is shipped.
func TestNoLieIsTakenForTheTruth(t *testing.T) {
	t.Parallel()
	for _, l := range someOf(t, map[string]int{"certificate": 8, "object": 8, "http": 6, "http2": 3, "tls": 3, "proxy": 2}) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			v := newLied(t, l, newLiar(t, nil, nil))
			before := v.bootstrapBytes()
			begin := time.Now()
			d := v.start()
			d.awaitLog(l.says)
			d.awaitSaid(l.says)
			time.Sleep(aGlance())
			v.assertUnharmed(l, before)
			v.assertModest(d, time.Since(begin))
			if !d.running() {
				t.Error("the daemon has ended")
			}
		})
	}
}

// TestWhenTheLyingEndsTheSameAgentJoins is by a clock that goes faster: after some lies the policy is to wait for long.
func TestWhenTheLyingEndsTheSameAgentJoins(t *testing.T) {
	t.Parallel()
	for _, l := range someOf(t, map[string]int{"certificate": 2, "object": 2, "http": 1, "tls": 1, "proxy": 1}) {
		if l.lasts {
			continue
		}
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			c := hurry(200) // a server that asks for a year is given an hour
			v := newLied(t, l, newLiar(t, nil, nil, c))
			before := v.bootstrapBytes()
			d := v.startHurried(c, "--start-hold=1s")
			d.awaitLog(l.says)
			v.assertUnharmed(l, before)
			v.truth()
			v.awaitTruth()
		})
	}
}

// aGlance is for how long an agent that has said what is wrong is looked at: one that does not pause shows at once.
func aGlance() time.Duration {
	if os.Getenv("SOAK") != "" {
		return time.Second
	}
	return 300 * time.Millisecond
}

// awaitSaid waits until the service manager was told, too.
func (d *daemon) awaitSaid(text string) {
	d.t.Helper()
	text = strings.TrimPrefix(text, "reason=")
	if text == tryAgain {
		text = "client: "
	}
	eventually(d.t, fmt.Sprintf("some STATUS= says %q", text), func() bool {
		return slices.ContainsFunc(d.statuses(), func(status string) bool { return strings.Contains(status, text) })
	})
}

// assertUnharmed shows that nothing of the lie is in use, that nothing is lost, and that nobody has seen what is not for him.
func (v *lied) assertUnharmed(l lie, before theFile) {
	v.t.Helper()
	v.witness.assertSawNoSecret(v)
	if l.about == csr.Serving {
		v.first(csr.Serving)
		v.awaitRid()
		if pair, err := v.certDir().Read(certdir.Serving); err != nil || v.servingIssued() || pair.Leaf.CheckSignatureFrom(v.ca) == nil {
			v.t.Errorf("the serving pair is not the placeholder any more (%v)", err)
		}
		return
	}
	v.assertNothingLost(before)
	v.assertGone(v.certDir().Current(certdir.Client))
	if pair, err := v.certDir().Read(certdir.Serving); err == nil && pair.Leaf.CheckSignatureFrom(v.ca) == nil {
		v.t.Errorf("the serving certificate is %s of %s", pair.Leaf.Subject, pair.Leaf.Issuer)
	}
}

// assertModest bounds what the lie may cost: twelve attempts, as assertPatient has it, on up to three connections each where every one
// of them is ended. A node in trouble asks twice in a second at the most, when watches end at once; what
// is waited for by policy is much longer. An agent that has nothing to do but wait needs a tenth of the memory and of the time.
func (v *lied) assertModest(d *daemon, took time.Duration) {
	v.t.Helper()
	requests := max(len(v.seen.Requests()), v.seen.Connections(), v.witness.requests())
	if most := 12*3 + int(2*took.Seconds()); requests > most {
		v.t.Errorf("%d requests within %s, expected at most %d", requests, took, most)
	}
	if peak := d.peakMemory(); peak >= 64 {
		v.t.Errorf("the agent has grown to %d MB", peak)
	}
	if said := len(d.log()); said > 64<<10 {
		v.t.Errorf("the agent has said %d KB", said>>10)
	}
	for _, status := range d.statuses() {
		if len(status) > 4<<10 || strings.ContainsFunc(status, unicode.IsControl) {
			v.t.Errorf("the service manager was told %d bytes: %.200q", len(status), status)
		}
	}
	if used := d.processorTime(); used > time.Second+took*3/4 {
		v.t.Errorf("the agent has been busy for %s of %s", used, took)
	}
}

// processorTime is how long the daemon has been busy.
func (d *daemon) processorTime() time.Duration {
	d.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	must(d.t, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // the third field of proc(5) is the first here
	var ticks int
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(field)
		must(d.t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// awaitTruth waits until the node has both certificates as the liar, who does not lie any more, has issued them.
func (v *lied) awaitTruth() {
	v.t.Helper()
	eventually(v.t, "the node has joined", func() bool {
		_, err := v.certDir().Read(certdir.Client)
		return err == nil && v.pending(certdir.Client) == nil && v.servingIssued()
	})
	for _, kind := range []certdir.Kind{certdir.Client, certdir.Serving} {
		pair, err := v.certDir().Read(kind)
		must(v.t, err)
		if err := pair.Leaf.CheckSignatureFrom(v.ca); err != nil || pair.Leaf.Subject.CommonName != "system:node:"+v.name {
			v.t.Errorf("the %s pair is for %s: %v", kind, pair.Leaf.Subject, err)
		}
	}
	v.assertThere(v.kubeconfig())
	v.awaitRid()
	v.witness.assertSawNoSecret(v)
}
