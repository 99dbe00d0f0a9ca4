package postgres

import (
	"bytes"
	"encoding/hex"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"streamgate/store"
	"streamgate/store/internal/backend"
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

// keyBeyond sorts after all jobs that are no less urgent than a rank, and before
// the others.
func keyBeyond(rank store.Rank) []byte {
	if rank == math.MaxInt {
		return bytes.Repeat([]byte{0xff}, 9)
	}
	return backend.KeyInt(nil, int64(rank)+1)
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
