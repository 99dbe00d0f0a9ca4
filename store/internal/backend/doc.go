// Package backend is what the backends of package store decide alike, wherever
// they keep it: what becomes of a job, in which order jobs and times sort as
// bytes, and the cursors of pages.
//
// The suites of store/storetest have a model of their own, so that a mistake in
// here is seen.
package backend
