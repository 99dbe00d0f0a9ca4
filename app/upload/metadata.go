package upload

import (
	"encoding/base64"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"streamgate/app/rpc"
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
	if name == "." || name == "/" || !printable(name) {
		return "", rpc.Invalid("video_missing", "Upload-Metadata must have a video_id, or a title or filename for a new video.")
	}
	if runes := []rune(name); len(runes) > rpc.MaxTitle {
		name = string(runes[:rpc.MaxTitle])
	}
	return name, nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0 && strings.TrimSpace(s) != ""
}
