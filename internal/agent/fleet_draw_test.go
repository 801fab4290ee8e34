package agent

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// chart is a picture of one or more series over the same axes, as SVG that can be read on light and on dark.
type chart struct {
	title, x, y string
	// xTicks and yTicks are what stands along the axes; the last one is the axis' end, the first its begin.
	xTicks, yTicks []tick
	// log: the y axis is logarithmic.
	log    bool
	series []series
}

type tick struct {
	at   float64
	text string
}

// series is drawn as bars (steps that are filled), as steps or as a dashed line; class is its colour.
type series struct {
	name, class string
	filled      bool
	points      []point
	// level is a dashed line at this height, if there are no points.
	level float64
}

type point struct{ x, y float64 }

const (
	chartWidth, chartHeight                         = 860, 300
	marginLeft, marginRight, marginTop, marginBelow = 70, 20, 64, 48
)

// drawing is SVG under way.
type drawing struct{ strings.Builder }

func (d *drawing) add(format string, values ...any) { fmt.Fprintf(&d.Builder, format+"\n", values...) }

const chartStyle = `<style>
svg { color-scheme: light dark }
text { font: 13px system-ui, sans-serif; fill: #1f2328 } .title { font-weight: 600; font-size: 15px }
.paper { fill: #ffffff } .grid { stroke: #d1d9e0 } .axis { stroke: #59636e }
.agent { stroke: #0969da; fill: #0969da } .other { stroke: #1a7f37; fill: #1a7f37 } .kubelet { stroke: #bc4c00; fill: #bc4c00 } .limit { stroke: #d1242f; fill: #d1242f } .mean { stroke: #59636e; fill: #59636e }
.steps { fill: none; stroke-width: 1.8 } .bars { fill-opacity: .55; stroke: none } .level { stroke-dasharray: 6 4; stroke-width: 1.4 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .paper { fill: #0d1117 } .grid { stroke: #3d444d } .axis { stroke: #9198a1 }
.agent { stroke: #58a6ff; fill: #58a6ff } .other { stroke: #3fb950; fill: #3fb950 } .kubelet { stroke: #f0883e; fill: #f0883e } .limit { stroke: #f85149; fill: #f85149 } .mean { stroke: #9198a1; fill: #9198a1 }
.steps { fill: none } }
</style>`

// drawCharts puts charts one below the other.
func drawCharts(charts ...chart) string {
	var d drawing
	height := chartHeight * len(charts)
	d.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`, chartWidth, height, chartWidth, height)
	d.add("%s", chartStyle)
	d.add(`<rect class="paper" width="%d" height="%d"/>`, chartWidth, height)
	for i, c := range charts {
		d.add(`<g transform="translate(0 %d)">`, i*chartHeight)
		c.draw(&d)
		d.add(`</g>`)
	}
	d.add(`</svg>`)
	return d.String()
}

func (c chart) draw(d *drawing) {
	bottom, right := chartHeight-marginBelow, chartWidth-marginRight
	d.add(`<text class="title" x="%d" y="22">%s</text>`, marginLeft, html.EscapeString(c.title))
	for _, t := range c.yTicks {
		d.add(`<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, marginLeft, right, c.yAt(t.at), c.yAt(t.at))
		d.add(`<text x="%d" y="%.1f" text-anchor="end">%s</text>`, marginLeft-8, c.yAt(t.at)+4, html.EscapeString(t.text))
	}
	for _, t := range c.xTicks {
		d.add(`<line class="axis" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`, c.xAt(t.at), c.xAt(t.at), bottom, bottom+5)
		d.add(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`, c.xAt(t.at), bottom+20, html.EscapeString(t.text))
	}
	d.add(`<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>`, marginLeft, right, bottom, bottom)
	d.add(`<text x="%d" y="%d" text-anchor="middle">%s</text>`, (marginLeft+right)/2, bottom+40, html.EscapeString(c.x))
	d.add(`<text transform="translate(14 %d) rotate(-90)" text-anchor="middle">%s</text>`, (marginTop+bottom)/2, html.EscapeString(c.y))
	at := marginLeft
	for _, s := range c.series {
		c.drawSeries(d, s)
		d.add(`<rect class="%s" x="%d" y="34" width="14" height="10"/>`, s.class, at)
		d.add(`<text x="%d" y="44">%s</text>`, at+20, html.EscapeString(s.name))
		at += 44 + 7*len([]rune(s.name))
	}
}

func (c chart) drawSeries(d *drawing, s series) {
	if len(s.points) == 0 {
		d.add(`<line class="level %s" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`, s.class, marginLeft, chartWidth-marginRight, c.yAt(s.level), c.yAt(s.level))
		return
	}
	var path strings.Builder
	floor := c.yTicks[0].at
	if s.filled {
		fmt.Fprintf(&path, "M%.1f %.1f", c.xAt(s.points[0].x), c.yAt(floor))
	}
	for i, p := range s.points {
		if i == 0 && !s.filled {
			fmt.Fprintf(&path, "M%.1f %.1f", c.xAt(p.x), c.yAt(p.y))
			continue
		}
		fmt.Fprintf(&path, "H%.1fV%.1f", c.xAt(p.x), c.yAt(p.y))
	}
	if s.filled {
		fmt.Fprintf(&path, "V%.1fZ", c.yAt(floor))
		d.add(`<path class="bars %s" d="%s"/>`, s.class, path.String())
		return
	}
	d.add(`<path class="%s steps" d="%s"/>`, s.class, path.String())
}

func (c chart) xAt(x float64) float64 {
	first, last := c.xTicks[0].at, c.xTicks[len(c.xTicks)-1].at
	return marginLeft + (x-first)/(last-first)*(chartWidth-marginLeft-marginRight)
}

func (c chart) yAt(y float64) float64 {
	first, last := c.yTicks[0].at, c.yTicks[len(c.yTicks)-1].at
	if c.log {
		y, first, last = math.Log10(max(y, first)), math.Log10(first), math.Log10(last)
	}
	share := min(max((y-first)/(last-first), 0), 1)
	return chartHeight - marginBelow - share*(chartHeight-marginBelow-marginTop)
}

// ticksEvery makes ticks from 0 to at least most, in about five steps of a round number.
func ticksEvery(most float64) []tick {
	step := math.Pow(10, math.Floor(math.Log10(most/4)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if most/(step*factor) <= 6 {
			step *= factor
			break
		}
	}
	var ticks []tick
	for at := 0.0; ; at += step {
		ticks = append(ticks, tick{at, grouped(int(at))})
		if at >= most {
			return ticks
		}
	}
}

// grouped writes a number with a thin space between thousands.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "\u202f" + text[i:]
	}
	return text
}

// steps are the bins as steps, x in units.
func (b *simBins) steps(origin, unit float64) []point {
	var points []point
	for i, n := range b.count {
		points = append(points, point{(float64(b.from) + float64(i)*float64(b.width) - origin) / unit, float64(n)})
	}
	last := points[len(points)-1]
	return append(points, point{last.x + float64(b.width)/unit, last.y})
}
