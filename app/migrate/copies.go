package migrate

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"streamgate/store"
)

// copies is the log of what was copied: for each object its validators on both sides.
// As long as both still have theirs, they have the same bytes, whichever of them was
// copied to the other. The end of the log may be missing after a crash: then some
// objects are copied once more.
type copies struct {
	from, to string

	mu     sync.Mutex
	file   *os.File
	out    *bufio.Writer
	known  map[string]validators
	target map[string]string // what the target has, by key
}

type validators struct{ from, to string }

// copied is a line of the log.
type copied struct {
	Key   string            `json:"key"`
	ETags map[string]string `json:"etags"` // by the name of the side
}

const copiesName = "objects.jsonl"

// openCopies reads the log in dir.
func openCopies(dir, from, to string) (*copies, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the log of copies: %w", store.Full(err))
	}
	path := filepath.Join(dir, copiesName)
	c := &copies{from: from, to: to, known: map[string]validators{}, target: map[string]string{}}
	if err := c.read(path); err != nil {
		return nil, fmt.Errorf("read the log of copies: %w", err)
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of copies: %w", store.Full(err))
	}
	c.file, c.out = file, bufio.NewWriter(file)
	_, err = c.out.WriteString("\n") // ends a line that a crash cut
	return c, err
}

func (c *copies) read(path string) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var one copied
		if json.Unmarshal(lines.Bytes(), &one) == nil && one.ETags[c.from] != "" && one.ETags[c.to] != "" {
			c.known[one.Key] = validators{one.ETags[c.from], one.ETags[c.to]}
		}
	}
	return lines.Err()
}

// keep forgets what the target does not have as it was copied.
func (c *copies) keep(there map[string]string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target = there
	for key, v := range c.known {
		if there[key] != v.to {
			delete(c.known, key)
		}
	}
}

// has tells whether an object of the source was copied as it is.
func (c *copies) has(o store.Object) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.known[o.Key]
	return ok && v.from == o.ETag
}

// there tells whether the target has something under the key.
func (c *copies) there(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.target[key]
	return ok
}

// add notes a copy.
func (c *copies) add(o store.Object, to string) error {
	line, err := json.Marshal(copied{o.Key, map[string]string{c.from: o.ETag, c.to: to}})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[o.Key] = validators{o.ETag, to}
	c.target[o.Key] = to
	_, err = c.out.Write(append(line, '\n'))
	return store.Full(err)
}

func (c *copies) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return store.Full(c.out.Flush())
}

func (c *copies) close() error {
	return errors.Join(c.flush(), c.file.Close())
}
