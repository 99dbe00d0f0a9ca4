package transcode

import (
	"context"
	"errors"
	"time"

	"streamgate/store"
)

const (
	firstPause = 50 * time.Millisecond
	mostPause  = time.Second
)

// patiently calls fn until it is done, or fails for another reason than that a
// store cannot be reached now; or until ctx ends. What fn does may have been done
// by a call before, whose answer was lost.
func patiently(ctx context.Context, fn func() error) error {
	for pause := firstPause; ; pause = min(2*pause, mostPause) {
		err := fn()
		if !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

// awayPause is how long a job waits that was in want of a store.
const awayPause = 2 * time.Second
