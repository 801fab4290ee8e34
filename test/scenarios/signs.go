package scenarios

import "strings"

// Signs are how a scenario looks to a person on call while the trouble stands and the daemon runs, if it does.
type Signs struct {
	// Metric is a series of the agent, without the prefix bootstrap_agent_, and what it is then, in PromQL. Empty: there are no metrics,
	// for the agent does not run or cannot answer.
	Metric string
	// Alerts are those whose expressions are true then, without the prefix BootstrapAgent, apart from how long they must be. The alert
	// Errors, which goes by the number of failures over a quarter of an hour, is not among them. A question mark: only if the trouble came
	// at such a moment.
	Alerts string
	// StatusExit is the exit code of the status command, and Status part of what it says; empty where there is nothing to say.
	StatusExit int
	Status     string
	// Doctor is a check of the doctor command and its verdict.
	Doctor string
	// Do is what a person does about it.
	Do string
}

const waiting = 1 // the exit code of status

// Series is the metric as Prometheus has it; up is Prometheus' own.
func (s Signs) Series() string {
	if s.Metric == "" {
		return `up == 0`
	}
	return "bootstrap_agent_" + s.Metric
}

// Names are the alerts as Prometheus has them: those that fire, and those that may.
func (s Signs) Names() (fire, may []string) {
	for name := range strings.FieldsSeq(s.Alerts) {
		if certain, is := strings.CutSuffix(name, "?"); is {
			may = append(may, "BootstrapAgent"+certain)
		} else {
			fire = append(fire, "BootstrapAgent"+name)
		}
	}
	return fire, may
}
