package history

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"
)

// A ring's file:
//
//	0      magic, CRC-32C of the rest of the header     8 and 4 bytes
//	12     step in seconds, slots, length of the names   4 bytes each
//	24     names of the metrics, a line each
//	16384  the slots: CRC-32C of the rest                4 bytes
//	       time, seconds since 1970                      8
//	       mean and most of each metric, as float32      4 each
//
// Numbers are little-endian.
const (
	magic      = "SGHIST1\n"
	headerSize = 16 << 10
	headerText = 24
	slotHead   = 12
	// maxMetrics keeps the files below 16 MiB.
	maxMetrics = 240
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ring is one file of slots. Slot n holds the n-th step since 1970, modulo
// their number.
type ring struct {
	file    *os.File
	step    time.Duration
	slots   int64
	metrics []string
}

// openRing opens a ring, or makes it. One of other metrics is written anew with
// what it has of these; one that cannot be read is begun anew: no node must
// stay down for its history.
func openRing(path string, step, span time.Duration, metrics []string) (*ring, error) {
	if len(metrics) > maxMetrics || headerText+len(strings.Join(metrics, "\n")) > headerSize {
		return nil, fmt.Errorf("%d metrics are too many, there may be %d", len(metrics), maxMetrics)
	}
	want := &ring{step: step, slots: int64(span / step), metrics: metrics}
	old, err := loadRing(path)
	switch {
	case err == nil && old.step == step && old.slots == want.slots && slices.Equal(old.metrics, metrics):
		return old, nil
	case err == nil:
		defer old.file.Close()
		return want.replace(path, old)
	case errors.Is(err, errDamaged), errors.Is(err, os.ErrNotExist):
		return want.replace(path, nil)
	}
	return nil, err
}

var errDamaged = errors.New("no ring of this version")

// loadRing opens a ring as it is. errDamaged, os.ErrNotExist.
func loadRing(path string) (*ring, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	r, err := parseHeader(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r.file = file
	return r, nil
}

func parseHeader(file io.ReaderAt) (*ring, error) {
	h := make([]byte, headerSize)
	if _, err := file.ReadAt(h, 0); errors.Is(err, io.EOF) {
		return nil, errDamaged
	} else if err != nil {
		return nil, err
	}
	length := int64(binary.LittleEndian.Uint32(h[20:]))
	if string(h[:8]) != magic || binary.LittleEndian.Uint32(h[8:]) != crc32.Checksum(h[12:], castagnoli) || length > headerSize-headerText {
		return nil, errDamaged
	}
	r := &ring{
		step:    time.Duration(binary.LittleEndian.Uint32(h[12:])) * time.Second,
		slots:   int64(binary.LittleEndian.Uint32(h[16:])),
		metrics: strings.Split(string(h[headerText:headerText+length]), "\n"),
	}
	if r.step <= 0 || r.slots <= 0 || r.slots > 1<<16 || len(r.metrics) > maxMetrics {
		return nil, errDamaged
	}
	return r, nil
}

func (r *ring) header() []byte {
	h := make([]byte, headerSize)
	names := strings.Join(r.metrics, "\n")
	copy(h, magic)
	binary.LittleEndian.PutUint32(h[12:], uint32(r.step/time.Second))
	binary.LittleEndian.PutUint32(h[16:], uint32(r.slots))
	binary.LittleEndian.PutUint32(h[20:], uint32(len(names)))
	copy(h[headerText:], names)
	binary.LittleEndian.PutUint32(h[8:], crc32.Checksum(h[12:], castagnoli))
	return h
}

func (r *ring) slotSize() int64 { return slotHead + 8*int64(len(r.metrics)) }

// replace writes the ring's file anew, with what another has of its metrics, and
// puts it in place at once.
func (r *ring) replace(path string, old *ring) (_ *ring, err error) {
	tmp := path + ".new"
	file, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return nil, err
	}
	r.file = file
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(tmp))
		}
	}()
	if err = file.Truncate(headerSize + r.slots*r.slotSize()); err != nil {
		return nil, err
	}
	if _, err = file.WriteAt(r.header(), 0); err != nil {
		return nil, err
	}
	if old != nil && old.step == r.step {
		if err = r.take(old); err != nil {
			return nil, err
		}
	}
	return r, os.Rename(tmp, path)
}

// take copies what another ring has of the same metrics.
func (r *ring) take(old *ring) error {
	slots, err := old.all()
	if err != nil {
		return err
	}
	from := make([]int, len(r.metrics))
	for i, name := range r.metrics {
		from[i] = slices.Index(old.metrics, name)
	}
	for _, s := range slots {
		mean, most := make([]float64, len(from)), make([]float64, len(from))
		for i, column := range from {
			mean[i], most[i] = math.NaN(), math.NaN()
			if column >= 0 {
				mean[i], most[i] = s.mean(column), s.most(column)
			}
		}
		if err := r.write(s.at(), mean, most); err != nil {
			return err
		}
	}
	return nil
}

// write fills the slot of a moment.
func (r *ring) write(at time.Time, mean, most []float64) error {
	n := at.Unix() / int64(r.step/time.Second)
	b := make([]byte, r.slotSize())
	binary.LittleEndian.PutUint64(b[4:], uint64(n*int64(r.step/time.Second)))
	for i := range r.metrics {
		binary.LittleEndian.PutUint32(b[slotHead+8*i:], math.Float32bits(float32(mean[i])))
		binary.LittleEndian.PutUint32(b[slotHead+8*i+4:], math.Float32bits(float32(most[i])))
	}
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], castagnoli))
	_, err := r.file.WriteAt(b, headerSize+n%r.slots*r.slotSize())
	return err
}

// read returns the slots from a moment to another, the oldest first.
func (r *ring) read(from, to time.Time) ([]slot, error) {
	step := int64(r.step / time.Second)
	// last is not included; a part of a second counts, so that the newest sample is there at once.
	first, last := max(0, from.Unix())/step, (max(0, to.Add(time.Second-1).Unix())+step-1)/step
	first = max(first, last-r.slots)
	if first >= last {
		return nil, nil
	}
	var out []slot
	for first < last { // once, or twice where the ring is closed
		run := min(last-first, r.slots-first%r.slots)
		part, err := r.run(first%r.slots, run)
		if err != nil {
			return nil, err
		}
		for i, s := range part {
			if s.good() && s.at().Unix() == (first+int64(i))*step {
				out = append(out, s)
			}
		}
		first += run
	}
	return out, nil
}

// all returns every good slot of the file, in its order.
func (r *ring) all() ([]slot, error) {
	part, err := r.run(0, r.slots)
	return slices.DeleteFunc(part, func(s slot) bool { return !s.good() }), err
}

// run reads slots that follow each other in the file. What the file lacks at
// its end is empty.
func (r *ring) run(first, count int64) ([]slot, error) {
	size := r.slotSize()
	b := make([]byte, count*size)
	if _, err := r.file.ReadAt(b, headerSize+first*size); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	out := make([]slot, count)
	for i := range out {
		out[i] = slot(b[int64(i)*size : int64(i+1)*size])
	}
	return out, nil
}

// slot is what was seen in one step.
type slot []byte

func (s slot) good() bool {
	return s.at().Unix() > 0 && binary.LittleEndian.Uint32(s) == crc32.Checksum(s[4:], castagnoli)
}

func (s slot) at() time.Time {
	return time.Unix(int64(binary.LittleEndian.Uint64(s[4:])), 0).UTC()
}

func (s slot) mean(i int) float64 { return s.float(slotHead + 8*i) }
func (s slot) most(i int) float64 { return s.float(slotHead + 8*i + 4) }

func (s slot) float(at int) float64 {
	return float64(math.Float32frombits(binary.LittleEndian.Uint32(s[at:])))
}
