package memory

import "container/list"

// recent is a map of bounded size that forgets the entry used longest ago.
type recent[V any] struct {
	limit   int
	entries map[string]*list.Element
	order   *list.List // of *entry[V], the latest used in front
}

type entry[V any] struct {
	key   string
	value V
}

func newRecent[V any](limit int) *recent[V] {
	return &recent[V]{limit: limit, entries: make(map[string]*list.Element), order: list.New()}
}

func (r *recent[V]) get(key string) (v V, ok bool) {
	e, ok := r.entries[key]
	if !ok {
		return v, false
	}
	r.order.MoveToFront(e)
	return e.Value.(*entry[V]).value, true
}

func (r *recent[V]) put(key string, v V) {
	if e, ok := r.entries[key]; ok {
		e.Value.(*entry[V]).value = v
		r.order.MoveToFront(e)
		return
	}
	if len(r.entries) >= r.limit {
		r.remove(r.order.Back().Value.(*entry[V]).key)
	}
	r.entries[key] = r.order.PushFront(&entry[V]{key, v})
}

func (r *recent[V]) remove(key string) {
	if e, ok := r.entries[key]; ok {
		r.order.Remove(e)
		delete(r.entries, key)
	}
}
