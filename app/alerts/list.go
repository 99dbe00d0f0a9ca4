package alerts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
	"streamgate/store"
)

// order is that of the list: what wants somebody comes first.
var order = []store.AlertState{store.AlertFiring, store.AlertPending, store.AlertResolved, store.AlertInactive}

// ListAlerts implements rpc.AlertsHandler.
func (s *Service) ListAlerts(ctx context.Context, req *rpc.ListAlertsRequest) (*rpc.ListAlertsResponse, error) {
	if err := rpc.Require(ctx, rpc.ScopeRead); err != nil {
		return nil, err
	}
	if req.State != "" && !slices.Contains(order, store.AlertState(req.State)) {
		return nil, rpc.Invalid("invalid_state", "There is no alert state %q; there are inactive, pending, firing and resolved.", req.State)
	}
	known, err := s.records(ctx)
	if err != nil {
		return nil, err
	}
	out := &rpc.ListAlertsResponse{}
	now := time.Now()
	add := func(a store.Alert) {
		if v := s.view(a, now); req.State == "" || v.State == req.State {
			out.Alerts = append(out.Alerts, v)
		}
	}
	s.mu.Lock()
	conditions := s.conditions
	s.mu.Unlock()
	for _, c := range conditions {
		if _, found := known[c.id]; !found {
			add(inactive(c))
		}
	}
	for _, a := range known {
		add(a)
	}
	slices.SortFunc(out.Alerts, func(a, b *rpc.Alert) int {
		return cmp.Or(
			slices.Index(order, store.AlertState(a.State))-slices.Index(order, store.AlertState(b.State)),
			strings.Compare(a.Severity, b.Severity), // critical, warning
			strings.Compare(a.Id, b.Id))
	})
	return out, nil
}

// inactive is the alert of which there is no record.
func inactive(c condition) store.Alert {
	return store.Alert{ID: c.id, Rule: c.name, Severity: c.severity, Node: c.node, State: store.AlertInactive}
}

// view shows an alert, with what was seen last of it.
func (s *Service) view(a store.Alert, now time.Time) *rpc.Alert {
	out := &rpc.Alert{
		Id: a.ID, Rule: a.Rule, Severity: a.Severity, State: string(a.State), Summary: a.Summary, NodeId: a.Node,
		PendingSince: stamp(a.Pending), FiredAt: stamp(a.Fired), ResolvedAt: stamp(a.Resolved),
	}
	if c, ok := s.condition(a.ID); ok {
		out.Mend, out.Page, out.Threshold, out.Unit = c.mend, c.page, c.threshold, c.unit
		if c.known {
			out.Value = &c.value
		}
		if c.holds || a.State == store.AlertInactive {
			out.Summary = c.summary
		}
	}
	if q := a.Silence; q != nil && now.Before(q.Until) {
		out.Silence = &rpc.Silence{Until: timestamppb.New(q.Until), By: q.By, Reason: q.Reason}
	}
	if a.Notice != nil {
		out.NotifyError = a.Notice.Error
	}
	return out
}

const (
	minSilence = time.Minute
	maxSilence = 30 * 24 * time.Hour
	maxReason  = 200 // characters
)

// SilenceAlert implements rpc.AlertsHandler.
func (s *Service) SilenceAlert(ctx context.Context, req *rpc.SilenceAlertRequest) (*rpc.Alert, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	length := time.Duration(req.Seconds) * time.Second
	if length < minSilence || length > maxSilence {
		return nil, rpc.Invalid("invalid_seconds", "The silence would last %d seconds; it may last 60 to %.0f.", req.Seconds, maxSilence.Seconds())
	}
	reason := strings.TrimSpace(req.Reason)
	if n := utf8.RuneCountInString(reason); n < 1 || n > maxReason || !utf8.ValidString(reason) || strings.ContainsFunc(reason, unicode.IsControl) {
		return nil, rpc.Invalid("invalid_reason", "The reason has %d characters; write 1 to %d, without control characters.", n, maxReason)
	}
	now := time.Now().UTC()
	return s.silence(ctx, req.Id, &store.Silence{Until: now.Add(length), By: who(ctx), Reason: reason})
}

// UnsilenceAlert implements rpc.AlertsHandler.
func (s *Service) UnsilenceAlert(ctx context.Context, req *rpc.UnsilenceAlertRequest) (*rpc.Alert, error) {
	if err := rpc.Require(ctx, rpc.ScopeOperator); err != nil {
		return nil, err
	}
	return s.silence(ctx, req.Id, nil)
}

// silence sets or ends the silence of an alert, of which there may be no record.
func (s *Service) silence(ctx context.Context, id string, to *store.Silence) (*rpc.Alert, error) {
	set := func(a *store.Alert) error {
		a.Silence = to
		return nil
	}
	a, err := s.Alerts.Update(ctx, id, set)
	if c, ok := s.condition(id); ok && errors.Is(err, store.ErrNotFound) {
		a = inactive(c)
		a.Silence = to
		err = nil
		if to != nil {
			err = s.Alerts.Create(ctx, a)
		}
		if errors.Is(err, store.ErrExists) {
			a, err = s.Alerts.Update(ctx, id, set)
		}
	}
	if errors.Is(err, store.ErrNotFound) {
		return nil, rpc.NotFound(err, "alert", id)
	}
	if err != nil {
		return nil, fmt.Errorf("silence alert %s: %w", id, err)
	}
	return s.view(a, time.Now()), nil
}

// who is the caller, as the audit log names them.
func who(ctx context.Context) string {
	switch c := rpc.Caller(ctx); {
	case c.Person != "":
		return "person " + c.Person
	case c.KeyID != "":
		return "key " + c.KeyID
	}
	return "this machine"
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
