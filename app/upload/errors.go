package upload

import (
	"errors"
	"net/http"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

func noSpace(format string, args ...any) error {
	return rpc.StatusErrorf(http.StatusInsufficientStorage, connect.CodeResourceExhausted, "no_space", format, args...)
}

// writeError turns a full disk into a coded error.
func (s *Service) writeError(err error) error {
	if err = store.Full(err); !errors.Is(err, store.ErrFull) {
		return err
	}
	s.Log.Error("the disk is full", "err", err)
	return noSpace("The disk is full. What has arrived is kept; continue when there is room.")
}

func (s *Service) tooLarge() error {
	return rpc.StatusErrorf(http.StatusRequestEntityTooLarge, connect.CodeInvalidArgument, "too_large",
		"A source may have at most %d bytes.", s.MaxSize)
}

func sourceExists(videoID string) error {
	return rpc.Errorf(connect.CodeAlreadyExists, "source_exists", "Video %q has its source already.", videoID)
}

func uploadNotFound(id string) error {
	return rpc.Errorf(connect.CodeNotFound, "upload_not_found", "There is no upload %q.", id)
}

func uploadGone() error {
	return rpc.StatusErrorf(http.StatusGone, connect.CodeNotFound, "upload_gone",
		"This upload has expired or was refused, and its bytes are gone; start a new one.")
}

func videoDeleted() error {
	return rpc.StatusErrorf(http.StatusGone, connect.CodeNotFound, "upload_gone", "The video of this upload was deleted; start a new one.")
}

// taskNotQueued is the code of an upload that is safe and whose task is not yet.
const taskNotQueued = "task_not_queued"

// passing are the codes after which an upload goes on by itself.
var passing = map[string]bool{
	taskNotQueued: true, "upload_locked": true, "upload_elsewhere": true, "bytes_missing": true, "source_pending": true,
}

// uploadLocked: another request, or another node, has the upload.
func uploadLocked() error {
	return rpc.StatusErrorf(http.StatusLocked, connect.CodeUnavailable, "upload_locked",
		"Another request is using this upload; ask how far it is, and go on there.")
}

func uploadElsewhere() error {
	return rpc.Errorf(connect.CodeUnavailable, "upload_elsewhere",
		"The bytes of this upload are on another node; nothing is lost, try again when that can be reached.")
}

func bytesMissing() error {
	return rpc.Errorf(connect.CodeUnavailable, "bytes_missing",
		"The bytes of this upload are not where they were stored; ask how far it is and send what is missing, or delete it.")
}

func sourcePending(videoID string) error {
	return rpc.Errorf(connect.CodeUnavailable, "source_pending",
		"Another upload of video %q is being stored; the node takes this one up when that has ended. Do not send it again.", videoID)
}

func wholeMismatch(want, got string) error {
	return rpc.StatusErrorf(http.StatusUnprocessableEntity, connect.CodeInvalidArgument, "checksum_mismatch",
		"The file's SHA-256 is %s and not %s as announced; nothing of it was kept.", got, want)
}

func chunkMismatch() error {
	return rpc.StatusErrorf(rpc.StatusChecksumMismatch, connect.CodeInvalidArgument, "checksum_mismatch",
		"These bytes do not have the announced checksum and were not kept; send them again.")
}

func tooBusy() error {
	return rpc.Errorf(connect.CodeUnavailable, "too_many_transfers",
		"As many uploads are running as this node allows; try again soon.")
}

func stopping() error {
	return rpc.Errorf(connect.CodeUnavailable, "stopping", "The node is stopping; continue in a moment.")
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
