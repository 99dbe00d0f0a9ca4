// Package ui is how StreamGate looks to people.
//
// # What
//
// A page is one route (ui.go has the table), one handler, one view model and
// one templ file, under one stem: watch.go, watch.templ.
//
// # Usage
//
//	ui.New(ui.Config{Library: …, Ticket: …, Assets: set, Log: log}).Routes(mux)
//
// # Guarantees
//
// Pages are plain HTML with a strict Content-Security-Policy: no inline
// script or style, nothing from other origins. What is live on a page is
// re-read by asking for the same page again. A page shows a video only if it
// is public or the ticket in its path opens it; the gate of one that a rule
// guards tells its title and nothing else, also to services that show links
// (card.go, oembed.go). Pages of other sites may frame /embed/ alone, and only
// those of Config.Framers. A site may lie under a path (assets.Set.Root): every
// link of a page begins with it, the routes do not.
//
// # Testing
//
// Each page over HTTP from a library in memory; every answer is parsed and
// held to the policy, to what assistive tools need and to the assets that
// exist; the watch page against testdata/watch.html ("go test ./ui -update"
// writes it anew). In a real browser, by the end-to-end tests of
// cmd/streamgate/e2e.
package ui

//go:generate go tool templ generate
