package agent

import "fmt"

// ExitError is the end of the agent with a code for the process: 1 no identity in time, or lock held; 2 configuration; 3 a person
// must act; 4 the serving certificate is still a placeholder.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit code %d", e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the reason.
func (e *ExitError) Unwrap() error { return e.Err }

func exit(code int, err error) error { return &ExitError{Code: code, Err: err} }
