package dashboard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bootstrap-agent/bootstrap-agent/test/prometheus"
)

// picture draws panels of a dashboard from a Prometheus' answers to their queries.
type picture struct {
	drawing
	testing.TB
	server *prometheus.Server
	board  board
	chosen chosen
	row    string // of the panels that are drawn; empty: titles are unique
}

// area is where a panel is drawn, in pixels.
type area struct{ x, y, w, h float64 }

// curve is one series of a panel: what the legend calls it, in which colour, and its points.
type curve struct {
	name, class string
	points      []prometheus.Point
}

func (c curve) last() float64 { return c.points[len(c.points)-1].Value }

func (c curve) sum() float64 {
	total := 0.0
	for _, p := range c.points {
		total += p.Value
	}
	return total
}

// find returns the panel of a title, and what Prometheus answers to its queries.
func (p *picture) find(title string) (panel, []curve) {
	p.Helper()
	var found panel
	var curves []curve
	for _, q := range p.board.queries() {
		if q.panel.Title != title || p.row != "" && q.row != p.row {
			continue
		}
		found = q.panel
		for _, s := range ask(p, p.server, q, p.chosen) {
			name := legendLabel.ReplaceAllStringFunc(q.LegendFormat, func(label string) string { return s.Labels[strings.Trim(label, "{}")] })
			if q.Format == "table" {
				name = s.Labels["node"] + "\t" + s.Labels["what"]
			}
			curves = append(curves, curve{name, found.colour(name), s.Points})
		}
	}
	if len(curves) == 0 && !strings.Contains(found.Description, "Empty:") {
		p.Fatalf("there is no panel %q, or no answer for it", title)
	}
	return found, curves
}

// colour is the one that the panel sets for a series, if it does.
func (p panel) colour(name string) string {
	for _, override := range p.FieldConfig.Overrides {
		for _, property := range override.Properties {
			var value struct{ FixedColor string }
			if override.Matcher.Options == name && property.ID == "color" && json.Unmarshal(property.Value, &value) == nil {
				return value.FixedColor
			}
		}
	}
	return ""
}

// threshold is the colour of a value.
func (p panel) threshold(value float64) string {
	colour := ""
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value == nil || value >= *step.Value {
			colour = step.Color
		}
	}
	return colour
}

func (p *picture) frame(a area, title string) {
	p.box(a.x, a.y, a.w, a.h, "panel")
	p.text(a.x+10, a.y+18, "start", "title", title)
}

// tile draws a stat.
func (p *picture) tile(a area, title string) {
	found, curves := p.find(title)
	text, colour := "–", "grey"
	if len(curves) > 0 {
		text, colour = found.says(curves[0].last())
	}
	p.box(a.x, a.y, a.w, a.h, "panel")
	p.box(a.x, a.y+6, 3, a.h-12, colour)
	p.text(a.x+12, a.y+20, "start", "dim", fits(title, a.w-14))
	size := "value "
	if len([]rune(text)) > 10 {
		size = "value long "
	}
	p.text(a.x+12, a.y+48, "start", size+colour, text)
}

// gauges draws a bar gauge: a line for each query, as long as its value.
func (p *picture) gauges(a area, title string) {
	found, curves := p.find(title)
	p.frame(a, title)
	most := 1.0
	for _, c := range curves {
		most = max(most, c.last())
	}
	names, value := 92.0, 34.0
	for i, c := range curves {
		y := a.y + 30 + float64(i)*22
		width := a.w - names - value - 20
		p.text(a.x+10, y+12, "start", "", fits(c.name, names))
		p.box(a.x+10+names, y, width, 16, "track")
		if c.last() > 0 {
			p.box(a.x+10+names, y, max(width*c.last()/most, 2), 16, cmp.Or(c.class, found.threshold(c.last())))
		}
		p.text(a.x+a.w-10, y+12, "end", "title", written(c.last(), found.FieldConfig.Defaults.Unit))
	}
}

// graph draws series over time, as stacked bars or as steps; legend is the width of the list of series at the right.
func (p *picture) graph(a area, title string, legend float64) {
	found, curves := p.find(title)
	p.frame(a, title)
	curves = ranked(curves)
	bars := found.FieldConfig.Defaults.Custom.DrawStyle == "bars"
	plot := area{a.x + 42, a.y + 32, a.w - 42 - 14 - legend, a.h - 32 - 24}
	top := p.axes(plot, highest(curves, bars), found.FieldConfig.Defaults.Unit)
	floor := map[int64]float64{}
	for _, c := range curves {
		if bars {
			p.stack(plot, c, top, floor)
		} else {
			p.steps(plot, c, top)
		}
	}
	for i, c := range curves {
		y := plot.y + 6 + float64(i)*18
		x := plot.x + plot.w + 18
		p.box(x, y-8, 10, 10, c.class)
		p.text(x+16, y+1, "start", "", fits(c.name, legend-60))
		number := c.last()
		if bars {
			number = c.sum()
		}
		p.text(a.x+a.w-10, y+1, "end", "dim", written(math.Round(number), found.FieldConfig.Defaults.Unit))
	}
}

// ranked are the seven largest series, and the others as one, each with a colour.
func ranked(curves []curve) []curve {
	slices.SortStableFunc(curves, func(a, b curve) int { return cmp.Or(cmp.Compare(b.sum(), a.sum()), cmp.Compare(a.name, b.name)) })
	const most = 8
	if len(curves) > most {
		rest := curve{name: fmt.Sprintf("%d others", len(curves)-most+1), class: "grey"}
		at := map[int64]int{}
		for _, c := range curves[most-1:] {
			for _, point := range c.points {
				i, ok := at[point.At.Unix()]
				if !ok {
					i = len(rest.points)
					at[point.At.Unix()] = i
					rest.points = append(rest.points, prometheus.Point{At: point.At})
				}
				rest.points[i].Value += point.Value
			}
		}
		curves = append(curves[:most-1:most-1], rest)
	}
	for i := range curves {
		curves[i].class = cmp.Or(curves[i].class, fmt.Sprintf("p%d", i))
	}
	return curves
}

// highest is the highest value of any moment: of all series on top of each other, or of one.
func highest(curves []curve, stacked bool) float64 {
	sums, most := map[int64]float64{}, 0.0
	for _, c := range curves {
		for _, point := range c.points {
			sums[point.At.Unix()] += point.Value
			most = max(most, point.Value)
		}
	}
	for _, sum := range sums {
		if stacked {
			most = max(most, sum)
		}
	}
	return most
}

// axes draws both, and returns the value at the upper end.
func (p *picture) axes(plot area, most float64, unit string) (top float64) {
	one, suffix := 1.0, ""
	if unit == "s" {
		one, suffix = 86400, " d"
	}
	most /= one
	step := math.Pow(10, math.Floor(math.Log10(max(most, 1)/3)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if most/(step*factor) <= 4 {
			step *= factor
			break
		}
	}
	step = max(step, 1)
	top = math.Ceil(most/step) * step
	for at := 0.0; at <= top; at += step {
		y := plot.y + plot.h*(1-at/top)
		p.line(plot.x, y, plot.x+plot.w, y, "grid")
		p.text(plot.x-6, y+4, "end", "small", written(at, "")+suffix)
	}
	p.days(plot)
	return top * one
}

// days draws the axis of time.
func (p *picture) days(plot area) {
	every := 5 * day
	if plot.w < 400 {
		every = 10 * day
	}
	for at := begin; !at.After(now); at = at.Add(every) {
		x := plot.xAt(at)
		p.line(x, plot.y+plot.h, x, plot.y+plot.h+4, "axis")
		p.text(x, plot.y+plot.h+16, "middle", "small", at.Format("2 Jan"))
	}
	p.line(plot.x, plot.y+plot.h, plot.x+plot.w, plot.y+plot.h, "axis")
}

func (a area) xAt(at time.Time) float64 {
	return a.x + a.w*float64(at.Sub(begin))/float64(now.Sub(begin))
}

// stack draws a bar for each interval, on top of those before, whose height it adds to floor.
func (p *picture) stack(plot area, c curve, top float64, floor map[int64]float64) {
	var path strings.Builder
	for _, point := range c.points {
		from := floor[point.At.Unix()]
		floor[point.At.Unix()] += point.Value
		low, high := plot.y+plot.h*(1-from/top), plot.y+plot.h*(1-(from+point.Value)/top)
		left, right := max(plot.xAt(point.At.Add(-graphStep)), plot.x), plot.xAt(point.At)
		if right-left < 1 {
			continue // what was counted before the first interval
		}
		fmt.Fprintf(&path, "M%s %sV%sH%sV%sZ", num(left), num(low), num(high), num(right-1), num(low))
	}
	p.add(`<path class="%s" d="%s"/>`, c.class, path.String())
}

// steps draws the values that a series had, with nothing where it had none.
func (p *picture) steps(plot area, c curve, top float64) {
	var path, edge strings.Builder
	for _, point := range c.points {
		left, right := plot.xAt(point.At), min(plot.xAt(point.At.Add(graphStep)), plot.x+plot.w)
		if right-left >= 1 {
			high, low := plot.y+plot.h*(1-point.Value/top), plot.y+plot.h
			fmt.Fprintf(&path, "M%s %sV%sH%sV%sZ", num(left), num(low), num(high), num(right), num(low))
			fmt.Fprintf(&edge, "M%s %sH%sv2H%sZ", num(left), num(high), num(right), num(left))
		}
	}
	p.add(`<path class="%s area" d="%s"/>`, c.class, path.String())
	p.add(`<path class="%s" d="%s"/>`, c.class, edge.String())
}

// table draws lines of a name and a text, in two columns side by side.
func (p *picture) table(a area, title string) {
	_, curves := p.find(title)
	p.frame(a, title)
	slices.SortFunc(curves, func(a, b curve) int { return cmp.Compare(a.name, b.name) })
	half := (len(curves) + 1) / 2
	for i, c := range curves {
		name, what, _ := strings.Cut(c.name, "\t")
		x, y := a.x+10+float64(i/half)*(a.w/2), a.y+40+float64(i%half)*20
		p.text(x, y, "start", "title", fits(name, 80))
		p.text(x+84, y, "start", "", fits(what, a.w/2-110))
		if i%half > 0 {
			p.line(x, y-14, x+a.w/2-20, y-14, "grid")
		}
	}
}
