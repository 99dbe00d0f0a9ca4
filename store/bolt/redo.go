package bolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// redo is the log that makes a commit durable with one sync of a few hundred
// bytes, where the database file needs two syncs of many pages. It is two
// files of fixed size, written in turns; checkpoint.go tells when, and what
// the database file holds meanwhile.
//
// A file begins with a header that names its generation and the base: the
// state of the database that its records follow. Two marks, each in a sector
// of its own so that it is written whole or not at all, say more of it:
//
//	0     header  magic, generation, the base's meta page, checksum
//	512   durable generation, checksum      the base is on the disk
//	1024  clean   generation, checksum      so is all that followed it
//	4096  records length, checksum, payload, one after the other
//
// The checksum of a record covers the generation, so what an earlier
// generation left behind it is no record. Numbers are big-endian.
type redo struct {
	files      [2]*os.File
	generation uint64 // of the file in use, which is its parity
	at         int64  // where the next record goes
	sync       func(*os.File) error
}

const (
	redoMagic    = "SGredo1\n"
	redoSize     = 4 << 20 // bytes of a file
	redoRecords  = 4096    // where they begin
	recordHeader = 8
	sector       = 512
)

// mark is something that is said of a generation; its value is its offset.
type mark int64

const (
	markDurable mark = 1 * sector
	markClean   mark = 2 * sector
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openRedo opens the two files, and makes what is missing of them: they are
// written full once, so that later writes change no metadata of the disk's.
func openRedo(path string) (*redo, error) {
	r := &redo{sync: datasync}
	for i := range r.files {
		file, err := openFull(redoPath(path, i))
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open the redo log: %w", err), r.close())
		}
		r.files[i] = file
		if h, ok := readHeader(file); ok {
			r.generation = max(r.generation, h.generation)
		}
	}
	return r, nil
}

func redoPath(path string, i int) string { return fmt.Sprintf("%s.redo%d", path, i) }

func openFull(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size() < redoSize {
		if _, err = file.WriteAt(make([]byte, redoSize-info.Size()), info.Size()); err == nil {
			err = file.Sync()
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func (r *redo) close() error {
	var errs []error
	for _, file := range r.files {
		if file != nil {
			errs = append(errs, file.Close())
		}
	}
	return errors.Join(errs...)
}

func (r *redo) file() *os.File { return r.files[r.generation%2] }

// begin starts the next generation on the other file. The header reaches the
// disk with the first record, or with the first mark.
func (r *redo) begin(base meta) error {
	r.generation++
	r.at = redoRecords
	header := append([]byte(redoMagic), make([]byte, 8)...)
	binary.BigEndian.PutUint64(header[8:], r.generation)
	header = append(header, base...)
	_, err := r.file().WriteAt(sealed(header), 0)
	return err
}

// mark says something of a generation, and syncs its file.
func (r *redo) mark(m mark, generation uint64) error {
	file := r.files[generation%2]
	if _, err := file.WriteAt(sealed(binary.BigEndian.AppendUint64(nil, generation)), int64(m)); err != nil {
		return err
	}
	return r.sync(file)
}

// fits tells whether the file in use has room for a record.
func (r *redo) fits(record []byte) bool { return r.at+int64(len(record)) <= redoSize }

// append writes a record and syncs it; record has room for the header before
// the payload.
func (r *redo) append(record []byte) error {
	payload := record[recordHeader:]
	binary.BigEndian.PutUint32(record, uint32(len(payload)))
	binary.BigEndian.PutUint32(record[4:], recordSum(r.generation, payload))
	if _, err := r.file().WriteAt(record, r.at); err != nil {
		return err
	}
	r.at += int64(len(record))
	return r.sync(r.file())
}

func recordSum(generation uint64, payload []byte) uint32 {
	sum := crc32.Checksum(binary.BigEndian.AppendUint64(nil, generation), castagnoli)
	return crc32.Update(sum, castagnoli, payload)
}

// sealed appends the checksum of what is given.
func sealed(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// unsealed is what sealed was given; false if it is not whole.
func unsealed(b []byte) ([]byte, bool) {
	body := b[:len(b)-4]
	return body, crc32.Checksum(body, castagnoli) == binary.BigEndian.Uint32(b[len(body):])
}

// header is the first page of a redo file.
type header struct {
	generation     uint64
	base           meta
	durable, clean bool
}

func readHeader(file io.ReaderAt) (h header, ok bool) {
	page := make([]byte, redoRecords)
	if _, err := file.ReadAt(page, 0); err != nil {
		return h, false
	}
	body, ok := unsealed(page[:len(redoMagic)+8+metaSize+4])
	if !ok || string(body[:len(redoMagic)]) != redoMagic {
		return h, false
	}
	h.generation = binary.BigEndian.Uint64(body[len(redoMagic):])
	h.base = meta(body[len(redoMagic)+8:])
	h.durable, h.clean = marked(page, markDurable, h.generation), marked(page, markClean, h.generation)
	return h, true
}

func marked(page []byte, m mark, generation uint64) bool {
	body, ok := unsealed(page[m : m+12])
	return ok && binary.BigEndian.Uint64(body) == generation
}

// records yields the payloads of a generation in a file's content, up to the
// first that is not whole: a sync had not ended before the power did.
func records(content []byte, generation uint64, yield func(payload []byte) error) error {
	for rest := content[min(redoRecords, len(content)):]; len(rest) >= recordHeader; {
		size := uint64(binary.BigEndian.Uint32(rest))
		sum := binary.BigEndian.Uint32(rest[4:])
		rest = rest[recordHeader:]
		if size == 0 || size > uint64(len(rest)) || recordSum(generation, rest[:size]) != sum {
			return nil
		}
		if err := yield(rest[:size]); err != nil {
			return err
		}
		rest = rest[size:]
	}
	return nil
}

// The operations of a record's payload. Each is its letter, then its operands,
// each with its length before it: the bucket; the key; the value.
const (
	opPut      = 'p'
	opDelete   = 'd'
	opSequence = 's' // the bucket's; the value is 8 bytes
)

func appendOp(record []byte, op byte, operands ...[]byte) []byte {
	record = append(record, op)
	for _, operand := range operands {
		record = binary.AppendUvarint(record, uint64(len(operand)))
		record = append(record, operand...)
	}
	return record
}

// errRecord: the checksum fits, the content does not. Another version of this
// program wrote it, or this one has a fault.
var errRecord = errors.New("the redo log has a record that this version does not know")

// target is what a record is applied to.
type target interface {
	has(bucket string) bool
	put(bucket string, key, value []byte) error
	delete(bucket string, key []byte) error
	setSequence(bucket string, n uint64) error
}

// apply does the operations of a payload.
func apply(payload []byte, to target) error {
	p := operands{rest: payload}
	for len(p.rest) > 0 && !p.bad {
		op := p.rest[0]
		p.rest = p.rest[1:]
		bucket := string(p.next())
		if p.bad || !to.has(bucket) {
			return errRecord
		}
		var err error
		switch op {
		case opPut:
			key, value := p.next(), p.next()
			if !p.bad {
				err = to.put(bucket, key, value)
			}
		case opDelete:
			if key := p.next(); !p.bad {
				err = to.delete(bucket, key)
			}
		case opSequence:
			if value := p.next(); len(value) == 8 {
				err = to.setSequence(bucket, binary.BigEndian.Uint64(value))
			} else {
				p.bad = true
			}
		default:
			p.bad = true
		}
		if err != nil {
			return err
		}
	}
	if p.bad {
		return errRecord
	}
	return nil
}

type operands struct {
	rest []byte
	bad  bool
}

func (p *operands) next() []byte {
	size, n := binary.Uvarint(p.rest)
	if p.bad || n <= 0 || size > uint64(len(p.rest)-n) {
		p.bad = true
		return nil
	}
	operand := p.rest[n : n+int(size)]
	p.rest = p.rest[n+int(size):]
	return operand
}

// datasync makes a file's content durable, and of its metadata only what is
// needed to read it.
func datasync(file *os.File) error {
	for {
		if err := unix.Fdatasync(int(file.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
