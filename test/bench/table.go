package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// write prints the table.
func write(w io.Writer, rows []row) error {
	table := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(table, "\tagent\tkubelet\tratio\tbudget\tverdict")
	for _, r := range rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", r.what, r.unit.sample(r.agent), r.unit.sample(r.kubelet), r.ratio(), r.allowed(), r.budget.judge(r.agent, r.kubelet))
	}
	return table.Flush()
}

// sample writes median (least–most), or just the value when all are the same.
func (u unit) sample(s sample) string {
	if len(s) == 0 {
		return "–"
	}
	median, least, most := u.write(s.median()), u.write(s.quantile(0)), u.write(s.quantile(1))
	if least == most {
		return median + u.name
	}
	return fmt.Sprintf("%s%s (%s–%s)", median, u.name, least, most)
}

func (r row) ratio() string {
	if len(r.agent) == 0 || len(r.kubelet) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", r.agent.median()/r.kubelet.median())
}

func (r row) allowed() string {
	var parts []string
	if r.budget.exactly > 0 {
		parts = append(parts, "= "+r.unit.write(r.budget.exactly)+r.unit.name)
	}
	if r.budget.most > 0 {
		parts = append(parts, "≤ "+strings.TrimSuffix(r.unit.write(r.budget.most), ".0")+r.unit.name)
	}
	if r.budget.ratio > 0 {
		parts = append(parts, fmt.Sprintf("≤ %.1f × kubelet", r.budget.ratio))
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}
