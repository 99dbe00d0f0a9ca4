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
//
// That is among the requests of one node; among nodes an upload's Hold decides.
type locker struct{ mem *memorylocker.MemoryLocker }

func newLocker() locker { return locker{memorylocker.New()} }

// tusLocker is the locker of tusd's requests, which also take the hold.
type tusLocker struct{ s *Service }

// NewLock implements handler.Locker.
func (l tusLocker) NewLock(id string) (handler.Lock, error) {
	inner, err := l.s.locks.mem.NewLock(id)
	return uploadLock{inner: inner, s: l.s, id: id}, err
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

type uploadLock struct {
	inner handler.Lock
	s     *Service
	id    string
}

// Lock implements handler.Lock. It stops the holder by its exchange instead
// of tusd's callback, which looks at the request's body without a lock and
// can miss one that has just begun.
func (l uploadLock) Lock(ctx context.Context, _ func()) error {
	holder := exchangeOf(ctx)
	err := l.inner.Lock(ctx, func() { holder.interrupt.now(handler.ErrUploadInterrupted) })
	if errors.Is(err, handler.ErrLockTimeout) {
		return handler.ErrFileLocked // 423, where tusd would say 500
	}
	if err != nil {
		return err
	}
	take := l.s.take
	if holder.deletes {
		take = l.s.takeToDelete
	}
	if err := take(ctx, l.id); err != nil {
		_ = l.inner.Unlock() // as in holdUntil
		return refuse(ctx, err)
	}
	return nil
}

// Unlock implements handler.Lock.
func (l uploadLock) Unlock() error { return l.inner.Unlock() }
