package upload

import (
	"context"
	"errors"
	"fmt"

	"github.com/tus/tusd/v2/pkg/handler"
	"github.com/tus/tusd/v2/pkg/memorylocker"
)

// locker gives each upload to one request at a time. A second request asks
// the first to let go, which is how a HEAD takes over from a PATCH whose
// client is gone; if that takes too long it is refused with 423.
type locker struct{ mem *memorylocker.MemoryLocker }

func newLocker() locker { return locker{memorylocker.New()} }

// NewLock implements handler.Locker.
func (l locker) NewLock(id string) (handler.Lock, error) {
	inner, err := l.mem.NewLock(id)
	return uploadLock{inner: inner}, err
}

// hold takes the lock of a name and lets nobody interrupt.
func (l locker) hold(ctx context.Context, name string) (release func(), err error) {
	return l.holdUntil(ctx, name, func() {})
}

// holdUntil takes the lock of a name; asked is called when somebody else wants it.
func (l locker) holdUntil(ctx context.Context, name string, asked func()) (release func(), err error) {
	lock, err := l.mem.NewLock(name)
	if err == nil {
		err = lock.Lock(ctx, asked)
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return func() { _ = lock.Unlock() }, nil // it never fails on a lock that is held
}

type uploadLock struct{ inner handler.Lock }

// Lock implements handler.Lock. It stops the holder by its exchange instead
// of tusd's callback, which looks at the request's body without a lock and
// can miss one that has just begun.
func (l uploadLock) Lock(ctx context.Context, _ func()) error {
	holder := exchangeOf(ctx)
	err := l.inner.Lock(ctx, func() { holder.interrupt.now(handler.ErrUploadInterrupted) })
	if errors.Is(err, handler.ErrLockTimeout) {
		return handler.ErrFileLocked // 423, where tusd would say 500
	}
	return err
}

// Unlock implements handler.Lock.
func (l uploadLock) Unlock() error { return l.inner.Unlock() }
