package monitor

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"streamgate/app/rpc"
)

func TestGetNode(t *testing.T) {
	started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	full := errors.New("disk is gone")
	var spaceErr error
	s := New(Config{
		NodeID: "n1", Version: "1.0", Roles: []string{"monolith"}, Started: started,
		Space: func(context.Context) (int64, int64, error) { return 1, 2, spaceErr },
	})
	ctx := rpc.WithIdentity(t.Context(), rpc.Identity{Scope: rpc.ScopeRead})
	n, err := s.GetNode(ctx, &rpc.GetNodeRequest{})
	if err != nil || n.Id != "n1" || n.Version != "1.0" || !slices.Equal(n.Roles, []string{"monolith"}) ||
		!n.StartedAt.AsTime().Equal(started) || n.DiskFreeBytes != 1 || n.DiskTotalBytes != 2 {
		t.Errorf("GetNode = %v, %v", n, err)
	}
	if _, err := s.GetNode(t.Context(), &rpc.GetNodeRequest{}); err == nil {
		t.Error("open to strangers")
	}
	spaceErr = full
	if _, err := s.GetNode(ctx, &rpc.GetNodeRequest{}); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
}
