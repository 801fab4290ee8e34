package e2e

import (
	"slices"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
	"github.com/bootstrap-agent/bootstrap-agent/internal/csr"
	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// assertFlat compares what the agent takes between its first two rotations with what it takes between its last two.
func (o *onlooker) assertFlat() {
	o.t.Helper()
	seen := o.found[certdir.Client]
	if len(seen) < 4 {
		o.t.Fatalf("%d certificates are too few to tell", len(seen))
	}
	first, last := o.between(seen[1].at, seen[2].at), o.between(seen[len(seen)-2].at, seen[len(seen)-1].at)
	if len(first) == 0 || len(last) == 0 {
		o.t.Fatal("nobody has looked at the agent")
	}
	for _, c := range []struct {
		what        string
		of          func(usage) int
		pick        func(...int) int
		slack, most int
	}{
		{"kB resident", func(u usage) int { return u.resident }, highest, 3 << 10, 32 << 10},
		{"threads", func(u usage) int { return u.threads }, highest, 2, 16},
		{"open files, mostly", func(u usage) int { return u.openFiles }, typical, 0, 16},
	} {
		before, after := c.pick(numbersOf(first, c.of)...), c.pick(numbersOf(last, c.of)...)
		o.t.Logf("%s: %d between the first two rotations, %d between the last two", c.what, before, after)
		if after > before+c.slack || after > c.most {
			o.t.Errorf("%s grew from %d to %d, or is above %d", c.what, before, after, c.most)
		}
	}
	half := len(o.goroutines) / 2
	before, after := typical(o.goroutines[:half]...), typical(o.goroutines[half:]...)
	o.t.Logf("goroutines, mostly: %d in the first half, %d in the second; at most %d", before, after, highest(o.goroutines...))
	if before == 0 || after > before || highest(o.goroutines...) > 20 {
		o.t.Errorf("goroutines grew: %v", o.goroutines)
	}
}

func (o *onlooker) between(from, to time.Time) (found []usage) {
	for _, u := range o.taken {
		if u.at.After(from) && u.at.Before(to) {
			found = append(found, u)
		}
	}
	return found
}

func numbersOf(all []usage, of func(usage) int) (numbers []int) {
	for _, u := range all {
		numbers = append(numbers, of(u))
	}
	return numbers
}

func highest(numbers ...int) (most int) {
	for _, n := range numbers {
		most = max(most, n)
	}
	return most
}

// typical is the median.
func typical(numbers ...int) int {
	sorted := slices.Sorted(slices.Values(numbers))
	return sorted[len(sorted)/2]
}

// costs are the requests of a rotation: to ask, to wait, and for the client certificate to prove it.
var costs = map[csr.Kind][]string{csr.Client: {"create", "watch"}, csr.Serving: {"create", "watch"}}

// assertRequests shows what the API server was asked for each certificate, and with which one.
func (o *onlooker) assertRequests() {
	o.t.Helper()
	all, err := o.cp.Requests("system:node:"+o.name, controlplane.ByUserAgent("bootstrap-agent/"))
	must(o.t, err)
	proofs, again := 0, 0
	for _, r := range all {
		if r.Resource == "selfsubjectreviews" {
			proofs++
		}
	}
	for kind, cost := range costs {
		verbs := map[string][]string{}
		for _, r := range o.asked(kind) {
			verbs[r.Name] = append(verbs[r.Name], r.Verb)
		}
		for name, v := range verbs {
			if len(v) < len(cost) || count(v, "create") != 1 {
				o.t.Errorf("%s took %v", name, v)
			}
			again += len(v) - len(cost)
		}
	}
	clients, servings := len(o.found[certdir.Client]), len(o.found[certdir.Serving])
	if proofs != clients || again > 2*(clients+servings)/5 {
		o.t.Errorf("%d proofs of %d client certificates, %d requests to wait once more", proofs, clients, again)
	}
	if ideal := 2 + 3*(clients-1) + 2*servings; len(all) != ideal+again { // the first one is proved, and nobody else is the node
		o.t.Errorf("%d requests as the node, expected %d and %d to wait once more", len(all), ideal, again)
	}
	o.t.Logf("requests as the node: %d for %d rotations of the client certificate and %d serving certificates; POST, WATCH and proof 3, POST and WATCH 2, %d to wait once more",
		len(all), clients-1, servings, again)
	o.assertNewest(all)
}

// assertNewest shows that no certificate is used any more when the next one has been proved.
func (o *onlooker) assertNewest(requests []controlplane.Request) {
	o.t.Helper()
	place := map[string]int{}
	for i, s := range o.found[certdir.Client] {
		place[s.credential()] = i
	}
	newest, since := 0, time.Time{}
	for _, r := range requests {
		i, known := place[r.CredentialID]
		switch {
		case !known:
			o.t.Errorf("as the node with a certificate that never was the current one (%q): %s", r.CredentialID, r)
		case i > newest:
			newest, since = i, r.Time
		case i < newest && r.Time.Sub(since) > 2*time.Second:
			o.t.Errorf("%s after number %d was proved, number %d is used: %s", r.Time.Sub(since), newest+1, i+1, strings.TrimSpace(r.String()))
		}
	}
	if newest != len(place)-1 {
		o.t.Errorf("number %d of %d certificates was the last that the agent used", newest+1, len(place))
	}
	o.t.Logf("%d requests with %d client certificates, none with one whose successor was proved", len(requests), newest+1)
}
