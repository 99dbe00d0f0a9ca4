package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"streamgate/store"
)

// text is a name as a column keeps it. PostgreSQL's text takes neither what is
// not UTF-8 nor a zero byte: such a name, which comes from outside only, is kept
// in hexadecimal behind a mark that no name has.
func text(name string) string {
	if utf8.ValidString(name) && !strings.Contains(name, "\x00") {
		return name
	}
	return "\uffff" + hex.EncodeToString([]byte(name))
}

func texts(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = text(name)
	}
	return out
}

// Keys are binary: compared as bytes, they sort as the values do.

// keyInt appends v so that smaller values sort first, negative ones included.
func keyInt(key []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(key, uint64(v)^1<<63)
}

// keyTime appends t so that earlier times sort first. Any time.Time fits, the
// zero one included, which a count of nanoseconds could not hold.
func keyTime(key []byte, t time.Time) []byte {
	return binary.BigEndian.AppendUint32(keyInt(key, t.Unix()), uint32(t.Nanosecond()))
}

// readTime reads back what keyTime wrote.
func readTime(key []byte) time.Time {
	if len(key) != timeSize {
		return time.Time{}
	}
	seconds := binary.BigEndian.Uint64(key) ^ 1<<63
	return time.Unix(int64(seconds), int64(binary.BigEndian.Uint32(key[8:]))).UTC()
}

// timeSize is the number of bytes keyTime appends.
const timeSize = 12

// keyOrder is a job's place in the order in which jobs are leased: rank (bytes 1
// to 8), falling priority (9 to 16), created (17 to 28), ordinal, id.
func keyOrder(j *store.Job) []byte {
	key := make([]byte, 0, 3*8+timeSize+len(j.ID))
	key = keyInt(key, int64(j.Rank))
	key = keyInt(key, -int64(j.Priority))
	key = keyTime(key, j.Created)
	key = keyInt(key, int64(j.Ordinal))
	return append(key, j.ID...)
}

// keyBeyond sorts after all jobs that are no less urgent than a rank, and before
// the others.
func keyBeyond(rank store.Rank) []byte {
	if rank == math.MaxInt {
		return bytes.Repeat([]byte{0xff}, 9)
	}
	return keyInt(nil, int64(rank)+1)
}

// maxDuration is the longest time that the queue reckons with; longer ones are
// cut, so that no sum leaves the range of its numbers.
const maxDuration = 100 * 365 * 24 * time.Hour

// nanos is a duration for a statement.
func nanos(d time.Duration) int64 { return int64(min(max(d, -maxDuration), maxDuration)) }

// stamp is a time of the queue as a column keeps it, 0 for none.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// unstamp reads back what stamp wrote.
func unstamp(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
