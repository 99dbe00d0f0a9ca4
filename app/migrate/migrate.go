// Package migrate moves a deployment from its stores to others, while its nodes run.
//
// # What
//
// A Migration copies objects for as long as it takes, with nothing held up (Prepare).
// Then Move holds the source's records, so that no node changes anything, copies the
// rest of the objects and all records, compares both sides, and leaves the source.
// Which backends they are it does not learn: they are store.Objects and
// store.Database.
//
// # Guarantees
//
// Until Move has marked the source as moved, the source is whole and in use; from
// then on the target is. Whatever ends the process in between, a further run goes on
// where the last one stopped: what was copied of the objects is in a log, by the
// validators of both sides, which counts in the other direction as well.
//
// The last two steps are: the target says that it is complete, the source says that it
// was moved. A target that is complete is not used before the source was left: see
// Settle.
//
// # Testing
//
// The tests move between bbolt with files and PostgreSQL with files, there and back,
// and end runs at each step.
package migrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"streamgate/store"
)

// Side is a deployment's stores.
type Side struct {
	DB      store.Database
	Objects store.Objects
	// Name tells the objects' place from others, in the log of copies; it has no
	// secrets. Two sides of one name share their objects, and none is copied.
	Name string
	// File is the configuration of this side.
	File string
}

// Config is what a Migration needs; all fields but Report are required.
type Config struct {
	From, To   Side
	Deployment string // whose stores they are
	// Dir is where the log of copies is kept.
	Dir string
	// Own are the secrets that belong to the source as a database and not to the
	// deployment; TargetOwn those of the target.
	Own       []string
	TargetOwn map[string][]byte
	// OwnObjects are the keys of objects that belong to a place.
	OwnObjects []string
	// Uploads are the source's.
	Uploads store.Table[store.Upload]
	// Upload makes the record of an unfinished upload that of the target, where its
	// bytes are when it returns. It is called again when there are more of them.
	Upload func(context.Context, store.Upload) (store.Upload, error)
	// PartsMove tells whether the objects of unfinished uploads are copied as they are.
	PartsMove bool
	Log       *slog.Logger
	Report    func(Progress)
}

// Progress is how far a migration is.
type Progress struct {
	Step string `json:"step"` // one of the steps
	// Objects and Bytes are copied; of which there are at least Of and OfBytes.
	Objects int   `json:"objects"`
	Bytes   int64 `json:"bytes"`
	Of      int   `json:"of"`
	OfBytes int64 `json:"of_bytes"`
	// Entries are the records and jobs copied, in the pause.
	Entries int `json:"entries,omitempty"`
	// Pause is how long writes have been refused, seconds.
	Pause float64 `json:"pause_seconds,omitempty"`
}

// The steps of a migration.
const (
	StepObjects = "objects" // are copied; nothing is held up
	StepPause   = "pause"   // writes are refused, the rest is copied
	StepVerify  = "verify"  // both sides are compared
	StepMoved   = "moved"   // the source was left
)

// Migration is one run.
type Migration struct {
	Config
	log    *copies
	at     Progress
	paused time.Time
}

// New makes a migration. Close it.
func New(cfg Config) (*Migration, error) {
	if cfg.Report == nil {
		cfg.Report = func(Progress) {}
	}
	log, err := openCopies(cfg.Dir, cfg.From.Name, cfg.To.Name)
	if err != nil {
		return nil, err
	}
	return &Migration{Config: cfg, log: log}, nil
}

// Close closes the log of copies.
func (m *Migration) Close() error { return m.log.close() }

// ErrTarget means that the target has something else, or is in use.
var ErrTarget = errors.New("the target cannot be moved to")

// CheckTarget tells whether a database may be moved to: it is new, a move of the
// deployment to it has begun, or the deployment was moved away from it.
func CheckTarget(ctx context.Context, db store.Database, deployment string, own map[string][]byte) error {
	s, err := db.Standing(ctx)
	if err != nil {
		return err
	}
	if s.State != store.StandingInUse {
		if s.Deployment == deployment {
			return nil
		}
		return fmt.Errorf("%w: its database is that of another deployment (%s), in state %s", ErrTarget, s.Deployment, s.State)
	}
	for e, err := range db.Dump(ctx) {
		if err != nil {
			return err
		}
		if _, ours := own[e.ID]; e.Table == store.TableSecrets && ours {
			continue
		}
		return fmt.Errorf("%w: its database is in use (it has %s in table %s); name an empty one", ErrTarget, e.ID, e.Table)
	}
	return nil
}

// Prepare marks the target as arriving and copies objects, again and again until
// little is left.
func (m *Migration) Prepare(ctx context.Context) error {
	err := m.To.DB.SetStanding(ctx, m.standing(store.StandingArriving, m.From.File))
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if m.From.Name == m.To.Name {
		return m.prepareUploads(ctx)
	}
	if err := m.lookThere(ctx); err != nil {
		return err
	}
	for range maxRounds {
		begun := time.Now()
		if _, err := m.copyObjects(ctx, StepObjects); err != nil {
			return err
		}
		if err := m.prepareUploads(ctx); err != nil {
			return err
		}
		if time.Since(begun) < shortRound {
			break
		}
	}
	return nil
}

// prepareUploads moves what there is of unfinished uploads, so that the pause has
// little to do. One that ends meanwhile may fail; the pause finds out.
func (m *Migration) prepareUploads(ctx context.Context) error {
	for rec, err := range store.All(ctx, m.Uploads, store.Query{State: string(store.UploadReceiving)}) {
		if err != nil {
			return fmt.Errorf("list uploads: %w", err)
		}
		if _, err := m.Upload(ctx, rec); err != nil && ctx.Err() == nil {
			m.Log.Debug("move the bytes of an upload, before the pause", "upload", rec.ID, "err", err)
		}
	}
	return ctx.Err()
}

const (
	// maxRounds bounds the rounds of a deployment that grows faster than it can be
	// copied, and shortRound is a round that a pause can do.
	maxRounds  = 20
	shortRound = time.Second
	// holdFor is how long writes stay refused if the process ends in the pause.
	holdFor   = 15 * time.Second
	holdAgain = 3 * time.Second
)

func (m *Migration) standing(state, other string) store.Standing {
	return store.Standing{State: state, Deployment: m.Deployment, Other: other, At: time.Now().UTC()}
}

// Move copies what is left while writes are refused, compares both sides, and leaves
// the source. After an error writes go on as before.
func (m *Migration) Move(ctx context.Context) (err error) {
	m.paused = time.Now()
	if err := m.From.DB.Hold(ctx, holdFor); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), holdFor)
			defer cancel()
			err = errors.Join(err, m.From.DB.Release(late))
		}
	}()
	held, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	go m.holdOn(held, lost)
	if err := m.moveHeld(held); err != nil {
		if cause := context.Cause(held); cause != nil && ctx.Err() == nil {
			return cause
		}
		return err
	}
	if err := m.To.DB.SetStanding(held, m.standing(store.StandingComplete, m.From.File)); err != nil {
		return err
	}
	if err := m.From.DB.SetStanding(held, m.standing(store.StandingMoved, m.To.File)); err != nil && !m.left(ctx) {
		return err
	}
	m.report(StepMoved)
	return nil
}

// left tells whether the source was left though the answer to that was lost.
func (m *Migration) left(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), holdFor)
	defer cancel()
	s, err := m.From.DB.Standing(ctx)
	return err == nil && s.State == store.StandingMoved
}

// holdOn holds the source until ctx is done.
func (m *Migration) holdOn(ctx context.Context, lost context.CancelCauseFunc) {
	tick := time.NewTicker(holdAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := m.From.DB.Hold(ctx, holdFor); errors.Is(err, store.ErrHoldLost) {
			lost(err)
			return
		} else if err != nil {
			m.Log.Warn("hold the records", "err", err) // the hold lasts for some tries more
		}
	}
}

func (m *Migration) moveHeld(ctx context.Context) error {
	m.report(StepPause)
	// The state Complete of a run before is none.
	if err := m.To.DB.SetStanding(ctx, m.standing(store.StandingArriving, m.From.File)); err != nil {
		return err
	}
	var sent sum
	// Uploads before objects: what becomes a video's source meanwhile is then seen as
	// an object.
	if err := m.To.DB.Restore(ctx, m.counted(m.entries(ctx), &sent)); err != nil {
		return err
	}
	if m.From.Name != m.To.Name {
		seen, err := m.copyObjects(ctx, StepPause)
		if err != nil {
			return err
		}
		if err := m.dropStale(ctx, seen); err != nil {
			return err
		}
	}
	return m.verify(ctx, sent)
}

// verify compares what was read of the source with what the target has.
func (m *Migration) verify(ctx context.Context, sent sum) error {
	m.report(StepVerify)
	var got sum
	for e, err := range m.To.DB.Dump(ctx) {
		if err != nil {
			return fmt.Errorf("verify: %w", err)
		}
		got.add(e)
	}
	return sent.same(got)
}

// entries are those of the source as the target is to have them.
func (m *Migration) entries(ctx context.Context) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		added := false
		for e, err := range m.From.DB.Dump(ctx) {
			if err == nil && !added && isAfterSecrets(e.Table) {
				added = true
				if !m.addOwn(yield) {
					return
				}
			}
			switch {
			case err != nil:
			case m.isOwn(e):
				continue
			case e.Table == "uploads":
				e, err = m.upload(ctx, e)
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
		if !added {
			m.addOwn(yield)
		}
	}
}

func isAfterSecrets(table string) bool {
	return table == store.TableJobs || table == store.TableQueue
}

func (m *Migration) isOwn(e store.Entry) bool {
	if e.Table != store.TableSecrets {
		return false
	}
	for _, name := range m.Own {
		if e.ID == name {
			return true
		}
	}
	return false
}

func (m *Migration) addOwn(yield func(store.Entry, error) bool) bool {
	for name, value := range m.TargetOwn {
		data, err := json.Marshal(value)
		if !yield(store.Entry{Table: store.TableSecrets, ID: name, Data: data}, err) {
			return false
		}
	}
	return true
}

// upload moves the bytes of an unfinished upload. All others are as they were.
func (m *Migration) upload(ctx context.Context, e store.Entry) (store.Entry, error) {
	var rec store.Upload
	if err := json.Unmarshal(e.Data, &rec); err != nil {
		return e, fmt.Errorf("read upload %s: %w", e.ID, err)
	}
	if rec.State != store.UploadReceiving {
		return e, nil
	}
	now, err := m.Upload(ctx, rec)
	if err != nil {
		return e, fmt.Errorf("move the bytes of upload %s: %w", e.ID, err)
	}
	e.Data, err = json.Marshal(now)
	return e, err
}

func (m *Migration) report(step string) {
	m.at.Step = step
	if !m.paused.IsZero() {
		m.at.Pause = time.Since(m.paused).Seconds()
	}
	m.Report(m.at)
}

// Pause is how long writes have been refused so far.
func (m *Migration) Pause() time.Duration {
	if m.paused.IsZero() {
		return 0
	}
	return time.Since(m.paused)
}

// Settle puts a target in use whose source was left. It is called after Move, and by
// a source that finds itself moved at its start, since Move may have been the last
// that its process did.
func Settle(ctx context.Context, to store.Database, deployment string) error {
	s, err := to.Standing(ctx)
	if err != nil || s.State == store.StandingInUse {
		return err
	}
	if s.State != store.StandingComplete || s.Deployment != deployment {
		return fmt.Errorf("%w: its state is %s, of deployment %s", ErrTarget, s.State, s.Deployment)
	}
	return to.SetStanding(ctx, store.Standing{})
}
