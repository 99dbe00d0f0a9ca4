package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// mutants is how many files the generator makes, mutantSeed what it makes them
// of: the same seed, sources and number make the same file.
const (
	mutants    = 520
	mutantSeed = 0x5747
)

// A mutation damages a file as an attacker or a bad disk would.
type mutation struct {
	name string
	do   func(r *rand.Rand, b []byte) []byte
}

var mutations = []mutation{
	{"flip bits", func(r *rand.Rand, b []byte) []byte {
		for range 1 + r.IntN(16) {
			b[r.IntN(len(b))] ^= 1 << r.IntN(8)
		}
		return b
	}},
	{"flip bits of the header", func(r *rand.Rand, b []byte) []byte {
		for range 1 + r.IntN(4) {
			b[r.IntN(min(len(b), 600))] ^= 1 << r.IntN(8)
		}
		return b
	}},
	{"garble a stretch", func(r *rand.Rand, b []byte) []byte {
		from, to := stretch(r, b, 256)
		for i := from; i < to; i++ {
			b[i] = byte(r.Uint32())
		}
		return b
	}},
	{"cut", func(r *rand.Rand, b []byte) []byte { return b[:r.IntN(len(b))] }},
	{"cut the head off", func(r *rand.Rand, b []byte) []byte { return b[r.IntN(min(len(b), 2000)):] }},
	{"resize a box", func(r *rand.Rand, b []byte) []byte {
		if at := someBox(r, b); at >= 4 {
			binary.BigEndian.PutUint32(b[at-4:], extreme(r))
		}
		return b
	}},
	{"recount a table", func(r *rand.Rand, b []byte) []byte {
		if at := someBox(r, b); at >= 0 {
			for range 1 + r.IntN(3) {
				if i := at + 4 + 4*r.IntN(8); i+4 <= len(b) {
					binary.BigEndian.PutUint32(b[i:], extreme(r))
				}
			}
		}
		return b
	}},
	{"rename a box", func(r *rand.Rand, b []byte) []byte {
		at, other := someBox(r, b), someBox(r, b)
		if at < 0 {
			return b
		}
		name := "free"
		if r.IntN(2) == 0 {
			name = string(b[other : other+4])
		}
		copy(b[at:], name)
		return b
	}},
	{"write an extreme number", func(r *rand.Rand, b []byte) []byte {
		n := 1 << r.IntN(4) // bytes
		at := r.IntN(max(1, min(len(b), 2000)-n))
		for i := range min(n, len(b)-at) {
			b[at+i] = byte(extreme(r))
		}
		return b
	}},
	{"swap blocks", func(r *rand.Rand, b []byte) []byte {
		n := 1 + r.IntN(len(b)/3)
		x := r.IntN(len(b) - 2*n + 1)
		y := x + n + r.IntN(len(b)-x-2*n+1)
		one := bytes.Clone(b[x : x+n])
		copy(b[x:], b[y:y+n])
		copy(b[y:], one)
		return b
	}},
	{"repeat a block", func(r *rand.Rand, b []byte) []byte {
		from, to := stretch(r, b, len(b)/2)
		return slices.Insert(b, from, bytes.Repeat(b[from:to], 1+r.IntN(8))...)
	}},
	{"drop a block", func(r *rand.Rand, b []byte) []byte {
		from, to := stretch(r, b, len(b)/4)
		return slices.Delete(b, from, to)
	}},
	{"blank a block", func(r *rand.Rand, b []byte) []byte {
		from, to := stretch(r, b, 4096)
		clear(b[from:to])
		return b
	}},
}

// stretch is a random part of b, at most so long.
func stretch(r *rand.Rand, b []byte, longest int) (from, to int) {
	from = r.IntN(len(b))
	return from, min(len(b), from+1+r.IntN(max(1, longest)))
}

// extreme is a number that programs get wrong.
func extreme(r *rand.Rand) uint32 {
	edge := []uint32{0, 1, 7, 8, 0x7f, 0xff, 0x100, 0x7fff, 0xffff, 0x10000, 1_000_000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff}
	if i := r.IntN(len(edge) + 5); i < len(edge) {
		return edge[i]
	}
	return r.Uint32()
}

// someBox is where a random four-letter name lies in b; -1 if there is none.
// MP4, AVI, FLAC and Ogg have such; in others it is any four letters, which is
// as good.
func someBox(r *rand.Rand, b []byte) int {
	letter := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
	from := r.IntN(len(b))
	for i := range len(b) {
		at := (from + i) % len(b)
		if at+4 <= len(b) && letter(b[at]) && letter(b[at+1]) && letter(b[at+2]) && (letter(b[at+3]) || b[at+3] >= '0' && b[at+3] <= '9') {
			return at
		}
	}
	return -1
}

// mutant makes file i of the sources: one to three mutations of one of them.
func mutant(i int, sources []source) (name string, content []byte) {
	r := rand.New(rand.NewPCG(mutantSeed, uint64(i)))
	s := sources[i%len(sources)]
	b := bytes.Clone(s.content)
	var did []string
	for n := 1 + r.IntN(3); n > 0 && len(b) >= 64; n-- {
		m := mutations[(i/len(sources)+5*n)%len(mutations)]
		b = m.do(r, b)
		did = append(did, m.name)
	}
	return fmt.Sprintf("%03d %s, %s", i, s.name, strings.Join(did, ", ")), b
}

// TestMutantsAreTheSame: what failed once can be made again.
func TestMutantsAreTheSame(t *testing.T) {
	sources := []source{{"a", bytes.Repeat([]byte("\x00\x00\x00\x08moov"), 200)}, {"b", bytes.Repeat([]byte{0, 9}, 500)}}
	used := map[string]bool{}
	for i := range 200 {
		name, content := mutant(i, sources)
		again, same := mutant(i, sources)
		if name != again || !bytes.Equal(content, same) {
			t.Errorf("%s is not the same twice", name)
		}
		_, did, _ := strings.Cut(name, ", ")
		for m := range strings.SplitSeq(did, ", ") {
			used[m] = true
		}
	}
	if len(used) != len(mutations) {
		t.Errorf("%d of %d mutations are used", len(used), len(mutations))
	}
}
