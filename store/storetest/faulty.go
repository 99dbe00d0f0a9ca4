package storetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"streamgate/store"
)

// ErrFault is the error of a Fault that names none.
var ErrFault = errors.New("injected fault")

// Op is a method of store.Objects or store.Queue.
type Op string

// The methods of store.Objects that a fault can be in.
const (
	OpPut     Op = "put"
	OpAdopt   Op = "adopt"
	OpCompose Op = "compose"
	OpGet     Op = "get"
	OpStat    Op = "stat"
	OpInput   Op = "input"
	OpDelete  Op = "delete"
	OpList    Op = "list"
	OpSpace   Op = "space"
	OpPing    Op = "ping"
)

// Fault is what goes wrong in one call. The zero Fault is none.
type Fault struct {
	// Stall delays the call until the channel is closed or the context ends.
	Stall <-chan struct{}
	// Err is what the call fails with; it then does nothing, and a Put has
	// read its reader to the end for nothing.
	Err error
	// Late makes a Put, Adopt, Compose or Delete fail at once (with Err or ErrFault)
	// and take effect all the same, once Stall is closed: what a time-out over
	// a network does. An adopted file is gone at once.
	Late bool
}

// FaultyObjects is a store.Objects that misbehaves as it is told.
type FaultyObjects struct {
	inner store.Objects
	late  sync.WaitGroup

	mu    sync.Mutex
	fault func(op Op, key string) Fault
	calls map[Op]int
}

var _ store.Objects = (*FaultyObjects)(nil)

// Faulty wraps objects, healthy at first.
func Faulty(inner store.Objects) *FaultyObjects {
	return &FaultyObjects{inner: inner, calls: make(map[Op]int)}
}

// Break makes fn choose the fault of each call from now on; nil mends it. fn
// is called under a lock, so it may count.
func (f *FaultyObjects) Break(fn func(op Op, key string) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fn
}

// Calls tells how often a method was called.
func (f *FaultyObjects) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Settle waits until every late call has taken effect.
func (f *FaultyObjects) Settle() { f.late.Wait() }

// Put implements store.Objects.
func (f *FaultyObjects) Put(ctx context.Context, key string, r io.Reader, size int64, mode store.PutMode) (store.Object, error) {
	fault := f.choose(OpPut, key)
	if !fault.Late {
		err := fault.meet(ctx)
		if err == nil {
			return f.inner.Put(ctx, key, r, size, mode)
		}
		_, readErr := io.Copy(io.Discard, r)
		return store.Object{}, errors.Join(err, readErr)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return store.Object{}, err
	}
	return store.Object{}, f.later(fault, func() {
		f.inner.Put(context.Background(), key, bytes.NewReader(data), size, mode) //nolint:errcheck // nobody is left to tell
	})
}

// Adopt implements store.Objects.
func (f *FaultyObjects) Adopt(ctx context.Context, key, path string) (store.Object, error) {
	fault := f.choose(OpAdopt, key)
	if !fault.Late {
		if err := fault.meet(ctx); err != nil {
			return store.Object{}, err
		}
		return f.inner.Adopt(ctx, key, path)
	}
	hidden := filepath.Join(filepath.Dir(path), "late-"+strings.ReplaceAll(key, "/", "-"))
	if err := os.Rename(path, hidden); err != nil {
		return store.Object{}, err
	}
	return store.Object{}, f.later(fault, func() {
		f.inner.Adopt(context.Background(), key, hidden) //nolint:errcheck // nobody is left to tell
	})
}

// Compose implements store.Objects.
func (f *FaultyObjects) Compose(ctx context.Context, key string, parts []string, mode store.PutMode) (store.Object, error) {
	fault := f.choose(OpCompose, key)
	if !fault.Late {
		if err := fault.meet(ctx); err != nil {
			return store.Object{}, err
		}
		return f.inner.Compose(ctx, key, parts, mode)
	}
	return store.Object{}, f.later(fault, func() {
		f.inner.Compose(context.Background(), key, parts, mode) //nolint:errcheck // nobody is left to tell
	})
}

// Get implements store.Objects.
func (f *FaultyObjects) Get(ctx context.Context, key string) (io.ReadSeekCloser, store.Object, error) {
	if err := f.choose(OpGet, key).meet(ctx); err != nil {
		return nil, store.Object{}, err
	}
	return f.inner.Get(ctx, key)
}

// Stat implements store.Objects.
func (f *FaultyObjects) Stat(ctx context.Context, key string) (store.Object, error) {
	if err := f.choose(OpStat, key).meet(ctx); err != nil {
		return store.Object{}, err
	}
	return f.inner.Stat(ctx, key)
}

// Input implements store.Objects.
func (f *FaultyObjects) Input(ctx context.Context, key string) (store.Input, func(), error) {
	if err := f.choose(OpInput, key).meet(ctx); err != nil {
		return store.Input{}, nil, err
	}
	return f.inner.Input(ctx, key)
}

// Delete implements store.Objects.
func (f *FaultyObjects) Delete(ctx context.Context, prefix string) error {
	fault := f.choose(OpDelete, prefix)
	if !fault.Late {
		if err := fault.meet(ctx); err != nil {
			return err
		}
		return f.inner.Delete(ctx, prefix)
	}
	return f.later(fault, func() {
		f.inner.Delete(context.Background(), prefix) //nolint:errcheck // nobody is left to tell
	})
}

// List implements store.Objects.
func (f *FaultyObjects) List(ctx context.Context, prefix string) iter.Seq2[store.Object, error] {
	if err := f.choose(OpList, prefix).meet(ctx); err != nil {
		return func(yield func(store.Object, error) bool) { yield(store.Object{}, err) }
	}
	return f.inner.List(ctx, prefix)
}

// Space implements store.Objects.
func (f *FaultyObjects) Space(ctx context.Context) (free, total int64, err error) {
	if err := f.choose(OpSpace, "").meet(ctx); err != nil {
		return 0, 0, err
	}
	return f.inner.Space(ctx)
}

// Ping implements store.Objects.
func (f *FaultyObjects) Ping(ctx context.Context) error {
	if err := f.choose(OpPing, "").meet(ctx); err != nil {
		return err
	}
	return f.inner.Ping(ctx)
}

func (f *FaultyObjects) choose(op Op, key string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls[op]++
	if f.fault == nil {
		return Fault{}
	}
	return f.fault(op, key)
}

// later lets effect happen after the stall and fails now.
func (f *FaultyObjects) later(fault Fault, effect func()) error {
	f.late.Go(func() {
		if fault.Stall != nil {
			<-fault.Stall
		}
		effect()
	})
	if fault.Err == nil {
		return ErrFault
	}
	return fault.Err
}

// meet stalls and fails as the fault says.
func (f Fault) meet(ctx context.Context) error {
	if f.Stall != nil {
		select {
		case <-f.Stall:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return f.Err
}
