package store

import (
	"context"
	"io"
	"strconv"
	"time"
)

// Object describes a stored file.
type Object struct {
	Key      string
	Size     int64 // bytes
	Modified time.Time
	ETag     string // strong validator without quotes; changes when the bytes do
}

// Objects keeps immutable files under slash-separated keys of lower-case
// letters, digits, '-', '_' and '.' (no empty, "." or ".." part; at most 256
// bytes); another key is an error in the program.
type Objects interface {
	// Put stores r under key, whole or not at all, replacing what was there.
	// When it returns nil the bytes are durable. ErrFull.
	Put(ctx context.Context, key string, r io.Reader) (Object, error)
	// Adopt stores the finished local file at path under key and removes the
	// file; on the same disk no byte is copied. The bytes must be synced
	// already. ErrFull.
	Adopt(ctx context.Context, key, path string) (Object, error)
	// Get opens an object; ErrNotFound. The caller closes it. On local disks
	// the reader is an *os.File, so that the kernel can send it.
	Get(ctx context.Context, key string) (io.ReadSeekCloser, Object, error)
	// Stat describes an object; ErrNotFound.
	Stat(ctx context.Context, key string) (Object, error)
	// Local gives a path at which ffmpeg can read the object until release is
	// called; ErrNotFound.
	Local(ctx context.Context, key string) (path string, release func(), err error)
	// Delete removes the objects under a prefix (a whole key, or whole
	// leading parts of keys); nil if there are none.
	Delete(ctx context.Context, prefix string) error
	// List returns the objects under a prefix in key order.
	List(ctx context.Context, prefix string) ([]Object, error)
	// Space tells the bytes free and in all.
	Space(ctx context.Context) (free, total int64, err error)
}

// The keys of a video's objects.

// VideoPrefix is the prefix of all objects of a video.
func VideoPrefix(videoID string) string { return "videos/" + videoID }

// SourceKey is the uploaded file.
func SourceKey(videoID string) string { return VideoPrefix(videoID) + "/source" }

// NormalKey is the normalised copy of a source that cannot be read exactly.
func NormalKey(videoID string) string { return VideoPrefix(videoID) + "/normal.mkv" }

// FramesKey is the index of frame times.
func FramesKey(videoID string) string { return VideoPrefix(videoID) + "/frames" }

// CellsPrefix is the prefix of the cells of a rendition.
func CellsPrefix(videoID, rendition string) string {
	return VideoPrefix(videoID) + "/cells/" + rendition
}

// CellKey is one cell.
func CellKey(videoID, rendition string, segment int) string {
	return CellsPrefix(videoID, rendition) + "/" + strconv.Itoa(segment) + ".m4s"
}

// StillKey is a poster, storyboard sheet or storyboard index by file name.
func StillKey(videoID, name string) string { return VideoPrefix(videoID) + "/stills/" + name }
