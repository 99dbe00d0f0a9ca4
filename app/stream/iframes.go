package stream

import (
	"fmt"
	"io"
	"net/http"
	"sync"

	"streamgate/app/media"
)

// maxCell bounds the cell that is read into memory to take its first picture.
const maxCell = 64 << 20

// iframes keeps the latest one-picture cells in memory: scrubbing asks for
// many, and each costs the reading of a whole cell.
type iframes struct {
	max int // bytes

	mu    sync.Mutex
	size  int
	order []string // oldest first
	docs  map[string]*document
}

func newIFrames(maxBytes int) *iframes { return &iframes{max: maxBytes, docs: map[string]*document{}} }

func (c *iframes) get(key string) *document {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.docs[key]
}

func (c *iframes) put(key string, d *document) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.docs[key] != nil {
		return
	}
	c.docs[key] = d
	c.order = append(c.order, key)
	c.size += len(d.whole.body)
	for c.size > c.max {
		oldest := c.order[0]
		c.order = c.order[1:]
		c.size -= len(c.docs[oldest].whole.body)
		delete(c.docs, oldest)
	}
}

// serveIFrame sends a key picture of a cell.
func (s *Service) serveIFrame(a *answer, r *http.Request, v *video, t target) error {
	rendition, ok := v.plan.Rendition(t.rendition)
	if !ok || t.segment >= media.IFrames(v.plan, rendition) {
		return errNotFound
	}
	key := fmt.Sprintf("%s/%s/%d", v.id, rendition.Name, t.segment)
	d := s.iframes.get(key)
	if d == nil {
		cell, picked := media.IFrameAt(v.plan, rendition, t.segment)
		t.segment = cell
		f, _, err := s.cell(r.Context(), t, v.id, rendition.Name)
		if err != nil {
			return err
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, maxCell))
		if err != nil {
			return fmt.Errorf("read cell: %w", err)
		}
		picture, err := media.IFrameCell(data, picked)
		if err != nil {
			return fmt.Errorf("take a picture of a cell: %w", err)
		}
		d = newDocument(picture, s.headers.videoMP4, false)
		s.iframes.put(key, d)
	}
	s.sendDocument(a, r, d, s.headers.immutable.of(t.scope))
	return nil
}
