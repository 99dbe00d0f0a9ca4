package bolt

import (
	"bytes"
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"streamgate/store"
)

// CheckIndexes tells what is wrong with the queue's indexes: each job must be
// in exactly the place its record says, and the counts must agree.
func (db *DB) CheckIndexes() error {
	return db.view(context.Background(), func(tx *bbolt.Tx) error {
		counts := make(map[store.JobState]int)
		err := tx.Bucket([]byte(bucketJobs)).ForEach(func(id, _ []byte) error {
			job, err := load(tx, string(id))
			if err != nil {
				return err
			}
			counts[job.State]++
			bucket, key := place(job)
			if got := tx.Bucket([]byte(bucket)).Get(key); !bytes.Equal(got, id) {
				return fmt.Errorf("job %s is %s, but %s has %q in its place", id, job.State, bucket, got)
			}
			if got := tx.Bucket([]byte(bucketByTask)).Get(taskKey(job)); !bytes.Equal(got, openness(job)) {
				return fmt.Errorf("job %s is not among its task's", id)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return checkCounts(tx, counts)
	})
}

// checkCounts finds entries beyond those of the jobs.
func checkCounts(tx *bbolt.Tx, counts map[store.JobState]int) error {
	total := 0
	for bucket, state := range map[string]store.JobState{
		bucketBacklog: store.JobBacklog, bucketLater: store.JobLater, bucketReady: store.JobReady, bucketSuspect: store.JobSuspect,
		bucketLeased: store.JobLeased, bucketPaused: store.JobPaused, bucketDone: store.JobDone,
	} {
		total += counts[state]
		entries := tx.Bucket([]byte(bucket)).Stats().KeyN
		counted := count(tx.Bucket([]byte(bucketCount)), state)
		if entries != counts[state] || counted != counts[state] {
			return fmt.Errorf("%d jobs are %s, %s has %d entries, the count is %d", counts[state], state, bucket, entries, counted)
		}
	}
	if entries := tx.Bucket([]byte(bucketByTask)).Stats().KeyN; entries != total {
		return fmt.Errorf("%d jobs, %d entries by task", total, entries)
	}
	return nil
}
