package main

import (
	"fmt"
	"slices"
	"time"
)

// sample is what was measured of one thing, a value for each round.
type sample []float64

func (s sample) median() float64 { return s.quantile(0.5) }

// noise is the interquartile range: the middle half of the rounds lies within it.
func (s sample) noise() float64 { return s.quantile(0.75) - s.quantile(0.25) }

// quantile of a sample that is not empty, between two values in proportion.
func (s sample) quantile(q float64) float64 {
	sorted := slices.Sorted(slices.Values(s))
	at := q * float64(len(sorted)-1)
	low := int(at)
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (at-float64(low))*(sorted[high]-sorted[low])
}

// budget is what the agent may cost. What is zero is not limited.
type budget struct {
	// most is for the agent's median, ratio for the agent's median by the kubelet's.
	most, ratio float64
	// exactly is for each round: a request more is one too many.
	exactly float64
}

type verdict string

const (
	kept      verdict = "ok"
	doubtful  verdict = "over, within noise"
	broken    verdict = "BROKEN"
	unlimited verdict = ""
)

// judge says whether a budget was kept. It is broken only by more than the noise of this very run: when the agent's median
// would be over the budget even if the machine had cost it its whole interquartile range, and, for a ratio, the kubelet
// nothing in turn (its median and its range). A busy machine widens both; a change that makes the agent slower in each round widens neither.
func (b budget) judge(agent, kubelet sample) verdict {
	if b == (budget{}) {
		return unlimited
	}
	if b.exactly > 0 {
		if slices.ContainsFunc(agent, func(v float64) bool { return v != b.exactly }) {
			return broken
		}
		return kept
	}
	over := func(agentValue, kubeletValue float64) bool {
		return b.most > 0 && agentValue > b.most || b.ratio > 0 && agentValue > b.ratio*kubeletValue
	}
	var kubeletMedian, kubeletNoise float64
	if len(kubelet) > 0 {
		kubeletMedian, kubeletNoise = kubelet.median(), kubelet.noise()
	}
	switch {
	case over(agent.median()-agent.noise(), kubeletMedian+kubeletNoise):
		return broken
	case over(agent.median(), kubeletMedian):
		return doubtful
	}
	return kept
}

// row is a line of the table.
type row struct {
	what           string
	agent, kubelet sample
	unit           unit
	budget         budget
}

// unit is how values are written.
type unit struct {
	name  string
	of    float64 // one of the unit
	after int     // digits after the point
}

var (
	count        = unit{"", 1, 0}
	milliseconds = unit{" ms", float64(time.Millisecond), 0}
	megabytes    = unit{" MB", 1e6, 1}
)

// idleBudgetFor is the time that the budgets of an idle agent are for.
const idleBudgetFor = 10 * time.Minute

func (u unit) write(v float64) string { return fmt.Sprintf("%.*f", u.after, v/u.of) }

// rows are the table, with the budgets.
func (r *results) rows() []row {
	identity := func(j join) float64 { return float64(j.identity) }
	both := func(j join) float64 { return float64(j.both) }
	requests := func(j join) float64 { return float64(j.requests) }
	resident := func(j join) float64 { return j.resident }
	return []row{
		{"identity", pick(r.agentClient, identity), pick(r.kubeletClient, identity), milliseconds, budget{most: 120 * milliseconds.of}},
		{"identity, serving pair too", pick(r.agentBoth, identity), pick(r.kubeletBoth, identity), milliseconds, budget{most: 120 * milliseconds.of, ratio: 0.3}},
		{"both certificates", pick(r.agentBoth, both), nil, milliseconds, budget{}},
		{"API requests, client certificate", pick(r.agentClient, requests), pick(r.kubeletClient, requests), count, budget{exactly: 4}},
		{"API requests, both certificates", pick(r.agentBoth, requests), nil, count, budget{exactly: 6}},
		{"program", sample{r.agentSize}, sample{r.kubeletSize}, megabytes, budget{most: 24 * megabytes.of}},
		{"resident", pick(r.agentBoth, resident), pick(r.kubeletBoth, resident), megabytes, budget{most: 22 * megabytes.of}},
		r.idle("scraped", r.scraped.cpu, 300),
		{"idle, scraped: resident", sample{r.scraped.resident}, nil, megabytes, budget{most: 22 * megabytes.of}},
		r.idle("no port", r.alone.cpu, 50),
		{"idle, no port: resident", sample{r.alone.resident}, nil, megabytes, budget{most: 22 * megabytes.of}},
	}
}

// idle is the row of an idle agent's processor time; most is in milliseconds for ten minutes.
func (r *results) idle(what string, cpu, most float64) row {
	share := float64(r.idleFor) / float64(idleBudgetFor)
	return row{"idle, " + what + ": processor time in " + r.idleFor.String(), sample{cpu}, nil, milliseconds, budget{most: most * milliseconds.of * share}}
}

// pick takes one value of each join, if it has it.
func pick(joins []join, value func(join) float64) sample {
	var s sample
	for _, j := range joins {
		if v := value(j); v > 0 {
			s = append(s, v)
		}
	}
	return s
}

func brokenOf(rows []row) []string {
	var names []string
	for _, r := range rows {
		if r.budget.judge(r.agent, r.kubelet) == broken {
			names = append(names, r.what)
		}
	}
	return names
}
