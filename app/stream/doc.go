// Package stream serves videos to players: playlists, manifests, cells and
// stills, over plain HTTP.
//
// # URL space
//
//	/s/{token}/…   with a playback ticket, which is part of the path
//	/v/{id}/…      public videos
//
//	master.m3u8  manifest.mpd
//	{rendition}/index.m3u8  {rendition}/init.mp4  {rendition}/{segment}.m4s
//	{rendition}/iframes.m3u8                          {rendition}/iframe-{n}.m4s
//	poster.jpg  storyboard.vtt  storyboard-{n}.jpg
//	session  (204 as long as the session plays)
//
// Methods are GET, HEAD and OPTIONS. Anything else is 404 or 405.
//
// # Usage
//
//	s, err := stream.New(stream.Config{…})
//	mux.Handle("/s/", s.Handler())
//	mux.Handle("/v/", s.Handler())
//	defer s.Close()
//
// Whatever wraps the ResponseWriter on the way must implement io.ReaderFrom,
// or the kernel no longer sends the files itself.
//
// # Answers
//
//	200 206 304 416   as RFC 9110 has them; HEAD answers like GET
//	401 ticket_expired, ticket_invalid, session_required
//	403 the session was ended: the code and the sentence say why (not_a_holder …)
//	404 not_found, video_not_found; still_not_made (a poster or storyboard; ask again later)
//	410 video_failed (the source was refused), cell_not_coming (its task is over)
//	503 with Retry-After: cell_pending, video_pending, too_many_waiting, shutting_down
//
// A cell that does not exist yet is never 404: it is demanded from the
// transcoder, and the request is held for up to Config.Hold.
//
// # Guarantees
//
// A cell request reads no record while the video is known: the ticket is
// checked by computation, the record and the plan are in memory (bounded;
// dropped upon video.changed and video.deleted, and after Config.Fresh should
// such an event be lost), and the file goes from disk to socket. Playlists and
// manifests are rendered once and served from memory, compressed once.
// Tokens appear in no log line, no metric and no error body.
//
// # Testing
//
// The tests run a real HTTP server over real files and an embedded NATS; the
// waiting of requests is tested with a fake clock.
package stream
