package status

import (
	"cmp"
	"strings"

	"github.com/bootstrap-agent/bootstrap-agent/internal/certdir"
)

// followed is about a file that the CA of the API server is to follow (--ca-file).
func (j *judge) followed() {
	if j.cfg.CAFile == "" {
		return
	}
	_, err := certdir.ReadAuthorities(j.cfg.CAFile, j.Now)
	if err == nil {
		return
	}
	text, remedy, _ := strings.Cut(err.Error(), "; ")
	f := j.find(Attention, "the CA of the API server does not follow caFile: %s", text)
	if j.read(f, err); f.Remedy == "" {
		f.Remedy = cmp.Or(remedy, "put the cluster's CA there, one certificate behind the other, or change caFile")
	}
}
