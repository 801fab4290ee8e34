package certdir

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
)

// What is remembered is never what is said of other bytes, whatever those who got it have done with it.
func TestKnownPairsAreThoseOfTheirBytes(t *testing.T) {
	var texts [][]byte
	for i := range knownPairs + 2 {
		text := newPair(t, fmt.Sprintf("pair-%d", i), noon)
		damaged := bytes.Clone(text)
		damaged[len(text)/2] ^= 1 // of the same length
		texts = append(texts, text, damaged, text[:len(text)-40])
	}
	var known Known
	buffer := make([]byte, 0, 8<<10)
	for round := range 3 {
		for i := range texts {
			text := append(buffer[:0], texts[i*(round*2+1)%len(texts)]...) // one that is used again and again
			for range 2 {
				pair, err := known.parse(text)
				fresh, freshErr := ParsePair(bytes.Clone(text))
				if fmt.Sprint(err) != fmt.Sprint(freshErr) || !reflect.DeepEqual(pair, fresh) {
					t.Fatalf("round %d, text %d: %+v, %v; expected %+v, %v", round, i, pair, err, fresh, freshErr)
				}
				if pair != nil {
					pair.File, pair.Key = "elsewhere", nil
				}
			}
		}
		if len(known.pairs) != knownPairs {
			t.Errorf("%d pairs are remembered, expected %d", len(known.pairs), knownPairs)
		}
	}
}

func TestAPairThatIsKnownHasTheFileAndTheTimeThatItHasNow(t *testing.T) {
	d := newDir(t)
	d.Known = &Known{}
	text := newPair(t, "same", noon)
	for days := range 3 {
		must(t, d.Commit(Client, text, noon.AddDate(0, 0, days)))
		remembered, err := d.Read(Client)
		must(t, err)
		fresh, err := Dir{Path: d.Path}.Read(Client)
		must(t, err)
		if !reflect.DeepEqual(remembered, fresh) {
			t.Errorf("after %d commits it is in %s of %s, expected %s of %s", days+1, remembered.File, remembered.ModTime, fresh.File, fresh.ModTime)
		}
	}
	if len(d.Known.pairs) != 1 {
		t.Errorf("%d pairs are remembered, expected one", len(d.Known.pairs))
	}
}
