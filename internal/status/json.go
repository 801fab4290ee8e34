package status

import (
	"io"

	"github.com/bootstrap-agent/bootstrap-agent/internal/screen"
)

// WriteJSON writes the stable form for programs.
func (r Report) WriteJSON(w io.Writer) error { return screen.JSON(w, r) }
