package rotate

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"math/rand"
	"testing"
	"time"
)

var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func leafFor(life time.Duration, serial *big.Int) *x509.Certificate {
	return &x509.Certificate{SerialNumber: serial, NotBefore: begin, NotAfter: begin.Add(life)}
}

// serials are made as signers make them: 126 bits at random.
func serials(n int) []*big.Int {
	source := rand.New(rand.NewSource(1)) // the same in every run
	all := make([]*big.Int, n)
	for i := range all {
		all[i] = new(big.Int).Rand(source, new(big.Int).Lsh(big.NewInt(1), 126))
	}
	return all
}

// The kubelet re-reads its client certificate every 5 minutes, so short ones are renewed earlier.
func TestTheDeadlineLeavesTimeForAKubeletThatLooksEveryFiveMinutes(t *testing.T) {
	for _, c := range []struct{ life, first, last time.Duration }{
		{90 * time.Second, 45 * time.Second, 54 * time.Second},
		{10 * time.Minute, 5 * time.Minute, 6 * time.Minute},
		{30 * time.Minute, 17 * time.Minute, 20 * time.Minute},
		{time.Hour, 42 * time.Minute, 50 * time.Minute},
		{100 * time.Hour, 70 * time.Hour, 90 * time.Hour},
		{365 * 24 * time.Hour, 365 * 24 * time.Hour * 70 / 100, 365 * 24 * time.Hour * 90 / 100},
	} {
		earliest, latest := c.life, time.Duration(0)
		for i, serial := range serials(1000) {
			at := Deadline(leafFor(c.life, serial), begin, fmt.Sprintf("node-%d", i)).Sub(begin)
			earliest, latest = min(earliest, at), max(latest, at)
		}
		const slack = time.Microsecond // of the arithmetic
		if earliest < c.first-slack || latest > c.last+slack {
			t.Errorf("life %s: from %s to %s, expected within %s and %s", c.life, earliest, latest, c.first, c.last)
		}
		if width := c.last - c.first; earliest > c.first+width/50 || latest < c.last-width/50 {
			t.Errorf("life %s: from %s to %s does not use the whole range from %s to %s", c.life, earliest, latest, c.first, c.last)
		}
	}
}

func TestAFleetIsSpreadEvenly(t *testing.T) {
	year := 365 * 24 * time.Hour
	random, one := serials(1000), serials(1)[0]
	for name, serial := range map[string]func(i int) *big.Int{
		"nodes with serial numbers at random":       func(i int) *big.Int { return random[i] },
		"nodes with serial numbers one by one":      func(i int) *big.Int { return big.NewInt(int64(i)) },
		"nodes of clusters with the same serial":    func(int) *big.Int { return one },
		"nodes with the serial number 1":            func(int) *big.Int { return big.NewInt(1) },
		"nodes with serials of very many bits":      func(i int) *big.Int { return new(big.Int).Lsh(big.NewInt(int64(i)), 150) },
		"nodes with serial numbers one by one, 2³²": func(i int) *big.Int { return big.NewInt(int64(i) << 32) },
	} {
		for _, format := range []string{"node-%d", "%04d.workers.example.com", "ip-10-0-%d.internal"} {
			var deciles [10]int
			for i := range 1000 {
				leaf := leafFor(year, serial(i))
				part := float64(Deadline(leaf, begin, fmt.Sprintf(format, i)).Sub(begin)) / float64(year)
				deciles[min(9, int((part-0.7)/0.02))]++
			}
			for i, count := range deciles {
				if count < 60 || count > 140 { // 100 ± 4σ
					t.Errorf("%s, %s: tenth %d of the range has %d of 1000: %v", name, format, i, count, deciles)
					break
				}
			}
		}
	}
}

func TestTheSameNodeHasASpreadOverItsCertificatesToo(t *testing.T) {
	var halves [2]int
	for _, serial := range serials(200) {
		if Deadline(leafFor(100*time.Hour, serial), begin, "node-1").Sub(begin) < 80*time.Hour {
			halves[0]++
		} else {
			halves[1]++
		}
	}
	if halves[0] < 60 || halves[1] < 60 {
		t.Errorf("%v of 200 in the two halves of the range", halves)
	}
}

func TestTheDeadlineIsTheSameAfterEveryRestart(t *testing.T) {
	leaf := leafFor(time.Hour, serials(1)[0])
	first := Deadline(leaf, begin, "node-1")
	again := leafFor(time.Hour, serials(1)[0]) // read from the disk again
	if second := Deadline(again, begin, "node-1"); !second.Equal(first) {
		t.Errorf("%s, then %s", first, second)
	}
	if none := Deadline(leafFor(time.Hour, nil), begin, "node-1"); none.Before(begin) {
		t.Errorf("%s for a certificate without a serial number", none)
	}
	if other := Deadline(leaf, begin, "node-2"); other.Equal(first) {
		t.Error("another node has the same deadline")
	}
}

func TestTheDeadlineComesBeforeTheEndHoweverShortTheLife(t *testing.T) {
	for _, life := range []time.Duration{time.Nanosecond, time.Millisecond, time.Second, time.Minute, 9 * time.Minute, 11 * time.Minute, time.Hour, 100 * 365 * 24 * time.Hour} {
		for i, serial := range serials(200) {
			leaf := leafFor(life, serial)
			for _, stored := range []time.Time{begin, begin.Add(life / 2), begin.Add(life - 1), begin.Add(-time.Hour), begin.Add(life)} {
				at := Deadline(leaf, stored, fmt.Sprint(i))
				if !at.Before(leaf.NotAfter) || at.Before(Received(leaf, stored)) {
					t.Fatalf("life %s, stored %s after its begin: deadline %s after its begin", life, stored.Sub(begin), at.Sub(begin))
				}
			}
		}
	}
}

func TestALifeBeginsWhenTheFileWasWrittenUnlessThatCannotBe(t *testing.T) {
	leaf := leafFor(time.Hour, nil)
	for _, c := range []struct {
		name             string
		stored, received time.Duration
	}{
		{"written before notBefore: the clock was wrong, or the file copied", -time.Second, 0},
		{"written at notBefore", 0, 0},
		{"written in between: signers backdate", 5 * time.Minute, 5 * time.Minute},
		{"written just before the end", time.Hour - 1, time.Hour - 1},
		{"written at the end", time.Hour, 0},
		{"written after the end", 2 * time.Hour, 0},
	} {
		if received := Received(leaf, begin.Add(c.stored)).Sub(begin); received != c.received {
			t.Errorf("%s: received %s after notBefore, expected %s", c.name, received, c.received)
		}
	}
	if received := Received(leaf, time.Time{}); !received.Equal(begin) {
		t.Errorf("received %s, expected notBefore when nobody knows", received)
	}
}
