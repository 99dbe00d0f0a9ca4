// Package e2e has no code of its own: its tests run the real program as a user
// does — its commands, its ports, real ffmpeg, real browsers, kill -9 — and
// look at what comes out.
package e2e
