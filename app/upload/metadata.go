package upload

import (
	"encoding/base64"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"streamgate/app/rpc"
	"streamgate/store"
)

const (
	maxMetadata     = 8 << 10 // bytes of Upload-Metadata
	maxMetadataKeys = 32
)

// parseMetadata reads Upload-Metadata (tus 1.0.0, Creation): comma-separated
// "key base64" pairs. It is strict where tusd drops what it cannot read.
func parseMetadata(header string) (map[string]string, error) {
	meta := make(map[string]string)
	if header == "" {
		return meta, nil
	}
	if len(header) > maxMetadata {
		return nil, rpc.Invalid("invalid_metadata", "Upload-Metadata may have at most %d bytes.", maxMetadata)
	}
	for pair := range strings.SplitSeq(header, ",") {
		key, encoded, _ := strings.Cut(strings.Trim(pair, " "), " ")
		value, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if !metadataKey(key) || err != nil || strings.ContainsAny(encoded, "\r\n") {
			return nil, rpc.Invalid("invalid_metadata", "Upload-Metadata must be pairs of a key and a base64 value, separated by commas.")
		}
		if _, twice := meta[key]; twice {
			return nil, rpc.Invalid("invalid_metadata", "Upload-Metadata has the key %q twice.", key)
		}
		meta[key] = string(value)
	}
	if len(meta) > maxMetadataKeys {
		return nil, rpc.Invalid("invalid_metadata", "Upload-Metadata may have at most %d keys.", maxMetadataKeys)
	}
	return meta, nil
}

// metadataKey: printable ASCII without spaces and commas.
func metadataKey(key string) bool {
	for _, c := range []byte(key) {
		if c <= ' ' || c >= 0x7f || c == ',' {
			return false
		}
	}
	return key != ""
}

// titleFrom makes the title of a new video: the title given, else the file's
// name.
func titleFrom(meta map[string]string) (string, error) {
	if title := meta["title"]; title != "" {
		return rpc.Title(title)
	}
	name := path.Base(strings.ReplaceAll(meta["filename"], `\`, "/"))
	if stem := strings.TrimSuffix(name, path.Ext(name)); stem != "" {
		name = stem
	}
	if name == "." || name == "/" || !printable(name) {
		return "", rpc.Invalid("video_missing", "Upload-Metadata must have a video_id, or a title or filename for a new video.")
	}
	if runes := []rune(name); len(runes) > rpc.MaxTitle {
		name = string(runes[:rpc.MaxTitle])
	}
	return name, nil
}

// describe gives a new video what the metadata says of it. What only
// CreateVideo can check is refused, not left out.
func describe(video *store.Video, meta map[string]string) error {
	for _, key := range []string{"profile", "rule"} {
		if meta[key] != "" {
			return rpc.Invalid("invalid_metadata", "Upload-Metadata cannot have a %s: make the video first (POST /api/v1/videos), and name it with video_id.", key)
		}
	}
	if text := meta["public"]; text != "" {
		if text != "true" && text != "false" {
			return rpc.Invalid("invalid_metadata", "public is %q in Upload-Metadata; write true or false.", text)
		}
		video.Public = text == "true"
	}
	if text := meta["priority"]; text != "" {
		n, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return rpc.Invalid("invalid_priority", "The priority is %q; it must be 0 to %d.", text, rpc.MaxPriority)
		}
		given := int32(n)
		video.Priority, err = rpc.Priority(&given, 0)
		return err
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0 && strings.TrimSpace(s) != ""
}
