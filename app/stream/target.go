package stream

import (
	"strings"

	"streamgate/app/media"
)

// kind is what a URL asks for.
type kind uint8

const (
	kindOther kind = iota // nothing that exists
	kindPlaylist
	kindManifest
	kindInit
	kindCell
	kindIFrame
	kindStill
	kindSession // whether it still plays
	kinds       // how many there are
)

var kindNames = [kinds]string{"other", "playlist", "manifest", "init", "cell", "iframe", "still", "session"}

// scope is the first part of a path: how the request is allowed.
type scope byte

const (
	scopeNone    scope = 0
	scopeSession scope = 's' // owner is a ticket
	scopePublic  scope = 'v' // owner is a video id
)

// Limits of what a path may carry, bytes.
const (
	maxToken     = 1024
	maxID        = 64
	maxRendition = 64
	maxDigits    = 7 // of a segment number
)

// target is a parsed path. Its strings are parts of the path.
type target struct {
	scope     scope
	owner     string // ticket or video id
	name      string // all that follows the owner: the object's name in the URL space
	kind      kind
	rendition string // "" for what belongs to the whole video
	segment   int    // of a cell; of an I-frame, its number in the playlist
}

// parse reads a path strictly: ok is false for anything outside the URL
// space. scope is set even then, if the path is below /s/ or /v/.
func parse(path string) (t target, ok bool) {
	switch {
	case strings.HasPrefix(path, "/s/"):
		t.scope = scopeSession
	case strings.HasPrefix(path, "/v/"):
		t.scope = scopePublic
	default:
		return t, false
	}
	owner, name, found := strings.Cut(path[3:], "/")
	if !found || !validOwner(t.scope, owner) {
		return t, false
	}
	t.owner, t.name = owner, name
	if rendition, file, nested := strings.Cut(name, "/"); nested {
		t.rendition = rendition
		return t, isRendition(rendition) && t.parseNested(file)
	}
	return t, t.parseTop(name)
}

func (t *target) parseTop(file string) bool {
	switch file {
	case media.MasterName:
		t.kind = kindPlaylist
	case media.MPDName:
		t.kind = kindManifest
	case "poster.jpg", "storyboard.vtt":
		t.kind = kindStill
	case "session":
		t.kind = kindSession
	default:
		number, found := strings.CutPrefix(file, "storyboard-")
		number, jpeg := strings.CutSuffix(number, ".jpg")
		if _, ok := parseNumber(number); !found || !jpeg || !ok {
			return false
		}
		t.kind = kindStill
	}
	return true
}

func (t *target) parseNested(file string) bool {
	switch file {
	case media.IndexName, media.IFramesName:
		t.kind = kindPlaylist
		return true
	case media.InitName:
		t.kind = kindInit
		return true
	}
	number, found := strings.CutSuffix(file, ".m4s")
	number, picture := strings.CutPrefix(number, media.IFramePrefix)
	segment, ok := parseNumber(number)
	if !found || !ok {
		return false
	}
	t.kind, t.segment = kindCell, segment
	if picture {
		t.kind = kindIFrame
	}
	return true
}

func validOwner(s scope, owner string) bool {
	if s == scopePublic {
		return len(owner) <= maxID && consists(owner, "")
	}
	return len(owner) <= maxToken && consists(owner, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.~")
}

// isRendition tells whether name can be a rendition and thus a part of an
// object's key.
func isRendition(name string) bool {
	return len(name) <= maxRendition && consists(name, "-_")
}

// consists tells whether s is not empty and made of lower-case letters,
// digits and the extra characters.
func consists(s, extra string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && strings.IndexByte(extra, c) < 0 {
			return false
		}
	}
	return s != ""
}

// parseNumber reads the one decimal form of a small number: no sign, no
// leading zero.
func parseNumber(s string) (n int, ok bool) {
	if s == "" || len(s) > maxDigits || s[0] == '0' && len(s) > 1 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}
