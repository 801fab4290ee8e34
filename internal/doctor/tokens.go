package doctor

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
)

// A bootstrap token is an id and a secret, in lower case letters and digits, with a dot between.
const idLength, secretLength = 6, 16

// depth is how many wrappings are taken off: gzip within base64, within gzip.
const depth = 3

// tokenLine finds the first bootstrap token in text, also in base64 and gzip, and returns its line; 0: in something without lines.
func tokenLine(text []byte) (line int, found bool) { return search(text, depth) }

func search(text []byte, depth int) (line int, found bool) {
	if at := tokenAt(text); at >= 0 {
		return lineOf(text, at), true
	}
	if depth == 0 {
		return 0, false
	}
	if plain := unzipped(text); plain != nil {
		_, found = search(plain, depth-1)
		return 0, found
	}
	for at := 0; at < len(text); {
		begin, end := encoded(text, at)
		if _, found := search(decoded(text[begin:end]), depth-1); found {
			return lineOf(text, begin), true
		}
		at = end
	}
	return 0, false
}

func lineOf(text []byte, at int) int {
	if bytes.IndexByte(text, 0) >= 0 {
		return 0
	}
	return 1 + bytes.Count(text[:at], []byte{'\n'})
}

// tokenAt is where a token stands by itself, -1: nowhere. A part of a longer word or of a host name is none.
func tokenAt(text []byte) int {
	for dot := idLength; dot < len(text); dot++ {
		next := bytes.IndexByte(text[dot:], '.')
		if next < 0 {
			return -1
		}
		dot += next
		begin, end := dot-idLength, dot+1+secretLength
		if end <= len(text) && only(text[begin:dot]) && only(text[dot+1:end]) && begins(text[:begin]) && ends(text[end:]) {
			return begin
		}
	}
	return -1
}

func only(text []byte) bool {
	for _, b := range text {
		if !isLower(b) {
			return false
		}
	}
	return true
}

func isLower(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' }
func isLetter(b byte) bool {
	return isLower(b) || b >= 'A' && b <= 'Z' || b == '_' || b == '-'
}

// begins says whether a word may begin behind text. In JSON that is also behind an escape such as \n.
func begins(text []byte) bool {
	if len(text) == 0 {
		return true
	}
	last := text[len(text)-1]
	if len(text) > 1 && text[len(text)-2] == '\\' && bytes.IndexByte([]byte("nrt"), last) >= 0 {
		return true
	}
	return !isLetter(last) && last != '.'
}

// ends says whether a word may end before text: a dot may be that of a sentence.
func ends(text []byte) bool {
	if len(text) > 0 && text[0] == '.' {
		text = text[1:]
	}
	return len(text) == 0 || !isLetter(text[0])
}

// leastEncoded is the length of a token in base64.
const leastEncoded = (idLength + 1 + secretLength) * 4 / 3

// encoded is the next run of base64 from at on that can hold a token: cloud-init's write_files has contents in it. It goes on in lines of
// nothing else. Without one it is the empty end of the text.
func encoded(text []byte, at int) (begin, end int) {
	for begin = at; begin < len(text); begin = end + 1 {
		for end = begin; end < len(text) && isEncoded(text[end]); end++ {
		}
		if end-begin < leastEncoded {
			continue
		}
		for next := continued(text, end); next > end; next = continued(text, end) {
			end = next
		}
		return begin, end
	}
	return len(text), len(text)
}

func isEncoded(b byte) bool {
	return isLower(b) || b >= 'A' && b <= 'Z' || b == '+' || b == '/'
}

// continued is the end of the line behind end if that is base64 and nothing else.
func continued(text []byte, end int) int {
	next := end
	for next < len(text) && bytes.IndexByte([]byte("\r\n \t"), text[next]) >= 0 {
		next++
	}
	if next == end || bytes.IndexByte(text[end:next], '\n') < 0 {
		return end
	}
	last := next
	for last < len(text) && isEncoded(text[last]) {
		last++
	}
	if last == next || last < len(text) && bytes.IndexByte([]byte("\r\n="), text[last]) < 0 {
		return end
	}
	return last
}

// decoded is what a run of base64 holds; what is behind the last whole letter is left out.
func decoded(run []byte) []byte {
	letters := bytes.Map(func(r rune) rune {
		if r < 0x80 && isEncoded(byte(r)) {
			return r
		}
		return -1
	}, run)
	if len(letters)%4 == 1 {
		letters = letters[:len(letters)-1]
	}
	plain := make([]byte, base64.RawStdEncoding.DecodedLen(len(letters)))
	n, _ := base64.RawStdEncoding.Decode(plain, letters)
	return plain[:n]
}

// unzipped is what gzip holds, as far as it can be read; nil: it is none.
func unzipped(text []byte) []byte {
	if !bytes.HasPrefix(text, []byte{0x1f, 0x8b}) { // a reader is dear, and most runs of letters are none
		return nil
	}
	r, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil
	}
	plain, _ := io.ReadAll(io.LimitReader(r, maxCopy))
	return plain
}
