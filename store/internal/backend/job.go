package backend

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"streamgate/store"
)

// Renew makes a job one that was just pushed.
func Renew(job *store.Job, now time.Time) {
	job.Created = job.Created.UTC()
	job.Leases, job.Failures, job.Kills, job.Deaths, job.LoneDeaths, job.Suspect = 0, 0, 0, 0, 0, false
	job.Failure, job.Attempts, job.Lease = nil, nil, store.Lease{Token: job.Lease.Token}
	var at time.Time
	if job.Delay > 0 {
		at = now.Add(job.Delay)
	}
	job.Delay = 0
	Wait(job, at, now)
}

// Wait puts a job back in line, not to be leased before at.
func Wait(job *store.Job, at, now time.Time) {
	job.RunAt = at.UTC()
	job.Progress = 0
	job.Lease = store.Lease{Token: job.Lease.Token}
	switch {
	case job.Backlog:
		job.State = store.JobBacklog
	case at.After(now):
		job.State = store.JobLater
	default:
		job.State = Due(job)
	}
}

// Due is the state of a waiting job whose time has come.
func Due(job *store.Job) store.JobState {
	if job.Suspect {
		return store.JobSuspect
	}
	return store.JobReady
}

// Waiting tells whether a job waits for a worker, now or later.
func Waiting(j *store.Job) bool {
	switch j.State {
	case store.JobBacklog, store.JobLater, store.JobReady, store.JobSuspect:
		return true
	}
	return false
}

// AsOf is the job as the clock has it: a later job that is due is ready, even
// if no Lease has moved it yet.
func AsOf(job store.Job, now time.Time) store.Job {
	if job.State == store.JobLater && !job.RunAt.After(now) {
		job.State = Due(&job)
	}
	return job
}

// End moves a leased job to where its outcome puts it.
func End(job *store.Job, out store.Outcome, now time.Time) {
	job.Failure = out.Failure
	if out.Failure != nil {
		if out.Killed {
			job.Kills++
		} else {
			job.Failures++
		}
		note(job, now, *out.Failure, out.Log)
	}
	if !out.Retry {
		job.State = store.JobDone
		job.Lease = store.Lease{Token: job.Lease.Token}
	}
	if out.Failure != nil || !out.Retry {
		// Its node lived to tell: it is no suspect.
		job.Deaths, job.LoneDeaths, job.Suspect = 0, 0, false
	}
	if out.Retry {
		Wait(job, now.Add(out.After), now)
	}
}

// Died takes a job from a worker that has gone without a word.
func Died(job *store.Job, alone bool, req store.ReapRequest, now time.Time) {
	note(job, now, store.Failure{Code: store.CodeNodeDied, Message: "The node that ran this part died or was cut off."}, "")
	switch {
	case job.Progress > 0:
		job.Deaths, job.LoneDeaths, job.Suspect = 0, 0, false
	case alone:
		job.Deaths++
		job.LoneDeaths++
	default:
		job.Deaths++
	}
	job.Suspect = req.SuspectAfter > 0 && job.Deaths >= req.SuspectAfter
	var at time.Time
	if pause := min(time.Duration(job.LoneDeaths)*req.Delay, req.MaxDelay); pause > 0 {
		at = now.Add(pause)
	}
	Wait(job, at, now)
}

// note remembers how an attempt ended that did not end well.
func note(job *store.Job, now time.Time, failure store.Failure, log string) {
	job.Attempts = append(job.Attempts, store.Attempt{
		Owner: job.Lease.Owner, Started: job.Lease.Started, Ended: now.UTC(), Failure: failure, Log: log,
	})
	if over := len(job.Attempts) - store.MaxAttempts; over > 0 {
		job.Attempts = slices.Delete(job.Attempts, 0, over)
	}
}

// Fraction clamps progress to what a job may hold; a worker that divides by
// zero reports none.
func Fraction(p float64) float64 {
	if p >= 0 {
		return min(p, 1)
	}
	return 0 // negative, or not a number
}

// Boot is an owner without its worker.
func Boot(o store.Owner) store.Owner { return store.Owner{Node: o.Node, Boot: o.Boot} }

// Holders are the owners without their workers, as Queue.Holders returns them.
func Holders(boots iter.Seq[store.Owner]) []store.Owner {
	return slices.SortedFunc(boots, func(a, b store.Owner) int {
		return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Boot, b.Boot))
	})
}

// Dumped is a job as store.Database.Dump yields it: one that is leased waits, as if
// its lease had never been.
func Dumped(job store.Job) store.Job {
	if job.State == store.JobLeased {
		Wait(&job, time.Time{}, time.Time{})
	}
	return job
}
