package status

// Asker is what a command that looks at a node knows beside the files.
type Asker struct {
	// Agent is the process that holds the cert-dir's lock, 0 if none does; AgentErr says why it cannot be told.
	Agent    int
	AgentErr error
	// Unprivileged: whoever asks is not root, so that a file that cannot be read says nothing about the node.
	Unprivileged bool
}

// AgentReport says whether an agent looks after the node.
type AgentReport struct {
	Running bool `json:"running"`
	// PID is the process that holds the cert-dir.
	PID int `json:"pid,omitempty"`
}

// agent is nil where nobody looked, or nobody can tell.
func (a *Asker) agent() *AgentReport {
	if a == nil || a.AgentErr != nil {
		return nil
	}
	return &AgentReport{Running: a.Agent != 0, PID: a.Agent}
}
