package alerts

import (
	"time"

	"streamgate/store"
)

// settle is for how long a rule must not hold before its alert is resolved: one
// that comes and goes is one alert.
const settle = 30 * time.Second

// step is what becomes of an alert by a condition, at a time. It is pure.
func step(a store.Alert, c condition, now time.Time) store.Alert {
	if c.known {
		a = move(a, c, now)
	}
	return tell(a, now)
}

// move moves an alert between its states.
func move(a store.Alert, c condition, now time.Time) store.Alert {
	a.ID, a.Rule, a.Severity, a.Node = c.id, c.name, c.severity, c.node
	if c.holds && a.State != store.AlertPending && a.State != store.AlertFiring {
		a.State, a.Pending, a.Calm = store.AlertPending, now, time.Time{}
		a.Value, a.Summary = c.value, c.summary
	}
	switch {
	case a.State == store.AlertPending && !c.holds:
		a.State, a.Pending = store.AlertInactive, time.Time{}
		if !a.Resolved.IsZero() {
			a.State = store.AlertResolved
		}
	case a.State == store.AlertPending && now.Sub(a.Pending) >= c.hold:
		a.State, a.Fired, a.Resolved = store.AlertFiring, now, time.Time{}
		a.Value, a.Summary = c.value, c.summary
	case a.State == store.AlertFiring && c.holds:
		a.Calm = time.Time{}
	case a.State == store.AlertFiring && a.Calm.IsZero():
		a.Calm = now
	case a.State == store.AlertFiring && now.Sub(a.Calm) >= settle:
		a.State, a.Resolved, a.Pending, a.Calm = store.AlertResolved, now, time.Time{}, time.Time{}
	}
	if a.State == "" {
		a.State = store.AlertInactive
	}
	return a
}

// tell decides about the news. An alert that fires is news once, as soon as no
// silence holds it back; its end is news if its beginning was, unless a silence
// has been laid over it meanwhile.
func tell(a store.Alert, now time.Time) store.Alert {
	if a.Silence != nil && !now.Before(a.Silence.Until) {
		a.Silence = nil
	}
	switch {
	case a.State == store.AlertFiring && !a.Told && a.Silence == nil:
		a.Told, a.Notice = true, &store.Notice{State: store.AlertFiring, At: now}
	case a.State == store.AlertResolved && a.Told:
		a.Told = false
		if a.Silence == nil {
			a.Notice = &store.Notice{State: store.AlertResolved, At: now}
		}
	}
	return a
}

// keepResolved is how long one that was resolved is remembered.
const keepResolved = 7 * 24 * time.Hour

// over tells whether an alert need not be remembered.
func over(a store.Alert, now time.Time) bool {
	switch {
	case a.Silence != nil, a.Notice != nil:
		return false
	case a.State == store.AlertResolved:
		return now.Sub(a.Resolved) >= keepResolved
	}
	return a.State == store.AlertInactive
}
