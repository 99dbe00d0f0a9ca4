package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"streamgate/store"
)

// errParts: Compose is given none, or too many.
var errParts = fmt.Errorf("an object is composed of 1 to %d others", store.ComposeMax)

// Compose implements store.Objects.
func (s *Store) Compose(ctx context.Context, key string, parts []string, mode store.PutMode) (store.Object, error) {
	path, err := s.path(key)
	if err == nil && (len(parts) == 0 || len(parts) > store.ComposeMax) {
		err = errParts
	}
	if err != nil {
		return store.Object{}, err
	}
	r := &partsReader{s: s, keys: parts}
	o, err := s.put(ctx, path, r, store.UnknownSize, mode)
	r.close()
	if errors.Is(err, errTaken) {
		return s.there(ctx, key, path)
	}
	if err != nil {
		return store.Object{}, fmt.Errorf("compose %s: %w", key, store.Full(err))
	}
	o.Key = key
	return o, nil
}

// partsReader reads objects one after the other; one is open.
type partsReader struct {
	s    *Store
	keys []string
	f    *os.File
}

// Read implements io.Reader.
func (p *partsReader) Read(buf []byte) (int, error) {
	for {
		if p.f == nil {
			if len(p.keys) == 0 {
				return 0, io.EOF
			}
			if err := p.next(); err != nil {
				return 0, err
			}
		}
		n, err := p.f.Read(buf)
		if !errors.Is(err, io.EOF) {
			return n, err
		}
		p.close()
		if n > 0 {
			return n, nil
		}
	}
}

func (p *partsReader) next() error {
	path, err := p.s.path(p.keys[0])
	if err != nil {
		return err
	}
	if p.f, err = os.Open(path); err != nil {
		p.f = nil
		return missing(err)
	}
	p.keys = p.keys[1:]
	return nil
}

func (p *partsReader) close() {
	if p.f != nil {
		p.f.Close()
		p.f = nil
	}
}
