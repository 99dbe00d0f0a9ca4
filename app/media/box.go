package media

import (
	"encoding/binary"
	"math"
)

// Boxes of ISO/IEC 14496-12 §4.2, as bytes.

func appendBox(b []byte, size int, kind string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(size)), kind...)
}

func appendU32(b []byte, values ...uint32) []byte {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// cursor reads big-endian fields; what is not there reads as zero and marks
// it bad.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) more() bool { return len(c.b) > 0 && !c.bad }

func (c *cursor) take(n int) []byte {
	if n > len(c.b) {
		c.b, c.bad = nil, true
		return make([]byte, min(n, 8))
	}
	taken := c.b[:n]
	c.b = c.b[n:]
	return taken
}

func (c *cursor) skip(n int)  { c.take(n) }
func (c *cursor) u32() uint32 { return binary.BigEndian.Uint32(c.take(4)) }
func (c *cursor) u64() uint64 { return binary.BigEndian.Uint64(c.take(8)) }

// optional reads a field that may be absent.
func (c *cursor) optional(present bool, otherwise uint32) uint32 {
	if !present {
		return otherwise
	}
	return c.u32()
}

// box reads a box and returns its body.
func (c *cursor) box() (kind string, body cursor) {
	size := c.u32()
	kind = string(c.take(4))
	if size < 8 || size > math.MaxInt32 || int(size)-8 > len(c.b) {
		c.bad = true
		return "", cursor{}
	}
	return kind, cursor{b: c.take(int(size) - 8)}
}
