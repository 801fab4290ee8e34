package controlplane

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	auditLog = "audit.log"
	// credentialID is where the API server notes which credential a user came with.
	credentialID = "authentication.kubernetes.io/credential-id"
)

// AuditEntry is one line of the API server's audit log (audit.k8s.io/v1, level Metadata), as far as tests ask for it.
// A request has one entry (stage ResponseComplete, or Panic); a watch has another one at its begin (ResponseStarted).
type AuditEntry struct {
	AuditID    string `json:"auditID"`
	Stage      string `json:"stage"`
	Verb       string `json:"verb"`
	RequestURI string `json:"requestURI"`
	UserAgent  string `json:"userAgent"`
	User       struct {
		Username string              `json:"username"`
		Groups   []string            `json:"groups"`
		Extra    map[string][]string `json:"extra"`
	} `json:"user"`
	ObjectRef struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"responseStatus"`
	RequestReceivedTimestamp time.Time `json:"requestReceivedTimestamp"`
	StageTimestamp           time.Time `json:"stageTimestamp"`
}

// Audit is the audit log so far. The log is written before a request's answer ends, so every answered request is in it; of a
// watch, its begin.
func (cp *ControlPlane) Audit() ([]AuditEntry, error) {
	cp.audited.mu.Lock()
	defer cp.audited.mu.Unlock()
	err := cp.audited.read(cp.path(auditLog))
	return slices.Clone(cp.audited.entries), err
}

// Request is one request that the API server has begun to answer.
type Request struct {
	Verb, Resource, Subresource, Name string
	// URI holds the query too.
	URI string
	// Code is the HTTP status; 0 when the API server ended before it knew.
	Code int
	// User and Groups are whom the API server took the requester for: system:anonymous without a credential, nobody ("")
	// when the credential was refused.
	User   string
	Groups []string
	// CredentialID tells credentials of one user apart, e.g. X509SHA256=… of a client certificate; "" if there is none.
	CredentialID string
	UserAgent    string
	// Time is when the request was received.
	Time time.Time
	// Complete tells whether the answer has ended, which a watch's may not have.
	Complete bool
}

// String is a line for a test's failure message.
func (r Request) String() string {
	return fmt.Sprintf("%s %s %s → %d as %s (%s)", r.Time.Format("15:04:05.000"), r.Verb, r.URI, r.Code, r.User, r.UserAgent)
}

// Filter picks requests.
type Filter func(Request) bool

// ByUserAgent picks the requests of a program: those whose User-Agent contains text.
func ByUserAgent(text string) Filter {
	return func(r Request) bool { return strings.Contains(r.UserAgent, text) }
}

// ByResource picks the requests for a resource, e.g. "certificatesigningrequests".
func ByResource(resource string) Filter {
	return func(r Request) bool { return r.Resource == resource }
}

// Since picks the requests that were received at t or later.
func Since(t time.Time) Filter {
	return func(r Request) bool { return !r.Time.Before(t) }
}

// Requests are the requests of a user (of anybody if user is empty) that pass all filters, in the order in which they
// were first answered. Each is counted once, however many entries the audit log has for it.
func (cp *ControlPlane) Requests(user string, filters ...Filter) ([]Request, error) {
	cp.audited.mu.Lock()
	err := cp.audited.read(cp.path(auditLog))
	requests := slices.Clone(cp.audited.requests)
	cp.audited.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var picked []Request
	for _, request := range requests {
		if (user == "" || request.User == user) && passes(request, filters) {
			picked = append(picked, request)
		}
	}
	return picked, nil
}

func (e AuditEntry) request() Request {
	return Request{
		Verb: e.Verb, Resource: e.ObjectRef.Resource, Subresource: e.ObjectRef.Subresource, Name: e.ObjectRef.Name,
		URI: e.RequestURI, Code: e.ResponseStatus.Code,
		User: e.User.Username, Groups: e.User.Groups, CredentialID: strings.Join(e.User.Extra[credentialID], ","),
		UserAgent: e.UserAgent, Time: e.RequestReceivedTimestamp, Complete: e.Stage != "ResponseStarted",
	}
}

func passes(request Request, filters []Filter) bool {
	for _, filter := range filters {
		if !filter(request) {
			return false
		}
	}
	return true
}
