package apiserver

import "strings"

// CutBootstrapToken takes a bootstrap token apart, which has 6 characters, a dot and 16 characters, of a-z and 0-9 (the
// BootstrapTokenPattern of k8s.io/cluster-bootstrap, whose own expressions are compiled at every start and take 190 kB on each node). The
// ID is public.
func CutBootstrapToken(text string) (id, secret string, ok bool) {
	id, secret, ok = strings.Cut(text, ".")
	return id, secret, ok && len(id) == 6 && len(secret) == 16 && isLowAlphanumeric(id) && isLowAlphanumeric(secret)
}

func isLowAlphanumeric(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}
