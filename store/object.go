package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
)

// Object describes a stored file.
type Object struct {
	Key  string
	Size int64  // bytes
	ETag string // strong validator without quotes; changes when the bytes do
}

// PutMode says what becomes of an object that has the key already.
type PutMode int

// What Put may do.
const (
	// Replace puts the new bytes in its place.
	Replace PutMode = iota
	// IfAbsent keeps it: Put describes what is there, may leave its reader
	// unread, and nothing changes. So bytes under a URL that caches keep for ever
	// are never swapped, whoever else makes them too.
	IfAbsent
)

// UnknownSize is the size of a Put whose reader's end alone tells it. Tell the
// size wherever it is known.
const UnknownSize int64 = -1

// Unlimited is what Space tells of a medium that knows no limit.
const Unlimited int64 = math.MaxInt64

// The bounds of Compose.
const (
	// ComposeMin is the least that each part but the last has, bytes.
	ComposeMin int64 = 5 << 20
	// ComposeMax is how many parts there are at most.
	ComposeMax = 10_000
)

// Input is an object as ffmpeg reads it: one of the two is set.
type Input struct {
	Path string // of a local file
	URL  string // http, on a loopback address, with ranges; whoever knows it may read
	// Fault is the first error that reading the URL has met, or nil: whoever read a
	// body that was cut takes the object for damaged.
	Fault func() error
}

// Read is err, how work on what was read has ended, or what kept it from being read:
// then nothing that was made of it counts.
func (in Input) Read(err error) error {
	if in.Fault != nil {
		if fault := in.Fault(); fault != nil {
			return fmt.Errorf("read the object: %w", fault)
		}
	}
	return err
}

// Location is the path or the URL.
func (in Input) Location() string { return cmp.Or(in.Path, in.URL) }

// Objects keeps immutable files under slash-separated keys of lower-case
// letters, digits, '-', '_' and '.' (no empty, "." or ".." part; at most 256
// bytes); another key is an error in the program. A prefix is a whole key, or
// leading parts of keys and a '/': "videos/ab/" has nothing to do with
// "videos/abc/".
//
// Where the medium is another machine, every method may answer ErrUnavailable.
type Objects interface {
	// Put stores r under key, whole or not at all. size is r's, in bytes, or
	// UnknownSize; a reader of another size is an error. When it returns nil the
	// bytes are durable. ErrFull.
	Put(ctx context.Context, key string, r io.Reader, size int64, mode PutMode) (Object, error)
	// Adopt stores the finished local file at path under key, replacing what was
	// there, and removes the file; on the same disk no byte is copied. The bytes
	// must be synced already. After an error the file is still there, unless the
	// object is; then the same call may go on where the last one stopped. ErrFull.
	Adopt(ctx context.Context, key, path string) (Object, error)
	// Compose stores the bytes of one to ComposeMax other objects, one after the
	// other, under key, as Put would; those stay. None is empty, and each but the
	// last has at least ComposeMin bytes. Where the medium can, no byte passes
	// through the caller. ErrNotFound, ErrFull.
	Compose(ctx context.Context, key string, parts []string, mode PutMode) (Object, error)
	// Get opens an object; ErrNotFound. The caller closes it. Where the bytes are
	// on a local disk the reader is an *os.File, so that the kernel can send it.
	Get(ctx context.Context, key string) (io.ReadSeekCloser, Object, error)
	// Stat describes an object; ErrNotFound.
	Stat(ctx context.Context, key string) (Object, error)
	// Input lets ffmpeg read the object until release is called; ErrNotFound.
	Input(ctx context.Context, key string) (in Input, release func(), err error)
	// Delete removes the objects under a prefix; nil if there are none. Another
	// than an empty one is required. An error may leave some of them: do it again.
	Delete(ctx context.Context, prefix string) error
	// List yields the objects under a prefix, "" for all, in key order. An error
	// ends it.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// Space tells the bytes free and in all; both may be Unlimited.
	Space(ctx context.Context) (free, total int64, err error)
	// Ping tells whether objects can be reached. A full medium is well.
	Ping(ctx context.Context) error
}

// PutBytes is Put of what is in memory.
func PutBytes(ctx context.Context, objects Objects, key string, data []byte, mode PutMode) (Object, error) {
	return objects.Put(ctx, key, bytes.NewReader(data), int64(len(data)), mode)
}

// UploadsPrefix is the prefix of the bytes of unfinished uploads.
const UploadsPrefix = "uploads/"

// The keys of a video's objects.

// VideosPrefix is the prefix of all objects of videos.
const VideosPrefix = "videos/"

// VideoPrefix is the prefix of all objects of a video.
func VideoPrefix(videoID string) string { return VideosPrefix + videoID + "/" }

// SourceKey is the uploaded file.
func SourceKey(videoID string) string { return VideoPrefix(videoID) + "source" }

// NormalKey is the normalised copy of a source that cannot be read exactly.
func NormalKey(videoID string) string { return VideoPrefix(videoID) + "normal.mkv" }

// FramesKey is the index of frame times.
func FramesKey(videoID string) string { return VideoPrefix(videoID) + "frames" }

// CellsPrefix is the prefix of the cells of a rendition.
func CellsPrefix(videoID, rendition string) string {
	return VideoPrefix(videoID) + "cells/" + rendition + "/"
}

// CellKey is one cell.
func CellKey(videoID, rendition string, segment int) string {
	return CellsPrefix(videoID, rendition) + strconv.Itoa(segment) + ".m4s"
}

// IFramesKey is the sizes of the cells of a rendition's I-frame playlist.
func IFramesKey(videoID, rendition string) string {
	return VideoPrefix(videoID) + "iframes/" + rendition + ".json"
}

// StillKey is a poster, storyboard sheet or storyboard index by file name.
func StillKey(videoID, name string) string { return VideoPrefix(videoID) + "stills/" + name }
