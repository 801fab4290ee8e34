package apiserver

import (
	"errors"
	"net/url"
)

// CheckServer checks the URL of an API server: absolute, https, and nothing in it that belongs elsewhere.
func CheckServer(server string) error {
	if server == "" {
		return errors.New("server is missing")
	}
	u, err := url.Parse(server)
	switch {
	case err != nil:
		return errors.New("server is not a URL") // the text may hold a password
	case u.User != nil:
		return errors.New("server holds a user name or password; credentials belong into the user entry")
	case u.Scheme == "http":
		return errors.New("server is plain http, which would send the credential readable for everybody; it must be https")
	case u.Scheme != "https" || u.Hostname() == "":
		return errors.New("server is not an absolute https URL; it looks like https://HOST:6443")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("server has a query or fragment; it looks like https://HOST:6443")
	}
	return nil
}
