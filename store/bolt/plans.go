package bolt

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"go.etcd.io/bbolt"

	"streamgate/store"
)

// plans implements store.Plans. The cells that exist are one small record for
// each rendition, so that marking a cell rewrites little.
type plans struct{ db *DB }

// maxSegment bounds the bits of a cell set: 48 days of 4 s segments.
const maxSegment = 1 << 20

// SavePlan implements store.Plans.
func (p *plans) SavePlan(ctx context.Context, videoID string, plan store.Plan) error {
	data, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("write plan of %s: %w", videoID, err)
	}
	return p.db.write(ctx, func(c *change) error {
		if c.get(bucketPlans, []byte(videoID)) != nil {
			return fmt.Errorf("plan of %s: %w", videoID, store.ErrExists)
		}
		return c.put(bucketPlans, []byte(videoID), data)
	})
}

// Plan implements store.Plans.
func (p *plans) Plan(ctx context.Context, videoID string) (plan store.Plan, err error) {
	err = p.db.view(ctx, func(tx *bbolt.Tx) error {
		data := tx.Bucket([]byte(bucketPlans)).Get([]byte(videoID))
		if data == nil {
			return fmt.Errorf("plan of %s: %w", videoID, store.ErrNotFound)
		}
		if err := json.Unmarshal(data, &plan); err != nil {
			return fmt.Errorf("read plan of %s: %w", videoID, err)
		}
		return nil
	})
	return plan, err
}

// MarkCells implements store.Plans.
func (p *plans) MarkCells(ctx context.Context, videoID string, cells ...store.Cell) error {
	for _, cell := range cells {
		if cell.Segment < 0 || cell.Segment >= maxSegment {
			return fmt.Errorf("mark a cell of %s: there is no segment %d", videoID, cell.Segment)
		}
	}
	return p.db.write(ctx, func(c *change) error {
		changed := make(store.Cells)
		for _, cell := range cells {
			set, ok := changed[cell.Rendition]
			if !ok {
				data := c.get(bucketCells, cellsKey(videoID, cell.Rendition))
				if err := readCells(data, videoID, &set); err != nil {
					return err
				}
			}
			if set, isNew := set.Mark(cell.Segment, cell.Bytes); isNew {
				changed[cell.Rendition] = set
			}
		}
		return saveCells(c, videoID, changed)
	})
}

func saveCells(c *change, videoID string, cells store.Cells) error {
	for _, rendition := range slices.Sorted(maps.Keys(cells)) {
		data, err := json.Marshal(cells[rendition])
		if err != nil {
			return fmt.Errorf("write cells of %s: %w", videoID, err)
		}
		if err := c.put(bucketCells, cellsKey(videoID, rendition), data); err != nil {
			return err
		}
	}
	return nil
}

// Cells implements store.Plans.
func (p *plans) Cells(ctx context.Context, videoID string) (store.Cells, error) {
	cells := make(store.Cells)
	err := p.db.view(ctx, func(tx *bbolt.Tx) error {
		prefix := cellsKey(videoID, "")
		for key, data := range ascend(tx.Bucket([]byte(bucketCells)), prefix) {
			var set store.CellSet
			if err := readCells(data, videoID, &set); err != nil {
				return err
			}
			cells[string(key[len(prefix):])] = set
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return cells, nil
}

// DeletePlan implements store.Plans.
func (p *plans) DeletePlan(ctx context.Context, videoID string) error {
	return p.db.write(ctx, func(c *change) error {
		var keys [][]byte
		for key := range ascend(c.tx.Bucket([]byte(bucketCells)), cellsKey(videoID, "")) {
			keys = append(keys, slices.Clone(key))
		}
		for _, key := range keys {
			if err := c.delete(bucketCells, key); err != nil {
				return err
			}
		}
		if c.get(bucketPlans, []byte(videoID)) == nil {
			return nil
		}
		return c.delete(bucketPlans, []byte(videoID))
	})
}

func cellsKey(videoID, rendition string) []byte {
	return append(keyName(nil, videoID), rendition...)
}

// readCells reads a stored set; no data is an empty one.
func readCells(data []byte, videoID string, set *store.CellSet) error {
	if data == nil {
		return nil
	}
	if err := json.Unmarshal(data, set); err != nil {
		return fmt.Errorf("read cells of %s: %w", videoID, err)
	}
	return nil
}
