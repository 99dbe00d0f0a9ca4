// Package alerts decides what wants an operator, and tells of it.
//
// # What
//
// Service implements rpc.AlertsHandler. A rule (rules.go) looks at a sample of
// the node's metrics and says whether it holds; step.go moves an alert between
// inactive, pending, firing and resolved, and is pure. What became of it is a
// record (observe.go). Who is told: webhooks, by the events alert.firing and
// alert.resolved (tell.go), and ntfy (ntfy.go).
//
// # Usage
//
//	svc := alerts.New(alerts.Config{Catalog: …, Bus: bus, Limits: limits, Log: log})
//	go svc.Run(ctx)              // tells
//	svc.Observe(ctx, reading)    // each time there is a sample
//
// # Guarantees
//
// States outlive restarts. Of an alert that fires one is told at least once, and
// of its end if one was told of its beginning; a silence holds both back. What
// was not seen changes nothing. Every node may run this: a change is made once
// in the record, and an event has one id whoever announces it. Notifications by
// ntfy are tried for an hour.
//
// # Testing
//
// step.go as a table with a clock of its own; the rest over the embedded store,
// and receivers on loopback.
package alerts
