//go:build !amd64

package tracer

var oldShapes map[uint64]shape
