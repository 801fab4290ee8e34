package join

import "regexp"

// tokenLike is what a bootstrap token looks like, also where it is a part of something else.
var tokenLike = regexp.MustCompile(`(?i)[a-z0-9]{6}\.[a-z0-9]{16}`)

// Conceal returns a text without what looks like a bootstrap token in it: one that was put into the wrong place, say, which an error is
// about to quote.
func Conceal(text string) string { return tokenLike.ReplaceAllLiteralString(text, "(a token)") }
