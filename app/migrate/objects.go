package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"streamgate/store"
)

// copiesAtOnce is how many objects are copied at the same time: enough to hide the
// time that a store takes for one.
const copiesAtOnce = 8

// moves tells whether an object is the deployment's.
func (m *Migration) moves(key string) bool {
	return !slices.Contains(m.OwnObjects, key) && (m.PartsMove || !strings.HasPrefix(key, store.UploadsPrefix))
}

// lookThere forgets the copies that the target does not have any more.
func (m *Migration) lookThere(ctx context.Context) error {
	there := map[string]string{}
	for o, err := range m.To.Objects.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("list the target's objects: %w", err)
		}
		there[o.Key] = o.ETag
	}
	m.log.keep(there)
	return nil
}

// copyObjects copies every object that the target does not have yet, and returns the
// keys of all.
func (m *Migration) copyObjects(ctx context.Context, step string) (seen map[string]bool, err error) {
	seen = map[string]bool{}
	m.at.Objects, m.at.Bytes, m.at.Of, m.at.OfBytes = 0, 0, 0, 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(copiesAtOnce)
	var mu sync.Mutex
	var told time.Time
	done := func(o store.Object) {
		m.at.Objects++
		m.at.Bytes += o.Size
		if now := time.Now(); now.Sub(told) > time.Second/4 {
			told = now
			m.report(step)
		}
	}
	for o, err := range m.From.Objects.List(ctx, "") {
		if err != nil {
			return nil, errors.Join(fmt.Errorf("list the source's objects: %w", err), group.Wait())
		}
		if !m.moves(o.Key) {
			continue
		}
		seen[o.Key] = true
		mu.Lock()
		m.at.Of++
		m.at.OfBytes += o.Size
		if m.log.has(o) {
			done(o)
			mu.Unlock()
			continue
		}
		mu.Unlock()
		group.Go(func() error {
			if err := m.copyObject(ctx, o); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			done(o)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	m.report(step)
	return seen, m.log.flush()
}

// copyObject copies one object. One that has gone meanwhile is none: its video is
// being removed.
func (m *Migration) copyObject(ctx context.Context, o store.Object) error {
	r, now, err := m.From.Objects.Get(ctx, o.Key)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", o.Key, err)
	}
	defer r.Close()
	mode := store.IfAbsent
	if m.log.there(o.Key) {
		mode = store.Replace
	}
	put, err := m.To.Objects.Put(ctx, o.Key, r, now.Size, mode)
	if err == nil && mode == store.IfAbsent && put.Size != now.Size {
		err = errors.New("the target has another one of that key")
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", o.Key, err)
	}
	if put.Size != now.Size {
		return fmt.Errorf("copy %s: %d bytes arrived, not %d", o.Key, put.Size, now.Size)
	}
	return m.log.add(now, put.ETag)
}

// dropStale removes from the target what the source does not have any more.
func (m *Migration) dropStale(ctx context.Context, seen map[string]bool) error {
	var stale []string
	for o, err := range m.To.Objects.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("list the target's objects: %w", err)
		}
		if m.moves(o.Key) && !seen[o.Key] {
			stale = append(stale, o.Key)
		}
	}
	for _, key := range stale {
		if err := m.To.Objects.Delete(ctx, key); err != nil {
			return fmt.Errorf("remove %s, which the source does not have any more: %w", key, err)
		}
	}
	return nil
}

// Look counts what there is to move, and changes nothing.
func (m *Migration) Look(ctx context.Context) (Inventory, error) {
	in := Inventory{Tables: map[string]int{}}
	if m.From.Name != m.To.Name {
		if err := m.lookThere(ctx); err != nil {
			return in, err
		}
		for o, err := range m.From.Objects.List(ctx, "") {
			if err != nil {
				return in, fmt.Errorf("list the source's objects: %w", err)
			}
			if !m.moves(o.Key) {
				continue
			}
			in.Objects++
			in.Bytes += o.Size
			if m.log.has(o) {
				in.Copied++
			}
		}
	}
	for e, err := range m.From.DB.Dump(ctx) {
		if err != nil {
			return in, err
		}
		if !m.isOwn(e) {
			in.Tables[e.Table]++
		}
	}
	return in, nil
}
