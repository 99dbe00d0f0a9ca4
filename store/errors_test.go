package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestFull(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		err := Full(&os.PathError{Op: "write", Path: "x", Err: cause})
		if !errors.Is(err, ErrFull) || !errors.Is(err, cause) {
			t.Errorf("%v became %v", cause, err)
		}
	}
	if err := Full(fmt.Errorf("other: %w", syscall.EIO)); errors.Is(err, ErrFull) {
		t.Errorf("a broken disk is told to be full: %v", err)
	}
	if err := Full(nil); err != nil {
		t.Errorf("nil became %v", err)
	}
}
