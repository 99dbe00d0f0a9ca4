package backend

import (
	"encoding/binary"
	"time"

	"streamgate/store"
)

// Keys are binary: compared as bytes, they sort as the values do.

// KeyInt appends v so that smaller values sort first, negative ones included.
func KeyInt(key []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(v)^1<<63)
}

// KeyTime appends t so that earlier times sort first. Any time.Time fits, the
// zero one included, which a count of nanoseconds could not hold.
func KeyTime(key []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint32(KeyInt(key, t.Unix()), uint32(t.Nanosecond()))
}

// ReadTime reads back what KeyTime wrote.
func ReadTime(key []byte) time.Time {
	if len(key) != TimeSize {
		return time.Time{}
	}
	seconds := binary.BigEndian.Uint64(key) ^ 1<<63
	return time.Unix(int64(seconds), int64(binary.BigEndian.Uint32(key[8:]))).UTC()
}

// TimeSize is the number of bytes KeyTime appends.
const TimeSize = 12

// KeyOrder is a job's place in the order in which jobs are leased: rank (bytes 1
// to 8), falling priority (9 to 16), created (17 to 28), ordinal, id.
func KeyOrder(j *store.Job) []byte {
	key := make([]byte, 0, 3*8+TimeSize+len(j.ID))
	key = KeyInt(key, int64(j.Rank))
	key = KeyInt(key, -int64(j.Priority))
	key = KeyTime(key, j.Created)
	key = KeyInt(key, int64(j.Ordinal))
	return append(key, j.ID...)
}
