package certdir

import (
	"bytes"
	"slices"
)

// Known remembers the pairs that were parsed last, for whoever reads the same files again and again: checking that a certificate
// and a key belong together takes many times as long as reading them. The zero value is ready. It is not for several goroutines
// at once.
type Known struct{ pairs []*Pair }

// knownPairs is room for the current and an older pair of both kinds.
const knownPairs = 4

// parse is [ParsePair]; each caller gets a pair of his own. A nil Known remembers nothing.
func (k *Known) parse(text []byte) (*Pair, error) {
	if k == nil {
		return ParsePair(text)
	}
	for _, pair := range k.pairs {
		if bytes.Equal(pair.PEM, text) {
			own := *pair
			own.PEM = text
			return &own, nil
		}
	}
	pair, err := ParsePair(text)
	if err != nil {
		return nil, err
	}
	if len(k.pairs) == knownPairs {
		k.pairs = slices.Delete(k.pairs, 0, 1)
	}
	own := *pair
	own.PEM = bytes.Clone(text)
	k.pairs = append(k.pairs, &own)
	return pair, nil
}
