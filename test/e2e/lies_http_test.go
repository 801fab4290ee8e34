package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/controlplane"
)

// The reasons that the log gives.
const (
	unreachable = "reason=unreachable"
	timedOut    = "reason=timeout"
	badTLS      = "reason=tls"
	serverError = "reason=server-error"
	redirects   = "reason=redirect"
	// tryAgain is for lies about which the exact reason says nothing.
	tryAgain = "will try again"
)

// raw has each connection answered by bytes, after a TLS handshake as good as any. It may be sent the token.
func (v *lied) raw(protocol string, answer func(*tls.Conn)) {
	certificate := v.certificate(controlplane.ServingOptions{})
	v.seen = v.proxy.Raw(func(connection net.Conn) {
		server := tls.Server(connection, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{protocol}})
		if server.Handshake() == nil {
			answer(server)
		}
	})
}

// rawly answers the requests of each connection over HTTP/1.1.
func rawly(answer func(w io.Writer)) func(*lied) {
	return func(v *lied) {
		v.raw("http/1.1", func(connection *tls.Conn) {
			reader := bufio.NewReader(io.TeeReader(connection, &v.witness.trusted))
			for {
				request, err := http.ReadRequest(reader)
				if err != nil {
					return
				}
				v.witness.trusted.begins()
				_, _ = io.Copy(io.Discard, request.Body)
				answer(connection)
			}
		})
	}
}

// text answers with these bytes.
func text(parts ...string) func(*lied) {
	return rawly(func(w io.Writer) { _, _ = io.WriteString(w, strings.Join(parts, "")) })
}

// textAndEnd answers with these bytes and closes the connection.
func textAndEnd(parts ...string) func(*lied) {
	return rawly(func(w io.Writer) {
		_, _ = io.WriteString(w, strings.Join(parts, ""))
		w.(io.Closer).Close()
	})
}

// withoutEnd has an answer that never ends; half a gigabyte is the end of it, for the test's machine's sake.
func withoutEnd(begin, block string) func(*lied) {
	block = strings.Repeat(block, 1+(64<<10)/len(block))
	return rawly(func(w io.Writer) {
		_, err := io.WriteString(w, begin)
		for sent := 0; err == nil && sent < 512<<20; sent += len(block) {
			_, err = io.WriteString(w, block)
		}
	})
}

// dropByDrop sends a byte, and waits, and the next.
func dropByDrop(answer string, pause time.Duration) func(*lied) {
	return rawly(func(w io.Writer) {
		for i := range answer {
			if _, err := io.WriteString(w, answer[i:i+1]); err != nil {
				return
			}
			time.Sleep(pause)
		}
	})
}

const (
	ok      = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
	// a body as good as any other, of the right kind
	body = `{"kind":"CertificateSigningRequest","apiVersion":"certificates.k8s.io/v1","metadata":{"name":"a","uid":"b"}}`
)

func length(n int) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n", n) }

// zipped is a megabyte of blanks, as a member of a gzip file, which may have any number of them.
func zipped() string {
	var buffer bytes.Buffer
	writer := gzip.NewWriter(&buffer)
	_, _ = writer.Write(bytes.Repeat([]byte(" "), 1<<20))
	_ = writer.Close()
	return buffer.String()
}

// httpLies are answers that HTTP does not allow, or allows and nobody expects.
func httpLies() []lie {
	bomb := strings.Repeat(zipped(), 1000)
	all := []lie{
		{name: "nothing", tell: textAndEnd(), says: unreachable},
		{name: "garbage", tell: textAndEnd("\x00\xff\x01 good morning\r\n\r\n"), says: badAnswer},
		{name: "another protocol", tell: textAndEnd("SSH-2.0-OpenSSH_9.9\r\n"), says: badAnswer},
		{name: "HTTP/0.9", tell: textAndEnd("<html>good morning</html>"), says: badAnswer},
		{name: "HTTP/1.0", tell: textAndEnd("HTTP/1.0 200 OK\r\n\r\n", body), says: badAnswer},
		{name: "HTTP/3.0", tell: textAndEnd("HTTP/3.0 200 OK\r\n\r\n", body), says: badAnswer},
		{name: "a code of four digits", tell: textAndEnd("HTTP/1.1 2000 OK\r\n\r\n"), says: badAnswer},
		{name: "a negative code", tell: textAndEnd("HTTP/1.1 -20 OK\r\n\r\n"), says: badAnswer},
		{name: "a status line without end", tell: withoutEnd("HTTP/1.1 200 ", "OK"), says: badAnswer},
		{name: "headers of 10 MB", tell: text(ok, strings.Repeat("A: "+strings.Repeat("a", 1020)+"\r\n", 10<<10), length(len(body)), body), says: badAnswer},
		{name: "one header of 10 MB", tell: text(ok, "A: ", strings.Repeat("a", 10<<20), "\r\n", length(len(body)), body), says: badAnswer},
		{name: "headers without end", tell: withoutEnd(ok, "A: a\r\n"), says: badAnswer},
		{name: "a header without end", tell: withoutEnd(ok+"A: ", "a"), says: badAnswer},
		{name: "a header without a colon", tell: textAndEnd(ok, "good morning\r\n\r\n"), says: badAnswer},
		{name: "a body without end", tell: withoutEnd(ok+length(1<<40)+`{"kind":"`, "garbage "), says: badAnswer},
		{name: "chunks without end", tell: withoutEnd(chunked, "8\r\ngarbage \r\n"), says: badAnswer},
		{name: "chunks of one byte without end", tell: withoutEnd(chunked, "1\r\n \r\n"), says: badAnswer},
		{name: "a chunk of any size", tell: withoutEnd(chunked+"7fffffffffffffff\r\n", "garbage "), says: badAnswer},
		{name: "a chunk of negative size", tell: text(chunked, "-1\r\n"), says: unreachable},
		{name: "a chunk's size that is none", tell: text(chunked, "good morning\r\n"), says: unreachable},
		{name: "a chunk's extension without end", tell: withoutEnd(chunked+"8;a=", "a"), says: unreachable},
		{name: "a trailer without end", tell: withoutEnd(chunked+"0\r\nA: ", "a"), says: unreachable},
		{name: "two lengths", tell: textAndEnd(ok, "Content-Length: 1\r\n", length(2), "ab"), says: badAnswer},
		{name: "a negative length", tell: textAndEnd(ok, length(-1)), says: badAnswer},
		{name: "a length that is too long", tell: textAndEnd(ok, length(len(body)+1), body), says: unreachable},
		{name: "a length that is too short", tell: text(ok, length(len(body)-1), body), says: badAnswer},
		{name: "length and chunks", tell: textAndEnd(ok, "Transfer-Encoding: chunked\r\n", length(3), "0\r\n\r\n"), says: badAnswer},
		{name: "a gzip bomb", tell: text(ok, "Content-Encoding: gzip\r\n", length(len(bomb)), bomb), says: badAnswer},
		{name: "gzip that is none", tell: text(ok, "Content-Encoding: gzip\r\n", length(len(body)), body), says: unreachable},
		{name: "another encoding", tell: text(ok, "Content-Encoding: zstd\r\n", length(4), "\x28\xb5\x2f\xfd"), says: badAnswer},
		{name: "no end of informational answers", tell: withoutEnd("", "HTTP/1.1 103 Early Hints\r\nA: a\r\n\r\n"), says: badAnswer},
		{name: "no end of 100 Continue", tell: withoutEnd("", "HTTP/1.1 100 Continue\r\n\r\n"), says: badAnswer},
		{name: "switching protocols", tell: textAndEnd("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "garbage"), says: badAnswer},
		{name: "many answers to one request", tell: rawly(func(w io.Writer) {
			_, _ = io.WriteString(w, strings.Repeat(ok+length(2)+"{}", 1000))
		}), says: badAnswer},
		{name: "an answer before the request", tell: func(v *lied) {
			v.raw("http/1.1", func(connection *tls.Conn) {
				_, _ = io.WriteString(connection, ok+length(len(body))+body)
				_, _ = io.Copy(&v.witness.trusted, connection)
			})
		}, says: tryAgain},
		{name: "an end without a farewell", tell: rawly(func(w io.Writer) { w.(*tls.Conn).NetConn().Close() }), says: unreachable},
		{name: "silence", tell: rawly(func(io.Writer) {}), says: timedOut, slow: true},
		{name: "half an answer, and silence", tell: text(ok, length(len(body)), body[:20]), says: timedOut, slow: true},
		{name: "a header a second", tell: dropByDrop(ok+length(len(body)), 300*time.Millisecond), says: timedOut, slow: true},
		{name: "a byte a second", tell: func(v *lied) {
			rawly(func(w io.Writer) {
				_, err := io.WriteString(w, chunked)
				for ; err == nil; time.Sleep(time.Second) {
					_, err = io.WriteString(w, "1\r\n \r\n")
				}
			})(v)
		}, says: timedOut, slow: true},
		{name: "an informational answer a second", tell: rawly(func(w io.Writer) {
			for err := error(nil); err == nil; time.Sleep(time.Second) {
				_, err = io.WriteString(w, "HTTP/1.1 100 Continue\r\n\r\n")
			}
		}), says: timedOut, slow: true},
	}
	return append(append(all, cutLies()...), handledLies()...)
}

// cutLies close the connection behind every seventh byte of an answer.
func cutLies() []lie {
	answer := ok + length(len(body)) + body
	var all []lie
	for at := 0; at < len(answer); at += 7 {
		says := unreachable
		if at > 0 && at < len(ok)+len(length(len(body))) {
			says = tryAgain // how far the header came makes the difference
		}
		all = append(all, lie{name: fmt.Sprintf("closed behind byte %d of %d", at, len(answer)), tell: textAndEnd(answer[:at]), says: says})
	}
	return all
}
