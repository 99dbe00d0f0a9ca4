// Package media knows video: it probes a source, computes its timeline,
// chooses renditions, has ffmpeg encode them, and writes CMAF cells, HLS
// playlists and DASH manifests. Pure functions; no I/O but ffmpeg and the
// files it is told to read.
//
// # The walk
//
//	Tools.Plan      source file → store.Plan and Frames (probe, index, timeline, ladder, inits)
//	Tools.Encode    plan, frames, segments × renditions → cells, one by one
//	MasterPlaylist, MediaPlaylist, IFramePlaylist, MPD    plan → text
//	Tools.Poster, Tools.Storyboard                        source → stills
//
// The packets of a source are read from the sample tables of a plain MP4
// (listing.go), of anything else by ffprobe (index.go); both say the same.
//
// # Time
//
// The timeline is in ticks of the source's time base, relative to the first
// frame. A cell's tfdt is its segment's start; sample times are the source's
// true presentation times, whatever ffmpeg made of them. Composition offsets
// are ≥ 0 (version 0 trun); one edit list per init takes the constant Delay
// back (ISO/IEC 14496-12 §8.6.6).
//
// # Safety
//
// ffmpeg reads only the file and pipe protocols and only the container
// formats of Formats, so that an uploaded playlist or script cannot make it
// open anything else.
//
// # Testing
//
// With real ffmpeg on clips that the tests make; what is written is compared
// with golden files (testdata, -update), and parsers are fuzzed.
package media
