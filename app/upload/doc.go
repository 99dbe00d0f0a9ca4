// Package upload receives source files: resumable over tus 1.0.0 or in one
// PUT, and hands each finished one to the transcoder.
//
// # What
//
//	POST   /api/v1/uploads                a tus upload, for a video or for a new one
//	HEAD   /api/v1/uploads/{id}           how far it is
//	PATCH  /api/v1/uploads/{id}           more bytes
//	DELETE /api/v1/uploads/{id}           give it up
//	PUT    /api/v1/videos/{id}/source     the whole file at once
//	POST   /api/v1/uploads:fetch          the node fetches it (FetchUpload)
//
// The tus extensions are creation, creation-with-upload,
// creation-defer-length, termination, concatenation, expiration and checksum
// (sha1, sha256). Service also implements rpc.UploadsHandler.
//
// # Usage
//
//	s, err := upload.New(upload.Config{…})
//	go s.Recover(ctx)   // at the start; may run while requests are served
//	go s.RunExpiry(ctx) // until the node stops
//	go s.RunFetches(ctx)
//	mux.Handle("/api/v1/uploads", s.Handler())
//	mux.Handle("/api/v1/uploads/", s.Handler())
//	mux.HandleFunc("PUT /api/v1/videos/{id}/source", s.PutSource)
//	…
//	s.Close() // before http.Server.Shutdown: ends running transfers kindly
//
// The requests' contexts carry the caller (rpc.WithIdentity) and the public
// base URL (rpc.WithBaseURL).
//
// # Guarantees
//
// What was acknowledged is on the disk. Bytes lie in one file per upload; the
// upload's record says how many of them were synced (fdatasync, then the
// record). That number, not the file's size, is the tus offset: after a power
// cut a file can be longer than what was written to it, and a tail that
// nobody can vouch for is cut off before the next byte is appended. While a
// long PATCH runs the number advances every few seconds, so that a killed
// node loses little even of what it never acknowledged.
//
// A finished upload reaches its video even if the node dies on the way:
// finish is a row of steps, each harmless to repeat, and the upload's record
// is closed by the last. Recover and the janitor repeat what is not closed.
//
// On many nodes an upload belongs to the one that its record names (hold.go). No
// other writes to it, ends it or counts on its bytes; once that one is dead,
// another takes it up if all that was acknowledged is where it can reach it.
// Bytes that are missing end nothing. Every node tidies its own folder only.
//
// A fetch is an upload whose bytes the node brings itself (package fetch). Its
// record has all that is needed to go on after a restart: the address, how many
// bytes are here, and by what the server knows that these are still the same. It
// ends complete, failed with a code and a sentence, or deleted; nothing half
// stays.
//
// Space is promised before it is used: see ledger. Nothing is unbounded: the
// size of an upload, how many are open, how many move at once, their
// metadata, and how long an abandoned one stays.
//
// A SHA-256 that the client states (metadata "sha256", CreateUpload, the
// video's own, Content-Digest) is compared before the video gets the file; it
// is computed while the bytes arrive, or from the file after a restart.
//
// # Testing
//
// The tests speak HTTP to a real server over bbolt, plain files and an
// embedded NATS; the disk is filled by /dev/full and by a fake of
// store.Objects. finish_test.go fails every step once; nodes_test.go has two
// services over the same stores. Parsers are fuzzed.
package upload
