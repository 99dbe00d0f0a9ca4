package upload

import (
	"encoding/base64"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

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
	name := meta["filename"]
	if name == "" {
		return "", rpc.Invalid("video_missing", "Upload-Metadata must have a video_id, or a title or filename for a new video.")
	}
	return rpc.TitleOf(strings.ReplaceAll(name, `\`, "/")), nil
}

// onlyNew are the keys that describe a new video.
var onlyNew = []string{"public", "profile", "priority", "rule"}

// askedIn is what the metadata of an upload says of the video that is made with
// it. What cannot be meant is refused, not left out.
func (s *Service) askedIn(rec store.Upload) (asked asked, err error) {
	meta := rec.Metadata
	if rec.Partial { // the final upload says
		return asked, nil
	}
	if rec.VideoID != "" {
		for _, key := range onlyNew {
			if meta[key] != "" {
				return asked, rpc.Invalid("invalid_metadata", "Upload-Metadata cannot have %s beside video_id, whose video there is already: leave one of them out.", key)
			}
		}
		return asked, nil
	}
	if asked.title, err = titleFrom(meta); err != nil {
		return asked, err
	}
	if asked.profile, err = rpc.Profile(meta["profile"], s.Profiles); err != nil {
		return asked, err
	}
	public, given := meta["public"]
	if asked.public, err = publicFrom(public, given); err != nil {
		return asked, err
	}
	if asked.priority, err = priorityFrom(meta["priority"]); err != nil {
		return asked, err
	}
	asked.rule, err = s.ruleFrom(meta)
	return asked, err
}

func publicFrom(text string, given bool) (bool, error) {
	if given && text != "true" && text != "false" {
		return false, rpc.Invalid("invalid_metadata", "public is %q in Upload-Metadata; write true or false.", text)
	}
	return text == "true", nil
}

func priorityFrom(text string) (int, error) {
	if text == "" {
		return rpc.DefaultPriority, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, rpc.Invalid("invalid_priority", "The priority is %q; it must be 0 to %d.", text, rpc.MaxPriority)
	}
	given := int32(n)
	return rpc.Priority(&given, 0)
}

// ruleFrom reads the rule, as JSON; what it says is checked where it is set.
func (s *Service) ruleFrom(meta map[string]string) (*structpb.Struct, error) {
	if meta["rule"] == "" {
		return nil, nil
	}
	if meta["public"] == "true" {
		return nil, rpc.Invalid("invalid_metadata", "public lets anybody watch, rule does not; give one of them in Upload-Metadata.")
	}
	rule := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(meta["rule"]), rule); err != nil {
		return nil, rpc.Invalid("invalid_metadata", "rule in Upload-Metadata is no JSON object; write it as for PUT /api/v1/videos/{id}/rule.")
	}
	if s.Access == nil {
		return nil, rpc.Invalid("invalid_metadata", "This node has no rules; leave rule out of Upload-Metadata.")
	}
	return rule, nil
}
