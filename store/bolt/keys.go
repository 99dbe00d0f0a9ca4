package bolt

import (
	"bytes"
	"encoding/binary"
	"iter"
	"time"

	"go.etcd.io/bbolt"

	"streamgate/store"
)

// Index keys are binary: compared as bytes, they sort as the values do.

// keyName appends a name with its length, so that no name is another's prefix.
func keyName(key []byte, name string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(name))), name...)
}

// orderGroup is the length of the part of backend.KeyOrder before Created.
const orderGroup = 2 * 8

// orderCreated reads Created back from a key of backend.KeyOrder.
func orderCreated(key []byte) time.Time {
	seconds := binary.BigEndian.Uint64(key[orderGroup:]) ^ 1<<63
	return time.Unix(int64(seconds), int64(binary.BigEndian.Uint32(key[orderGroup+8:]))).UTC()
}

// orderRank reads the rank back from a key of backend.KeyOrder.
func orderRank(key []byte) store.Rank {
	return store.Rank(binary.BigEndian.Uint64(key) ^ 1<<63)
}

// ascend yields the entries under a prefix, from the first. The bucket must
// not be written to meanwhile.
func ascend(b *bbolt.Bucket, prefix []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		c := b.Cursor()
		for k, v := c.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if !yield(k, v) {
				return
			}
		}
	}
}

// descend yields the entries under a prefix, from the last, or from the last
// below prefix+before if before is not empty.
func descend(b *bbolt.Bucket, prefix []byte, before string) iter.Seq2[[]byte, []byte] {
	end := successor(prefix)
	if before != "" {
		end = append(bytes.Clone(prefix), before...)
	}
	return func(yield func(key, value []byte) bool) {
		c := b.Cursor()
		k, v := lastBelow(c, end)
		for ; k != nil && bytes.HasPrefix(k, prefix); k, v = c.Prev() {
			if !yield(k, v) {
				return
			}
		}
	}
}

// lastBelow moves to the last key below end; nil is beyond every key.
func lastBelow(c *bbolt.Cursor, end []byte) (key, value []byte) {
	if end == nil {
		return c.Last()
	}
	if k, _ := c.Seek(end); k == nil {
		return c.Last()
	}
	return c.Prev()
}

// successor is the first key after all keys with the prefix; nil if every
// key may have it.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}
