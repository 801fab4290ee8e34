package join

import (
	"errors"
	"fmt"
	"time"
)

const (
	shortest = time.Minute
	long     = 24 * time.Hour
)

// CheckTTL checks for how long a token is to be good.
func CheckTTL(ttl time.Duration) error {
	switch {
	case ttl == 0:
		return errors.New("0 would be a token without an end: whoever comes upon a copy of it in years could still join; give the time that the nodes need, e.g. 1h")
	case ttl < 0:
		return fmt.Errorf("%s is in the past", ttl)
	case ttl < shortest:
		return fmt.Errorf("%s is over before a node has booted; give %s at least", ttl, shortest)
	}
	return nil
}

// Long says whether a token is good for longer than nodes need it.
func Long(ttl time.Duration) bool { return ttl > long }
