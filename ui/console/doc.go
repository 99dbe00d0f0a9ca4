// Package console is the operator's pages under /console/.
//
// # What
//
// routes.go has every route with the role that it needs. A page is a handler, a
// view model that holds what is printed, and a templ file, under one stem.
//
// # Usage
//
//	console.New(console.Config{Library: …, People: people, Audit: audit, …}).Routes(mux)
//
// # Guarantees
//
// Every page is whole and works without scripts: a change is POST, then 303,
// then GET. What is live asks for its own page again when the node hints at a
// change (events.go), and takes its part. The policy allows no inline script or
// style. A request that changes something and comes from another site's page
// is refused, and so is one whose person lacks the role; the services check the
// person's scope again. What people typed is shown as text.
//
// # Testing
//
// Every route with every role, and forged; in Chromium by the end-to-end tests
// of cmd/streamgate/e2e.
package console

//go:generate go tool templ generate
