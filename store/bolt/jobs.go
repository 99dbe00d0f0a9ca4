package bolt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"streamgate/store"
	"streamgate/store/internal/backend"
)

// load reads a job; nil if there is none.
func load(tx *bbolt.Tx, id string) (*store.Job, error) {
	data := tx.Bucket([]byte(bucketJobs)).Get([]byte(id))
	if data == nil {
		return nil, nil
	}
	job := new(store.Job)
	if err := json.Unmarshal(data, job); err != nil {
		return nil, fmt.Errorf("read job %s: %w", id, err)
	}
	return job, nil
}

// held reads a job that must be leased under the token.
func held(c *change, id string, token uint64) (*store.Job, error) {
	job, err := load(c.tx, id)
	if err != nil {
		return nil, err
	}
	if job == nil || job.State != store.JobLeased || job.Lease.Token != token {
		return nil, fmt.Errorf("job %s: %w", id, store.ErrLeaseLost)
	}
	return job, nil
}

// save is the only way a job changes: it moves the job from where was stood
// to where is stands, in the record, the indexes and the counts. was is nil
// for a new job, is for one that goes.
func save(c *change, was, is *store.Job) error {
	if was != nil {
		bucket, key := place(was)
		if err := c.delete(bucket, key); err != nil {
			return err
		}
	}
	if is != nil {
		bucket, key := place(is)
		if err := c.put(bucket, key, []byte(is.ID)); err != nil {
			return err
		}
	}
	if err := saveRecord(c, was, is); err != nil {
		return err
	}
	recount(c, was, is)
	return nil
}

func saveRecord(c *change, was, is *store.Job) error {
	if is == nil {
		return errors.Join(
			c.delete(bucketJobs, []byte(was.ID)),
			c.delete(bucketByTask, taskKey(was)))
	}
	data, err := json.Marshal(is)
	if err != nil {
		return fmt.Errorf("write job %s: %w", is.ID, err)
	}
	if err := c.put(bucketJobs, []byte(is.ID), data); err != nil {
		return err
	}
	if was != nil && (was.State == store.JobDone) == (is.State == store.JobDone) {
		return nil
	}
	return c.put(bucketByTask, taskKey(is), openness(is))
}

// openness is what the index of a task's jobs says of one: enough to count
// those that are not done without reading them.
func openness(j *store.Job) []byte {
	if j.State == store.JobDone {
		return []byte{valueDone}
	}
	return []byte{valueOpen}
}

const (
	valueOpen = 'o'
	valueDone = 'd'
)

func taskKey(j *store.Job) []byte { return append(keyName(nil, j.TaskID), j.ID...) }

// keyedID is the id at the end of a key of taskKey.
func keyedID(key []byte, taskID string) string { return string(key[len(keyName(nil, taskID)):]) }

// place is where a job is indexed: one bucket, by its state.
func place(j *store.Job) (bucket string, key []byte) {
	switch j.State {
	case store.JobBacklog:
		return bucketBacklog, backend.KeyOrder(j)
	case store.JobSuspect:
		return bucketSuspect, backend.KeyOrder(j)
	case store.JobPaused:
		return bucketPaused, []byte(j.ID)
	case store.JobLater:
		return bucketLater, append(backend.KeyTime(nil, j.RunAt), j.ID...)
	case store.JobReady:
		return bucketReady, backend.KeyOrder(j)
	case store.JobLeased:
		return bucketLeased, append(backend.KeyTime(nil, j.Lease.Expires), j.ID...)
	default:
		return bucketDone, []byte(j.ID)
	}
}

// recount notes how a save changes the numbers of jobs; writeCounts writes
// them, once a commit.
func recount(c *change, was, is *store.Job) {
	if c.commit.counts == nil {
		c.commit.counts = make(map[store.JobState]int)
	}
	if was != nil {
		c.commit.counts[was.State]--
	}
	if is != nil {
		c.commit.counts[is.State]++
	}
}

func writeCounts(c *change) error {
	counts := c.tx.Bucket([]byte(bucketCount))
	for state, delta := range c.commit.counts {
		if delta == 0 {
			continue
		}
		n := binary.BigEndian.AppendUint64(nil, uint64(count(counts, state)+delta))
		if err := c.put(bucketCount, []byte(state), n); err != nil {
			return err
		}
	}
	return nil
}

func count(counts *bbolt.Bucket, s store.JobState) int {
	data := counts.Get([]byte(s))
	if len(data) != 8 {
		return 0
	}
	return int(binary.BigEndian.Uint64(data))
}

// fresh returns the jobs whose id is free, each id once, and one id that is
// not; it writes nothing.
func fresh(c *change, jobs []store.Job) (fresh []store.Job, taken string, err error) {
	seen := make(map[string]bool, len(jobs))
	for _, job := range jobs {
		switch {
		case job.ID == "":
			return nil, "", errors.New("push a job: it has no id")
		case seen[job.ID] || c.get(bucketJobs, []byte(job.ID)) != nil:
			taken = job.ID
		default:
			seen[job.ID] = true
			fresh = append(fresh, job)
		}
	}
	return fresh, taken, nil
}

// add stores new jobs as waiting.
func add(c *change, jobs []store.Job, now time.Time) error {
	for _, job := range jobs {
		job.Lease = store.Lease{}
		backend.Renew(&job, now)
		if err := save(c, nil, &job); err != nil {
			return err
		}
	}
	return nil
}

// promote makes the jobs ready that have come due. All of them, or the first
// in order might be missed.
func promote(c *change, now time.Time) error {
	for _, id := range slices.Collect(dueIDs(c.tx, now)) {
		job, err := load(c.tx, id)
		if err != nil {
			return err
		}
		was := *job
		job.State = backend.Due(job)
		if err := save(c, &was, job); err != nil {
			return err
		}
	}
	return nil
}

// dueIDs yields the ids in the later index whose time has come.
func dueIDs(tx *bbolt.Tx, now time.Time) iter.Seq[string] {
	return idsUntil(tx.Bucket([]byte(bucketLater)), now)
}

// idsUntil yields the ids of a by-time index up to now, included.
func idsUntil(b *bbolt.Bucket, now time.Time) iter.Seq[string] {
	return func(yield func(string) bool) {
		last := backend.KeyTime(nil, now)
		for key, id := range ascend(b, nil) {
			if bytes.Compare(key[:backend.TimeSize], last) > 0 || !yield(string(id)) {
				return
			}
		}
	}
}

// first reads the first jobs in order of an index, at most n, whose rank is at
// most maxRank and that are wanted.
func first(c *change, bucket string, maxRank store.Rank, n int, wanted func(*store.Job) bool) (jobs []*store.Job, err error) {
	for key, id := range ascend(c.tx.Bucket([]byte(bucket)), nil) {
		if len(jobs) == n || orderRank(key) > maxRank {
			break
		}
		job, err := load(c.tx, string(id))
		if err != nil {
			return nil, err
		}
		if wanted(job) {
			jobs = append(jobs, job)
		}
	}
	return jobs, nil
}

// underWay counts the tasks that have been let in and have jobs left that are not
// paused.
func underWay(tx *bbolt.Tx) (int, error) {
	in := make(map[string]bool)
	note := func(bucket string, is bool) error {
		for _, id := range ascend(tx.Bucket([]byte(bucket)), nil) {
			job, err := load(tx, string(id))
			if err != nil {
				return err
			}
			in[job.TaskID] = is
		}
		return nil
	}
	for _, bucket := range []string{bucketLater, bucketReady, bucketSuspect, bucketLeased} {
		if err := note(bucket, true); err != nil {
			return 0, err
		}
	}
	if err := note(bucketBacklog, false); err != nil {
		return 0, err
	}
	n := 0
	for _, is := range in {
		if is {
			n++
		}
	}
	return n, nil
}

// oldest is the earliest Created in an index by order; zero if it is empty.
// Within a rank and priority the first is the oldest, and there are few of
// both.
func oldest(b *bbolt.Bucket) (t time.Time) {
	c := b.Cursor()
	for key, _ := c.First(); key != nil; {
		if at := orderCreated(key); t.IsZero() || at.Before(t) {
			t = at
		}
		next := successor(key[:orderGroup])
		if next == nil {
			break
		}
		key, _ = c.Seek(next)
	}
	return t
}

// deadLeases reads the leased jobs that Reap takes back, in order of expiry,
// and how many leases each owner's boot has. It looks at every lease, of which
// there are no more than workers.
func deadLeases(c *change, req store.ReapRequest, now time.Time) (dead []*store.Job, held map[store.Owner]int, err error) {
	held = make(map[store.Owner]int)
	for _, id := range ascend(c.tx.Bucket([]byte(bucketLeased)), nil) {
		job, err := load(c.tx, string(id))
		if err != nil {
			return nil, nil, err
		}
		owner := job.Lease.Owner
		held[backend.Boot(owner)]++
		if !job.Lease.Expires.After(now) || isDead(owner, req.Dead) {
			dead = append(dead, job)
		}
	}
	return dead, held, nil
}

func isDead(o store.Owner, dead []store.Dead) bool {
	return slices.ContainsFunc(dead, func(d store.Dead) bool {
		return d.Holds(o)
	})
}

// ofTask reads the jobs of a task, as stored, in order of id.
func ofTask(tx *bbolt.Tx, taskID string) ([]store.Job, error) {
	var jobs []store.Job
	for key := range ascend(tx.Bucket([]byte(bucketByTask)), keyName(nil, taskID)) {
		job, err := load(tx, keyedID(key, taskID))
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, *job)
	}
	return jobs, nil
}

func sortJobs(jobs []store.Job) {
	slices.SortFunc(jobs, func(a, b store.Job) int {
		return bytes.Compare(backend.KeyOrder(&a), backend.KeyOrder(&b))
	})
}
