package s3

import (
	"container/list"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"streamgate/store"
)

// cache keeps what was read as files, up to a size; what was used longest ago
// goes first. Its index is in memory: a new process begins with an empty folder.
type cache struct {
	dir     string
	max     int64 // bytes
	flights singleflight.Group

	mu      sync.Mutex
	entries map[string]*list.Element // of entry, by id
	asked   map[string]*request      // blocks that are being read, by id
	used    *list.List               // the latest first
	size    int64                    // bytes
	named   uint64                   // files so far
	epoch   uint64                   // forgettings so far
}

// entry is what was read under an id: a whole object under its key, or a block.
// A large object has an entry without a file, which says what it is.
type entry struct {
	id      string
	object  store.Object
	file    string // "" for none
	size    int64  // of the file, bytes
	crc     uint32 // of the file
	checked time.Time
}

func newCache(dir string, most int64) (*cache, error) {
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("open the cache of objects: %w", err)
	}
	return &cache{dir: dir, max: most, entries: map[string]*list.Element{}, asked: map[string]*request{}, used: list.New()}, nil
}

func (c *cache) close() error { return os.RemoveAll(c.dir) }

// find returns an entry, and its file opened if it has one.
func (c *cache) find(id string) (e entry, f *os.File, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.entries[id]
	if el == nil {
		return e, nil, false
	}
	e = el.Value.(entry)
	if e.file != "" {
		var err error
		if f, err = os.Open(e.file); err != nil { // somebody removed it
			c.drop(el)
			return e, nil, false
		}
	}
	c.used.MoveToFront(el)
	return e, f, true
}

// has tells whether there is an entry, or soon will be.
func (c *cache) has(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries[id] != nil || c.asked[id] != nil
}

// block reads an entry's bytes, if they are still what was read.
func (c *cache) block(id string) ([]byte, bool) {
	e, f, ok := c.find(id)
	if !ok || f == nil {
		return nil, false
	}
	defer f.Close()
	data := make([]byte, e.size)
	if _, err := f.ReadAt(data, 0); err != nil || crc32.Checksum(data, castagnoli) != e.crc {
		c.dropFile(e)
		return nil, false
	}
	return data, true
}

// now is the epoch: what is read in it may be added as long as it lasts.
func (c *cache) now() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}

// add keeps what was read since the epoch. Where the disk has no room, nothing is
// kept.
func (c *cache) add(epoch uint64, id string, o store.Object, data []byte) {
	e := entry{id: id, object: o, size: int64(len(data)), crc: crc32.Checksum(data, castagnoli), checked: time.Now()}
	if e.size > c.max/4 {
		return
	}
	if data != nil {
		e.file = c.name()
		if os.WriteFile(e.file, data, 0o600) != nil {
			os.Remove(e.file)
			return
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if epoch != c.epoch {
		os.Remove(e.file)
		return
	}
	c.drop(c.entries[id])
	c.entries[id] = c.used.PushFront(e)
	for c.size += cost(e); c.size > c.max; {
		c.drop(c.used.Back())
	}
}

// cost is what counts of an entry: its file, and what the index needs.
func cost(e entry) int64 { return e.size + 512 }

func (c *cache) name() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.named++
	return filepath.Join(c.dir, strconv.FormatUint(c.named, 36))
}

// confirm notes that the store has the same object still.
func (c *cache) confirm(e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.entries[e.id]
	if el == nil || el.Value.(entry).file != e.file {
		return
	}
	e.checked = time.Now()
	el.Value = e
}

// forget drops what was read of a key, or of the keys under a prefix that ends in
// '/', and what is being read now. Blocks stay: their ETag is in their id.
func (c *cache) forget(prefix string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	if !strings.HasSuffix(prefix, "/") {
		c.drop(c.entries[prefix])
		return
	}
	for id, el := range c.entries {
		if strings.HasPrefix(id, prefix) {
			c.drop(el)
		}
	}
}

// dropFile drops an entry, unless another has taken its place.
func (c *cache) dropFile(e entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.entries[e.id]; el != nil && el.Value.(entry).file == e.file {
		c.drop(el)
	}
}

// drop removes an element; nil is none. Who has the file open reads on.
func (c *cache) drop(el *list.Element) {
	if el == nil {
		return
	}
	e := c.used.Remove(el).(entry)
	delete(c.entries, e.id)
	c.size -= cost(e)
	if e.file != "" {
		os.Remove(e.file)
	}
}
