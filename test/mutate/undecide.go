package main

import (
	"fmt"
	"go/ast"
	"go/token"
)

// undecide has the agent decide as if a case were not there, or one of two conditions that count together: in the functions that return a
// step, and in those that are nothing but a condition.
func (m maker) undecide() {
	results := m.f.Type.Results
	if m.s.pkg != "agent" || results == nil || len(results.List) != 1 || len(results.List[0].Names) > 0 {
		return
	}
	returned := m.s.textOf(results.List[0].Type)
	if returned != "step" && (returned != "bool" || len(m.f.Body.List) != 1) {
		return
	}
	cases, operands := 0, 0
	ast.Inspect(m.f.Body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CaseClause:
			for _, condition := range n.List {
				if returned == "step" {
					cases++
					text := m.s.textOf(condition)
					m.add("never", fmt.Sprint(cases), "`"+short(text)+"` is never so", m.edit(condition, "("+text+") && false"))
				}
			}
		case *ast.BinaryExpr:
			if n.Op != token.LAND && n.Op != token.LOR {
				return true
			}
			for _, pair := range [][2]ast.Expr{{n.X, n.Y}, {n.Y, n.X}} {
				operands++
				m.add("one less", fmt.Sprint(operands), "`"+short(m.s.textOf(n))+"` without `"+short(m.s.textOf(pair[0]))+"`", m.edit(n, m.s.textOf(pair[1])))
			}
		}
		return true
	})
}
