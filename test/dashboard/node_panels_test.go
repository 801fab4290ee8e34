package dashboard

import (
	"cmp"
	"encoding/json"
	"math"
	"strconv"
)

// says is what stands for a value, and in which colour.
func (p panel) says(value float64) (text, colour string) {
	type saying struct{ Text, Color string }
	for _, m := range p.FieldConfig.Defaults.Mappings {
		var values map[string]saying
		var special struct {
			Match  string
			Result saying
		}
		if m.Type == "value" && json.Unmarshal(m.Options, &values) == nil {
			if found, ok := values[strconv.FormatFloat(value, 'f', -1, 64)]; ok {
				return found.Text, found.Color
			}
		}
		if m.Type == "special" && json.Unmarshal(m.Options, &special) == nil && special.Match == "nan" && math.IsNaN(value) {
			return special.Result.Text, "grey"
		}
	}
	return written(value, p.FieldConfig.Defaults.Unit), p.threshold(value)
}

// gauge draws a share of a whole.
func (p *picture) gauge(a area, title string) {
	found, curves := p.find(title)
	value := curves[0].last()
	p.tile(a, title)
	bar := area{a.x + 84, a.y + 35, a.w - 94, 12}
	p.box(bar.x, bar.y, bar.w, bar.h, "track")
	p.box(bar.x, bar.y, bar.w*min(value, 1), bar.h, found.threshold(value))
}

// timeline draws a line for each series, coloured by its value at the time.
func (p *picture) timeline(a area, title string) {
	found, curves := p.find(title)
	p.frame(a, title)
	const names = 180
	plot := area{a.x + names, a.y + 30, a.w - names - 26, a.h - 30 - 24}
	height := plot.h / float64(len(curves))
	for i, c := range curves {
		y := plot.y + float64(i)*height
		p.text(plot.x-8, y+height/2+4, "end", "", fits(c.name, names-12))
		for from := 0; from < len(c.points); {
			to := from
			for to < len(c.points) && same(c.points[to].Value, c.points[from].Value) {
				to++
			}
			left, right := plot.xAt(c.points[from].At), min(plot.xAt(c.points[to-1].At.Add(graphStep)), plot.x+plot.w)
			_, colour := found.says(c.points[from].Value)
			if right > left {
				p.box(left, y+3, right-left, height-6, cmp.Or(colour, "grey"))
			}
			from = to
		}
	}
	p.days(plot)
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
