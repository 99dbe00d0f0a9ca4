package media

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

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
	CodeTooComplex       = "too_complex"
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
	if !errors.As(err, &te) || !errors.As(err, &exit) {
		return err
	}
	if exit.ExitCode() <= 0 {
		return refuseSignal(err, exit)
	}
	said := func(s string) bool { return strings.Contains(te.Stderr, s) }
	switch {
	case said("Cannot allocate memory") && strings.Contains(filepath.Base(te.Tool), "ffprobe"):
		// Whoever only reads needs what the file claims to need: memory that is
		// merely short is not refused by Linux, but ends somebody.
		return refuse(CodeTooComplex, "The file is too complex: its tables claim more memory than this node gives to reading a file.")
	case said("No space left on device"), said("Cannot allocate memory"), said("Permission denied"):
		return err
	case said("moov atom not found"):
		return refuse(CodeTruncated, "The file is incomplete: its index is missing. Upload the whole file.")
	case said("Decoder") && said("not found"), said("no decoder found"), said("Decoding requested, but no decoder"):
		return refuse(CodeUnsupportedCodec, "The video is in a format that this node cannot decode. Convert it to H.264 in MP4.")
	}
	return refuse(CodeNotAVideo, "The file is not a video that can be read.")
}

// refuseSignal turns a signal that a source provoked into a refusal. Whoever
// kills a tool sends another one.
func refuseSignal(err error, exit *exec.ExitError) error {
	status, ok := exit.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return err
	}
	switch status.Signal() {
	case syscall.SIGXCPU, syscall.SIGXFSZ:
		return refuse(CodeTooComplex, "The file is too complex: reading it takes far more than its size explains.")
	case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL, syscall.SIGABRT, syscall.SIGTRAP:
		return refuse(CodeTooComplex, "The file is damaged or too complex: ffmpeg crashes on it.")
	}
	return err
}
