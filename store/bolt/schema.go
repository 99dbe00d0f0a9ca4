package bolt

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// The buckets; doc.go tells what is in them.
const (
	bucketMeta     = "meta"
	bucketJobs     = "jobs"
	bucketBacklog  = "jobs.backlog"
	bucketLater    = "jobs.later"
	bucketReady    = "jobs.ready"
	bucketSuspect  = "jobs.suspect"
	bucketLeased   = "jobs.leased"
	bucketPaused   = "jobs.paused"
	bucketDone     = "jobs.done"
	bucketByTask   = "jobs.task"
	bucketCount    = "jobs.count"
	bucketVideos   = "videos"
	bucketTasks    = "tasks"
	bucketUploads  = "uploads"
	bucketRemovals = "removals"
	bucketKeys     = "keys"
	bucketRules    = "rules"
	bucketSessions = "sessions"
	bucketCodes    = "codes"
	bucketSignOuts = "signouts"
	bucketCursors  = "cursors"
	bucketWebhooks = "webhooks"
	bucketDelivery = "deliveries"
	bucketPeople   = "people"
	bucketSetup    = "setuplinks"
	bucketConsole  = "consolesessions"
	bucketPasskeys = "passkeys"
	bucketWallets  = "wallets"
	bucketAudit    = "audit"
	bucketHeads    = "auditheads"
	bucketAlerts   = "alerts"
	bucketDecide   = "decisions"
	bucketPlans    = "plans"
	bucketPlansDue = "plans.due"
	bucketCells    = "cells"
	bucketSecrets  = "secrets"

	// indexSuffix makes the name of a table's index bucket.
	indexSuffix = ".by"
)

func buckets() []string {
	names := []string{
		bucketMeta, bucketPlans, bucketPlansDue, bucketCells, bucketSecrets,
		bucketJobs, bucketBacklog, bucketLater, bucketReady, bucketSuspect, bucketLeased, bucketPaused, bucketDone, bucketByTask, bucketCount,
	}
	for _, table := range []string{
		bucketVideos, bucketTasks, bucketUploads, bucketKeys, bucketRemovals,
		bucketRules, bucketSessions, bucketCodes, bucketSignOuts, bucketCursors, bucketDecide,
		bucketWebhooks, bucketDelivery,
		bucketPeople, bucketSetup, bucketConsole, bucketPasskeys, bucketWallets, bucketAudit, bucketHeads, bucketAlerts,
	} {
		names = append(names, table, table+indexSuffix)
	}
	return names
}

// prepare makes the buckets that the file lacks: all of them in a new one, those
// of tables that came later in an older one. It refuses a file of another
// layout. A file that has all of them is only read, which keeps opening free of
// a sync.
func prepare(db *bbolt.DB) error {
	var found string
	whole := true
	err := db.View(func(tx *bbolt.Tx) error {
		if meta := tx.Bucket([]byte(bucketMeta)); meta != nil {
			found = string(meta.Get([]byte("schema")))
		}
		for _, name := range buckets() {
			whole = whole && tx.Bucket([]byte(name)) != nil
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case found != "" && found != schema && found != schemaBefore:
		return fmt.Errorf("%w: the file has version %q, this program knows %q", ErrSchema, found, schema)
	case found == schema && whole:
		return nil
	}
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range buckets() {
			if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
				return err
			}
		}
		if found == schemaBefore {
			if err := markDone(tx); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(bucketMeta)).Put([]byte("schema"), []byte(schema))
	})
}

// markDone makes the index of a task's jobs say which are done: files of the
// layout before did not always.
func markDone(tx *bbolt.Tx) error {
	return tx.Bucket([]byte(bucketJobs)).ForEach(func(id, _ []byte) error {
		job, err := load(tx, string(id))
		if err != nil {
			return err
		}
		return tx.Bucket([]byte(bucketByTask)).Put(taskKey(job), openness(job))
	})
}
