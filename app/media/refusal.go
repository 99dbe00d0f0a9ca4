package media

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"streamgate/store"
)

// Refusal is why a source can never be played: permanent, and told to the
// user. Every other error of this package is about this machine or this
// moment, and may be retried.
type Refusal struct{ store.Failure }

// Error implements error.
func (r Refusal) Error() string { return r.Code + ": " + r.Message }

// The stable codes of refusals.
const (
	CodeEmptyFile        = "empty_file"
	CodeNotAVideo        = "not_a_video"
	CodePlaylist         = "playlist_refused"
	CodeImage            = "image"
	CodeEncrypted        = "encrypted"
	CodeTruncated        = "truncated"
	CodeDamaged          = "damaged"
	CodeUnsupportedCodec = "unsupported_codec"
	CodeNoStreams        = "no_streams"
	CodeTooLong          = "too_long"
	CodeTooLarge         = "too_large"
)

func refuse(code, format string, args ...any) Refusal {
	return Refusal{store.Failure{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// refuseTool turns what a tool said about the source into a refusal. A tool
// that was killed, or could not be started, says nothing about the source:
// its error passes through.
func refuseTool(err error) error {
	var te *ToolError
	var exit *exec.ExitError
	if !errors.As(err, &te) || !errors.As(err, &exit) || exit.ExitCode() <= 0 {
		return err
	}
	said := func(s string) bool { return strings.Contains(te.Stderr, s) }
	switch {
	case said("No space left on device"), said("Cannot allocate memory"), said("Permission denied"):
		return err
	case said("moov atom not found"):
		return refuse(CodeTruncated, "The file is incomplete: its index is missing. Upload the whole file.")
	case said("Decoder") && said("not found"), said("no decoder found"), said("Decoding requested, but no decoder"):
		return refuse(CodeUnsupportedCodec, "The video is in a format that this node cannot decode. Convert it to H.264 in MP4.")
	}
	return refuse(CodeNotAVideo, "The file is not a video that can be read.")
}
