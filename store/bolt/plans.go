package bolt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

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

// UpdatePlan implements store.Plans. fn runs inside the write transaction.
func (p *plans) UpdatePlan(ctx context.Context, videoID string, fn func(*store.Plan) error) (store.Plan, error) {
	var stored store.Plan
	err := p.db.write(ctx, func(c *change) error {
		plan, err := readPlan(c.get(bucketPlans, []byte(videoID)), videoID)
		if err != nil {
			return err
		}
		revision := plan.Revision
		if err := fn(&plan); err != nil {
			return err
		}
		plan.Revision = revision + 1
		stored = plan
		data, err := json.Marshal(plan)
		if err != nil {
			return fmt.Errorf("write plan of %s: %w", videoID, err)
		}
		return errors.Join(c.put(bucketPlans, []byte(videoID), data), noteRemoval(c, videoID, plan.RemovalDue()))
	})
	if err != nil {
		return store.Plan{}, err
	}
	return stored, nil
}

// noteRemoval keeps the index of plans of which something is to be removed.
func noteRemoval(c *change, videoID string, due time.Time) error {
	if !due.IsZero() {
		return c.put(bucketPlansDue, []byte(videoID), due.AppendFormat(nil, time.RFC3339Nano))
	}
	if c.get(bucketPlansDue, []byte(videoID)) == nil {
		return nil
	}
	return c.delete(bucketPlansDue, []byte(videoID))
}

// RemovalsDue implements store.Plans.
func (p *plans) RemovalsDue(ctx context.Context, at time.Time) (videoIDs []string, err error) {
	err = p.db.view(ctx, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketPlansDue)).ForEach(func(id, data []byte) error {
			due, err := time.Parse(time.RFC3339Nano, string(data))
			if err != nil {
				return fmt.Errorf("read when renditions of %s are to be removed: %w", id, err)
			}
			if !at.Before(due) {
				videoIDs = append(videoIDs, string(id))
			}
			return nil
		})
	})
	return videoIDs, err
}

// Plan implements store.Plans.
func (p *plans) Plan(ctx context.Context, videoID string) (plan store.Plan, err error) {
	err = p.db.view(ctx, func(tx *bbolt.Tx) error {
		plan, err = readPlan(tx.Bucket([]byte(bucketPlans)).Get([]byte(videoID)), videoID)
		return err
	})
	return plan, err
}

// readPlan reads a stored plan; no data is store.ErrNotFound.
func readPlan(data []byte, videoID string) (plan store.Plan, err error) {
	if data == nil {
		return plan, fmt.Errorf("plan of %s: %w", videoID, store.ErrNotFound)
	}
	if err := json.Unmarshal(data, &plan); err != nil {
		return plan, fmt.Errorf("read plan of %s: %w", videoID, err)
	}
	return plan, nil
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

// RemoveCells implements store.Plans.
func (p *plans) RemoveCells(ctx context.Context, videoID string, renditions ...string) error {
	return p.db.write(ctx, func(c *change) error {
		for _, rendition := range renditions {
			key := cellsKey(videoID, rendition)
			if c.get(bucketCells, key) == nil {
				continue
			}
			if err := c.delete(bucketCells, key); err != nil {
				return err
			}
		}
		return nil
	})
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
		return errors.Join(c.delete(bucketPlans, []byte(videoID)), noteRemoval(c, videoID, time.Time{}))
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
