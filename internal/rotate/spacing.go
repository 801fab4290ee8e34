package rotate

import "time"

// Spacing is the least time between two requests for one certificate, whatever the reason for the second one: a mistake anywhere must
// not become a stream of objects that somebody has to look at.
const Spacing = 20 * time.Second

// ShortLife is a certificate's life below which a kubelet, which re-reads its files every 5 minutes, may come too late.
const ShortLife = 20 * time.Minute

// TooSoon says whether a request now would follow too closely on one that was made at last. A time in the future is a clock's that was
// set back since, and holds nothing up.
func TooSoon(last, now time.Time) bool {
	since := now.Sub(last)
	return !last.IsZero() && since >= 0 && since < Spacing
}
