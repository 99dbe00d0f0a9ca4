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
	return recount(c, was, is)
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
	if err := c.put(bucketJobs, []byte(is.ID), data); err != nil || was != nil {
		return err
	}
	return c.put(bucketByTask, taskKey(is), []byte(is.ID))
}

func taskKey(j *store.Job) []byte { return append(keyName(nil, j.TaskID), j.ID...) }

// place is where a job is indexed: one bucket, by its state.
func place(j *store.Job) (bucket string, key []byte) {
	switch j.State {
	case store.JobLater:
		return bucketLater, append(keyTime(nil, j.RunAt), j.ID...)
	case store.JobReady:
		return bucketReady, keyOrder(j)
	case store.JobLeased:
		return bucketLeased, append(keyTime(nil, j.Lease.Expires), j.ID...)
	default:
		return bucketDone, []byte(j.ID)
	}
}

func recount(c *change, was, is *store.Job) error {
	if was != nil && is != nil && was.State == is.State {
		return nil
	}
	if was != nil {
		if err := addCount(c, was.State, -1); err != nil {
			return err
		}
	}
	if is != nil {
		return addCount(c, is.State, 1)
	}
	return nil
}

func addCount(c *change, s store.JobState, delta int) error {
	n := count(c.tx.Bucket([]byte(bucketCount)), s) + delta
	return c.put(bucketCount, []byte(s), binary.BigEndian.AppendUint64(nil, uint64(n)))
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
		job.Created = job.Created.UTC()
		job.Attempt, job.Failure, job.Lease = 0, nil, store.Lease{}
		wait(&job, job.RunAt, now)
		if err := save(c, nil, &job); err != nil {
			return err
		}
	}
	return nil
}

// wait puts a job back in line, not to be leased before at.
func wait(job *store.Job, at, now time.Time) {
	job.RunAt = at.UTC()
	job.State = store.JobReady
	if at.After(now) {
		job.State = store.JobLater
	}
	job.Progress = 0
	job.Lease = store.Lease{Token: job.Lease.Token}
}

func waiting(j *store.Job) bool { return j.State == store.JobLater || j.State == store.JobReady }

// asOf is the job as the clock has it: a later job that is due is ready, even
// if no Lease has moved it yet.
func asOf(job store.Job, now time.Time) store.Job {
	if job.State == store.JobLater && !job.RunAt.After(now) {
		job.State = store.JobReady
	}
	return job
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
		job.State = store.JobReady
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
		last := keyTime(nil, now)
		for key, id := range ascend(b, nil) {
			if bytes.Compare(key[:timeSize], last) > 0 || !yield(string(id)) {
				return
			}
		}
	}
}

// firstReady reads the first job in order if its rank is at most maxRank; nil
// if it is not, or there is none.
func firstReady(c *change, maxRank store.Rank) (*store.Job, error) {
	key, id := c.tx.Bucket([]byte(bucketReady)).Cursor().First()
	if key == nil || orderRank(key) > maxRank {
		return nil, nil
	}
	return load(c.tx, string(id))
}

// deadLeases reads the leased jobs that Reap takes back, in order of expiry.
// It looks at every lease, of which there are no more than workers.
func deadLeases(c *change, self store.Owner, now time.Time) ([]*store.Job, error) {
	var dead []*store.Job
	for _, id := range ascend(c.tx.Bucket([]byte(bucketLeased)), nil) {
		job, err := load(c.tx, string(id))
		if err != nil {
			return nil, err
		}
		expired := !job.Lease.Expires.After(now)
		owner := job.Lease.Owner
		ownOld := self.Node != "" && owner.Node == self.Node && owner.Boot != self.Boot
		if expired || ownOld {
			dead = append(dead, job)
		}
	}
	return dead, nil
}

// ofTask reads the jobs of a task, as stored, in order of id.
func ofTask(tx *bbolt.Tx, taskID string) ([]store.Job, error) {
	var jobs []store.Job
	for _, id := range ascend(tx.Bucket([]byte(bucketByTask)), keyName(nil, taskID)) {
		job, err := load(tx, string(id))
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, *job)
	}
	return jobs, nil
}

func sortJobs(jobs []store.Job) {
	slices.SortFunc(jobs, func(a, b store.Job) int {
		return bytes.Compare(keyOrder(&a), keyOrder(&b))
	})
}

// fraction clamps progress to what a job may hold; a worker that divides by
// zero reports none.
func fraction(p float64) float64 {
	if p >= 0 {
		return min(p, 1)
	}
	return 0 // negative, or not a number
}
