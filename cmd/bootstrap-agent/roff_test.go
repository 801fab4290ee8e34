package main

import (
	"fmt"
	"strings"
)

// page is a manual page in roff with the macros of man(7).
type page struct{ strings.Builder }

func newPage(name string, section int) *page {
	p := &page{}
	p.line(`.\" Written by the tests of cmd/bootstrap-agent, from the commands: UPDATE_DOCS=1 go test -run Manual ./cmd/bootstrap-agent`)
	p.line(`.TH %s %d "" bootstrap\-agent "System Administration"`, escape(strings.ToUpper(name)), section)
	return p
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) section(title string) { p.line(".SH %s", title) }

// text writes paragraphs, which empty lines divide. Lines that begin with a blank are kept as they are.
func (p *page) text(text string) {
	for i, paragraph := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if i > 0 {
			p.line(".PP")
		}
		literal := strings.HasPrefix(paragraph, " ") || strings.HasPrefix(paragraph, "\t")
		if literal {
			p.line(".EX")
		}
		for line := range strings.SplitSeq(paragraph, "\n") {
			p.line("%s", body(line))
		}
		if literal {
			p.line(".EE")
		}
	}
}

// item writes a term, which is roff already, and what it means.
func (p *page) item(term, meaning string) {
	p.line(".TP\n%s", term)
	p.text(meaning)
}

func bold(text string) string { return `\fB` + escape(text) + `\fR` }

func italic(text string) string { return `\fI` + escape(text) + `\fR` }

// escape keeps dashes, backslashes and quotes as they are typed, so that an option can be copied from the page.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(text)
}

// body is a line of text; a full stop at its beginning would be a request.
func body(line string) string {
	line = escape(line)
	if strings.HasPrefix(line, ".") {
		line = `\&` + line
	}
	return line
}
