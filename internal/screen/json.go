package screen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf16"
)

// JSON writes v, indented, with a line feed at its end. What could command a terminal is written as \uXXXX, which is the same to whoever
// parses it: encoding/json leaves DEL, the control characters from U+0080 to U+009F and those that turn the direction as they are.
func JSON(w io.Writer, v any) error {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false) // commands have & and > in them
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	var clean bytes.Buffer
	for _, r := range plain.String() { // encoding/json has seen to it that it is UTF-8
		switch {
		case r == '\n' || !commands(r):
			clean.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&clean, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&clean, `\u%04x`, r)
		}
	}
	_, err := w.Write(clean.Bytes())
	return err
}
