package store

import (
	"errors"
	"fmt"
	"syscall"
)

// The contracts' errors. Backends wrap them; callers use errors.Is.
var (
	// ErrNotFound: no record, job or object has that name.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is taken.
	ErrExists = errors.New("already exists")
	// ErrQueueFull: as many jobs wait in the backlog as may.
	ErrQueueFull = errors.New("the queue is full")
	// ErrEmpty: no job can be leased now.
	ErrEmpty = errors.New("no job is ready")
	// ErrLeaseLost: the job is no longer held under that token. It is the
	// only stop signal a worker gets from the queue.
	ErrLeaseLost = errors.New("lease lost")
	// ErrFull: the medium has no room for the write; nothing was kept of it.
	ErrFull = errors.New("no space left")
	// ErrUnavailable: the store cannot be reached now. The same call may succeed
	// later; whether a write took effect is not known.
	ErrUnavailable = errors.New("store not available")
	// ErrCursor: a page cursor that no list call has given out.
	ErrCursor = errors.New("invalid cursor")
)

// Full adds ErrFull to a system's error that says that a disk or a quota has no
// room; other errors, nil included, pass through.
func Full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
