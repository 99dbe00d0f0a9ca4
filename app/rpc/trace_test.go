package rpc

import (
	"context"
	"testing"
)

func TestContinueTrace(t *testing.T) {
	const (
		trace = "0af7651916cd43dd8448eb211c80319c"
		first = "00-" + trace + "-b7ad6b7169203331-01"
		later = "00-" + trace + "-00f067aa0ba902b7-01"
		other = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	)
	inFirst := ContinueTrace(t.Context(), first)
	for _, c := range []struct {
		name, parent, want string
		ctx                context.Context
	}{
		{"none", "", "", t.Context()},
		{"unreadable", "00-xyz-1-01", "", t.Context()},
		{"all zero", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "", t.Context()},
		{"taken up", first, first, t.Context()},
		{"stays where it is in the trace", later, first, inFirst},
		{"goes to another trace", other, other, inFirst},
		{"keeps its own", "", first, inFirst},
	} {
		if got := Traceparent(ContinueTrace(c.ctx, c.parent)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
