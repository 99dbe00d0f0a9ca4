package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// sniffLen is how much of a file's beginning tells what it is, bytes.
const sniffLen = 4 << 10

// sniffSource refuses by its first bytes what ffmpeg must never be given: files
// that name other files, and files that are no video at all.
func sniffSource(ctx context.Context, source string) error {
	f, _, err := openSource(ctx, source)
	if err != nil {
		return fmt.Errorf("open the source: %w", err)
	}
	defer f.Close()
	head := make([]byte, sniffLen)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the source: %w", err)
	}
	return sniff(head[:n])
}

// sniff judges the beginning of a file; nil means that a demuxer may look.
func sniff(head []byte) error {
	switch {
	case len(head) == 0:
		return refuse(CodeEmptyFile, "The file is empty.")
	case isPlaylist(head):
		return refuse(CodePlaylist, "The file is a playlist or script that names other files. Upload the video itself.")
	case isImage(head):
		return refuse(CodeImage, "The file is an image, not a video.")
	case isText(head):
		return refuse(CodeNotAVideo, "The file is text, not a video.")
	}
	return nil
}

// isPlaylist recognises the text formats through which a demuxer would open
// other files or addresses.
func isPlaylist(head []byte) bool {
	text := bytes.ToLower(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n\v\f\x00"))
	for _, start := range []string{"#extm3u", "#ext-x-", "ffconcat", "file ", "v=0", "[playlist]", "[reference]", "<asx", "<smil", "rtsptext"} {
		if bytes.HasPrefix(text, []byte(start)) {
			return true
		}
	}
	if !bytes.HasPrefix(text, []byte("<")) {
		return bytes.Contains(text, []byte("#extm3u"))
	}
	for _, tag := range []string{"<mpd", "<smoothstreamingmedia", "<playlist", "<smil", "<asx"} {
		if bytes.Contains(text, []byte(tag)) {
			return true
		}
	}
	return false
}

// isImage recognises still images (and animated GIFs) by their magic.
func isImage(head []byte) bool {
	for _, magic := range []string{"\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "GIF87a", "GIF89a", "II*\x00", "MM\x00*", "8BPS", "\xff\x0a", "\x00\x00\x00\x0cJXL "} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	if len(head) >= 26 && bytes.HasPrefix(head, []byte("BM")) && bytes.Equal(head[6:10], make([]byte, 4)) {
		return true
	}
	if len(head) < 12 {
		return false
	}
	if bytes.HasPrefix(head, []byte("RIFF")) {
		return string(head[8:12]) == "WEBP"
	}
	if string(head[4:8]) != "ftyp" {
		return false
	}
	switch string(head[8:12]) {
	case "heic", "heix", "heim", "heis", "mif1", "avif":
		return true
	}
	return false
}

// isText tells whether the beginning is UTF-8 text. No container begins with
// that many printable characters.
func isText(head []byte) bool {
	for i := 0; i < len(head); {
		r, size := utf8.DecodeRune(head[i:])
		if r == utf8.RuneError && size == 1 {
			return i > 0 && len(head)-i < utf8.UTFMax && len(head) == sniffLen // cut in a rune
		}
		if r < ' ' && r != '\n' && r != '\r' && r != '\t' && r != '\f' && r != '\x1b' || r == 0x7f {
			return false
		}
		i += size
	}
	return true
}
