package dashboard

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// drawing is SVG under way, which can be read on light and on dark.
type drawing struct {
	strings.Builder
	texts []area // where texts stand, as wide as they may be
}

func (d *drawing) add(format string, values ...any) { fmt.Fprintf(&d.Builder, format+"\n", values...) }

// text writes a line; anchor is start, middle or end, class one of those in style, or empty.
func (d *drawing) text(x, y float64, anchor, class, text string) {
	attributes := ""
	if class != "" {
		attributes += ` class="` + class + `"`
	}
	if anchor != "start" {
		attributes += ` text-anchor="` + anchor + `"`
	}
	d.texts = append(d.texts, spread(x, y, anchor, class, text))
	d.add(`<text x="%s" y="%s"%s>%s</text>`, num(x), num(y), attributes, html.EscapeString(text))
}

func (d *drawing) box(x, y, w, h float64, class string) {
	d.add(`<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`, class, num(x), num(y), num(w), num(h))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	d.add(`<path class="%s" d="M%s %sL%s %s"/>`, class, num(x1), num(y1), num(x2), num(y2))
}

// num is a coordinate, to a tenth of a pixel.
func num(v float64) string { return strconv.FormatFloat(float64(int64(v*10+0.5))/10, 'f', -1, 64) }

// style has a class for each of Grafana's colours in use, and p0 to p7 for series that are given none.
const style = `<style>
svg { color-scheme: light dark }
text { font-family: system-ui, sans-serif; font-size: 12px; fill: #1f2328 }
.head { font-size: 17px; font-weight: 600 } .title { font-weight: 600 } .value { font-size: 22px; font-weight: 600 } .long { font-size: 17px } .dim { fill: #59636e } .small { font-size: 11px; fill: #59636e }
.paper { fill: #f6f8fa } .panel { fill: #ffffff; stroke: #d1d9e0; rx: 4px } .track { fill: #eff2f5 } .grid { stroke: #e4e8ec; fill: none } .axis { stroke: #818b98; fill: none }
.green { fill: #1a7f37 } .yellow { fill: #9a6700 } .orange { fill: #bc4c00 } .red { fill: #cf222e } .blue { fill: #0969da } .grey { fill: #818b98 }
.p0 { fill: #cf222e } .p1 { fill: #bc4c00 } .p2 { fill: #bf8700 } .p3 { fill: #8250df } .p4 { fill: #0969da } .p5 { fill: #1b7c83 } .p6 { fill: #0a3069 } .p7 { fill: #bf3989 }
.area { fill-opacity: .25 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .dim, .small { fill: #9198a1 }
.paper { fill: #010409 } .panel { fill: #0d1117; stroke: #3d444d } .track { fill: #1c2128 } .grid { stroke: #2a313c } .axis { stroke: #656c76 }
.green { fill: #3fb950 } .yellow { fill: #d29922 } .orange { fill: #f0883e } .red { fill: #f85149 } .blue { fill: #58a6ff } .grey { fill: #656c76 }
.p0 { fill: #f85149 } .p1 { fill: #f0883e } .p2 { fill: #e3b341 } .p3 { fill: #a371f7 } .p4 { fill: #58a6ff } .p5 { fill: #39c5cf } .p6 { fill: #a5d6ff } .p7 { fill: #f778ba } }
</style>`

// letter is the mean width of a character of 12 pixels height in a wide system font.
const letter = 6.6

// spread is where a text stands in a wide font.
func spread(x, y float64, anchor, class, text string) area {
	size := 12.0
	for name, of := range map[string]float64{"head": 17, "value": 22, "small": 11} {
		if strings.Contains(class, name) {
			size = of
		}
	}
	if strings.Contains(class, "long") {
		size = 17
	}
	w := float64(len([]rune(text))) * letter * size / 12
	switch anchor {
	case "end":
		x -= w
	case "middle":
		x -= w / 2
	}
	return area{x, y - size*0.75, w, size * 0.75}
}

// fits cuts a text to a width in pixels.
func fits(text string, width float64) string {
	letters := []rune(text)
	if most := int(width / letter); len(letters) > most {
		return string(letters[:max(most-1, 0)]) + "…"
	}
	return text
}

// written is a value in a unit of Grafana's.
func written(value float64, unit string) string {
	switch unit {
	case "percentunit":
		return fmt.Sprintf("%.0f %%", value*100)
	case "dateTimeFromNow":
		left := value/1000 - float64(now.Unix())
		if left < 0 {
			return written(-left, "s") + " ago"
		}
		return "in " + written(left, "s")
	case "s":
	default:
		return strconv.FormatFloat(value, 'f', -1, 64)
	}
	for _, span := range []struct {
		name    string
		seconds float64
	}{{"days", 86400}, {"hours", 3600}, {"minutes", 60}} {
		if math.Abs(value) >= 2*span.seconds {
			return tenths(value/span.seconds) + " " + span.name
		}
	}
	return tenths(value) + " s"
}

func tenths(value float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', 1, 64), ".0")
}
