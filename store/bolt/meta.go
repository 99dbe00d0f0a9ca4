package bolt

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"os"
)

// meta is a meta page of bbolt: the root of one state of the database. Of its
// fields only the page size and the transaction are looked at here:
//
//	0   the page's header   id, flags, count, overflow
//	16  magic, version, page size, flags     4 bytes each
//	32  root, its sequence, free list, size  8 bytes each
//	64  transaction, checksum                8 bytes each
//
// Numbers are in the machine's order.
type meta []byte

const metaSize, metaHeader = 80, 16

func (m meta) pageSize() int64 { return int64(binary.NativeEndian.Uint32(m[24:])) }
func (m meta) txid() uint64    { return binary.NativeEndian.Uint64(m[64:]) }

// slot is which of the two meta pages it is.
func (m meta) slot() int64 { return int64(m.txid() % 2) }

// valid tells whether the page is whole.
func (m meta) valid() bool {
	const magic = 0xED0CDAED
	return binary.NativeEndian.Uint32(m[16:]) == magic && binary.NativeEndian.Uint64(m[72:]) == fnv64(m[16:72])
}

// readMeta reads the newer of the two meta pages that are whole.
func readMeta(file *os.File, pageSize int) (newest meta, err error) {
	for slot := range 2 {
		m := make(meta, metaSize)
		if _, err := file.ReadAt(m, int64(slot*pageSize)); err != nil {
			return nil, err
		}
		if m.valid() && (newest == nil || m.txid() > newest.txid()) {
			newest = m
		}
	}
	if newest == nil {
		return nil, errors.New("the database file has no meta page that is whole")
	}
	return newest, nil
}

func fnv64(b []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(b) // it returns no error
	return h.Sum64()
}
