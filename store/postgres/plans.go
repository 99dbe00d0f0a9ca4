package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// plans implements store.Plans.
type plans struct{ db *DB }

// maxSegment bounds the bits of a cell set: 48 days of 4 s segments.
const maxSegment = 1 << 20

// SavePlan implements store.Plans.
func (p *plans) SavePlan(ctx context.Context, videoID string, plan store.Plan) error {
	doc, err := json.Marshal(plan)
	if err != nil {
		return fmt.Errorf("write plan of %s: %w", videoID, err)
	}
	n, err := p.db.exec(ctx, `INSERT INTO plans (video, due, doc) VALUES ($1, $2, $3::text::json) ON CONFLICT (video) DO NOTHING`,
		text(videoID), dueKey(plan.RemovalDue()), string(doc))
	if err == nil && n == 0 {
		err = store.ErrExists
	}
	if err != nil {
		return fmt.Errorf("save plan of %s: %w", videoID, err)
	}
	return nil
}

// dueKey is a time as plans are found by; nil if it is none.
func dueKey(t time.Time) []byte {
	if t.IsZero() {
		return nil
	}
	return backend.KeyTime(nil, t)
}

// UpdatePlan implements store.Plans. fn runs between reading and writing, as in
// table.Update.
func (p *plans) UpdatePlan(ctx context.Context, videoID string, fn func(*store.Plan) error) (store.Plan, error) {
	for tries := 1; ; tries++ {
		plan, was, err := p.load(ctx, videoID)
		if err != nil {
			return store.Plan{}, err
		}
		doc, err := changePlan(&plan, was.doc, fn)
		if err != nil {
			return store.Plan{}, err
		}
		n, err := p.db.exec(ctx, `UPDATE plans SET due = $3, doc = $4::text::json, revision = nextval('revisions')
			WHERE video = $1 AND revision = $2`,
			text(videoID), was.revision, dueKey(plan.RemovalDue()), string(doc))
		switch {
		case err != nil:
			return store.Plan{}, fmt.Errorf("update plan of %s: %w", videoID, err)
		case n == 1:
			return plan, nil
		case !pause(ctx, tries):
			return store.Plan{}, fmt.Errorf("update plan of %s: %w", videoID, ctx.Err())
		}
	}
}

// changePlan applies fn and raises the revision; it returns what is to be stored.
func changePlan(plan *store.Plan, stored []byte, fn func(*store.Plan) error) ([]byte, error) {
	before, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	revision := plan.Revision
	if err := fn(plan); err != nil {
		return nil, err
	}
	plan.Revision = revision + 1
	after, err := json.Marshal(plan)
	return merge(stored, before, after), err
}

// RemovalsDue implements store.Plans.
func (p *plans) RemovalsDue(ctx context.Context, at time.Time) (videoIDs []string, err error) {
	err = p.db.read(ctx, func() error {
		rows, err := p.db.pool.Query(ctx, `SELECT video FROM plans WHERE due <= $1`, backend.KeyTime(nil, at))
		if err != nil {
			return err
		}
		videoIDs, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for renditions to be removed: %w", err)
	}
	return videoIDs, nil
}

// Plan implements store.Plans.
func (p *plans) Plan(ctx context.Context, videoID string) (store.Plan, error) {
	plan, _, err := p.load(ctx, videoID)
	return plan, err
}

func (p *plans) load(ctx context.Context, videoID string) (plan store.Plan, v version, err error) {
	err = p.db.read(ctx, func() error {
		return p.db.pool.QueryRow(ctx, `SELECT doc, revision FROM plans WHERE video = $1`, text(videoID)).Scan(&v.doc, &v.revision)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		err = store.ErrNotFound
	}
	if err == nil {
		err = json.Unmarshal(v.doc, &plan)
	}
	if err != nil {
		return store.Plan{}, v, fmt.Errorf("read plan of %.100s: %w", videoID, err)
	}
	return plan, v, nil
}

// MarkCells implements store.Plans. Cells are stored in one order, so that two
// who mark the same do not wait for each other in a ring.
func (p *plans) MarkCells(ctx context.Context, videoID string, cells ...store.Cell) error {
	for _, cell := range cells {
		if cell.Segment < 0 || cell.Segment >= maxSegment {
			return fmt.Errorf("mark a cell of %s: there is no segment %d", videoID, cell.Segment)
		}
	}
	cells = slices.SortedStableFunc(slices.Values(cells), func(a, b store.Cell) int {
		return cmp.Or(cmp.Compare(a.Rendition, b.Rendition), cmp.Compare(a.Segment, b.Segment))
	})
	renditions, segments, sizes := make([]string, len(cells)), make([]int32, len(cells)), make([]int64, len(cells))
	for i, cell := range cells {
		renditions[i], segments[i], sizes[i] = text(cell.Rendition), int32(cell.Segment), cell.Bytes
	}
	_, err := p.db.exec(ctx, `INSERT INTO cells (video, rendition, segment, bytes)
		SELECT $1, * FROM unnest($2::text[], $3::integer[], $4::bigint[]) ON CONFLICT DO NOTHING`,
		text(videoID), renditions, segments, sizes)
	if err != nil {
		return fmt.Errorf("mark cells of %s: %w", videoID, err)
	}
	return nil
}

// Cells implements store.Plans. The database adds the rows of a rendition up, so
// that a long video is a few rows on the wire.
func (p *plans) Cells(ctx context.Context, videoID string) (cells store.Cells, err error) {
	err = p.db.read(ctx, func() error {
		cells = make(store.Cells)
		rows, err := p.db.pool.Query(ctx, `SELECT rendition, array_agg(segment), sum(bytes)::bigint FROM cells WHERE video = $1 GROUP BY rendition`,
			text(videoID))
		if err != nil {
			return err
		}
		var rendition string
		var segments []int32
		var size int64
		_, err = pgx.ForEachRow(rows, []any{&rendition, &segments, &size}, func() error {
			cells[rendition] = cellSet(segments, size)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read cells of %s: %w", videoID, err)
	}
	return cells, nil
}

func cellSet(segments []int32, size int64) store.CellSet {
	last := slices.Max(segments)
	set := store.CellSet{Bits: make([]byte, last/8+1), Count: len(segments), Bytes: size}
	for _, segment := range segments {
		set.Bits[segment/8] |= 1 << (segment % 8)
	}
	return set
}

// RemoveCells implements store.Plans.
func (p *plans) RemoveCells(ctx context.Context, videoID string, renditions ...string) error {
	_, err := p.db.exec(ctx, `DELETE FROM cells WHERE video = $1 AND rendition = ANY($2::text[])`, text(videoID), texts(renditions))
	if err != nil {
		return fmt.Errorf("remove cells of %s: %w", videoID, err)
	}
	return nil
}

// DeletePlan implements store.Plans.
func (p *plans) DeletePlan(ctx context.Context, videoID string) error {
	_, err := p.db.exec(ctx, `WITH gone AS (DELETE FROM cells WHERE video = $1) DELETE FROM plans WHERE video = $1`, text(videoID))
	if err != nil {
		return fmt.Errorf("delete plan of %s: %w", videoID, err)
	}
	return nil
}
