package e2e

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"strings"
)

// Frames and flags of RFC 9113.
const (
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	framePushPromise  = 5
	framePing         = 6
	frameGoAway       = 7
	frameWindowUpdate = 8
	frameContinuation = 9

	endStream  = 1
	endHeaders = 4
)

// statusOK and status103 are header blocks of HPACK: an entry of its static table, and a literal.
const (
	statusOK  = "\x88"
	status103 = "\x08\x03103"
	jsonType  = "\x0f\x10\x10application/json"
)

func frame(kind, flags byte, stream uint32, payload string) string {
	header := make([]byte, 9)
	binary.BigEndian.PutUint32(header, uint32(len(payload))<<8)
	header[3], header[4] = kind, flags
	binary.BigEndian.PutUint32(header[5:], stream)
	return string(header) + payload
}

func number(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// setting is a SETTINGS frame with one value.
func setting(id uint16, value uint32) string {
	return frame(frameSettings, 0, 0, string(binary.BigEndian.AppendUint16(nil, id))+number(value))
}

// framed has each connection of HTTP/2 answered by frames, as soon as the first request was sent, or at once.
func framed(first string, answer func(w io.Writer)) func(*lied) {
	return func(v *lied) {
		v.raw("h2", func(connection *tls.Conn) {
			_, _ = io.WriteString(connection, first)
			begun := make(chan struct{})
			go func() {
				defer close(begun)
				v.awaitHeaders(connection)
			}()
			<-begun
			go io.Copy(&v.witness.trusted, connection) // or what it sends would fill the way back
			answer(connection)
			<-v.t.Context().Done()
		})
	}
}

// awaitHeaders reads until a request has come in.
func (v *lied) awaitHeaders(connection io.Reader) {
	reader := io.TeeReader(connection, &v.witness.trusted)
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	_, err := io.ReadFull(reader, preface)
	for header := make([]byte, 9); err == nil && header[3] != frameHeaders; {
		if _, err = io.ReadFull(reader, header); err == nil {
			_, err = io.CopyN(io.Discard, reader, int64(binary.BigEndian.Uint32(header)>>8))
		}
	}
	v.witness.trusted.begins()
}

// flood sends the same again and again, behind a beginning, until nobody takes it any more or half a gigabyte was sent.
func flood(begin, block string) func(*lied) {
	block = strings.Repeat(block, 1+(64<<10)/len(block))
	return framed(frame(frameSettings, 0, 0, ""), func(w io.Writer) {
		_, err := io.WriteString(w, begin)
		for sent := 0; err == nil && sent < 512<<20; sent += len(block) {
			_, err = io.WriteString(w, block)
		}
		w.(io.Closer).Close()
	})
}

// frames sends these and then nothing more.
func frames(all ...string) func(*lied) {
	return framed(frame(frameSettings, 0, 0, ""), func(w io.Writer) { _, _ = io.WriteString(w, strings.Join(all, "")) })
}

func http2Lies() []lie {
	headers := func(flags byte, block string) string { return frame(frameHeaders, flags, 1, block) }
	answered := headers(endHeaders, statusOK+jsonType)
	goAway := func(last, code uint32) string { return frame(frameGoAway, 0, 0, number(last)+number(code)) }
	return []lie{
		{name: "garbage", tell: framed("good morning to you all", func(w io.Writer) { w.(io.Closer).Close() }), says: unreachable},
		{name: "HTTP/1.1 instead", tell: framed("HTTP/1.1 400 Bad Request\r\n\r\n", func(w io.Writer) { w.(io.Closer).Close() }), says: unreachable},
		{name: "GOAWAY to everybody", tell: frames(goAway(0, 0)), says: unreachable},
		{name: "GOAWAY behind the request", tell: frames(goAway(1, 0), frame(frameReset, 0, 1, number(2))), says: unreachable},
		{name: "GOAWAY without end", tell: flood("", goAway(1, 0)), says: tryAgain, slow: true},
		{name: "GOAWAY for too much calm", tell: frames(goAway(0, 11)), says: unreachable},
		{name: "RST_STREAM", tell: frames(frame(frameReset, 0, 1, number(2))), says: unreachable},
		{name: "RST_STREAM, a wrong protocol", tell: frames(frame(frameReset, 0, 1, number(1))), says: unreachable},
		{name: "RST_STREAM, not processed", tell: frames(frame(frameReset, 0, 1, number(7))), says: timedOut, slow: true},
		{name: "RST_STREAM behind half an answer", tell: frames(answered, frame(frameData, 0, 1, body[:20]), frame(frameReset, 0, 1, number(2))), says: unreachable},
		{name: "RST_STREAM without end", tell: flood(answered, frame(frameReset, 0, 1, number(2))), says: unreachable},
		{name: "an end in the middle", tell: frames(answered, frame(frameData, endStream, 1, body[:20])), says: badAnswer},
		{name: "a frame that is too large", tell: frames("\xff\xff\xff\x00\x00\x00\x00\x00\x01", strings.Repeat("a", 1<<20)), says: unreachable},
		{name: "a frame of an unknown kind without end", tell: flood("", frame(200, 0, 0, "good morning")), says: tryAgain, slow: true},
		{name: "an answer to another request", tell: frames(frame(frameHeaders, endHeaders, 5, statusOK)), says: timedOut, slow: true},
		{name: "a push", tell: frames(frame(framePushPromise, endHeaders, 1, number(2)+statusOK)), says: unreachable},
		{name: "data before headers", tell: frames(frame(frameData, 0, 1, body)), says: unreachable},
		{name: "data without end", tell: flood(answered, frame(frameData, 0, 1, strings.Repeat("garbage ", 1<<10))), says: badAnswer},
		{name: "empty data without end", tell: flood(answered, frame(frameData, 0, 1, "")), says: tryAgain, slow: true},
		{name: "headers without end", tell: flood(headers(0, statusOK), frame(frameContinuation, 0, 1, literal("a", strings.Repeat("a", 100)))), says: unreachable},
		{name: "headers of 10 MB", tell: frames(headers(0, statusOK), strings.Repeat(frame(frameContinuation, 0, 1, literal("a", strings.Repeat("a", 100))), 100_000), frame(frameContinuation, endHeaders, 1, "")), says: unreachable},
		{name: "continuations without a byte, without end", tell: flood(headers(0, statusOK), frame(frameContinuation, 0, 1, "")), says: tryAgain, slow: true},
		{name: "a header that HPACK does not know", tell: frames(headers(endHeaders, "\xff\xff\xff\xff\xff\xff\xff\xff\xff")), says: unreachable},
		{name: "no status", tell: frames(headers(endHeaders|endStream, jsonType)), says: unreachable},
		{name: "informational answers without end", tell: flood("", headers(endHeaders, status103)), says: unreachable},
		{name: "SETTINGS without end", tell: flood("", frame(frameSettings, 0, 0, "")), says: tryAgain, slow: true},
		{name: "PING without end", tell: flood("", frame(framePing, 0, 0, "whatever")), says: tryAgain, slow: true},
		{name: "a window that overflows", tell: frames(strings.Repeat(frame(frameWindowUpdate, 0, 0, number(1<<31-1)), 3)), says: unreachable},
		{name: "a window of nothing", tell: frames(frame(frameWindowUpdate, 0, 1, number(0))), says: unreachable},
		{name: "SETTINGS that allow no stream", tell: framed(setting(3, 0), func(io.Writer) {}), says: timedOut, slow: true},
		{name: "SETTINGS that allow no body", tell: framed(setting(4, 0), func(io.Writer) {}), says: timedOut, slow: true},
		{name: "SETTINGS that are no settings", tell: framed(setting(5, 1), func(io.Writer) {}), says: timedOut, slow: true},
		{name: "silence", tell: frames(), says: timedOut, slow: true},
		{name: "half an answer, and silence", tell: frames(answered, frame(frameData, 0, 1, body[:20])), says: timedOut, slow: true},
	}
}

// literal is a header field of HPACK that is not to be remembered, both texts shorter than 127 bytes.
func literal(name, value string) string {
	return "\x00" + string(rune(len(name))) + name + string(rune(len(value))) + value
}
