package postgres

import (
	"slices"
	"time"

	"streamgate/store"
)

// What becomes of a job, apart from where it is kept.

// renewed makes a job one that was just pushed.
func renewed(job *store.Job, now time.Time) {
	job.Leases, job.Failures, job.Kills, job.Deaths, job.LoneDeaths, job.Suspect = 0, 0, 0, 0, 0, false
	job.Failure, job.Attempts = nil, nil
	wait(job, time.Time{}, now)
}

// wait puts a job back in line, not to be leased before at.
func wait(job *store.Job, at, now time.Time) {
	job.RunAt = at.UTC()
	job.Progress = 0
	job.Lease = store.Lease{Token: job.Lease.Token}
	switch {
	case job.Backlog:
		job.State = store.JobBacklog
	case at.After(now):
		job.State = store.JobLater
	default:
		job.State = due(job)
	}
}

// due is the state of a waiting job whose time has come.
func due(job *store.Job) store.JobState {
	if job.Suspect {
		return store.JobSuspect
	}
	return store.JobReady
}

// asOf is the job as the clock has it: a later job that is due is ready, even
// if no Lease has moved it yet.
func asOf(job store.Job, now time.Time) store.Job {
	if job.State == store.JobLater && !job.RunAt.After(now) {
		job.State = due(&job)
	}
	return job
}

// end moves a leased job to where its outcome puts it.
func end(job *store.Job, out store.Outcome, now time.Time) {
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
		wait(job, now.Add(time.Duration(nanos(out.After))), now)
	}
}

// died takes a job from a worker that has gone without a word. alone says that
// its node had no other lease.
func died(job *store.Job, alone bool, req store.ReapRequest, now time.Time) {
	note(job, now, store.Failure{Code: store.CodeNodeDied, Message: "The node that ran this part died or was cut off."}, "")
	if job.Progress > 0 {
		job.Deaths, job.LoneDeaths = 0, 0
	} else {
		job.Deaths++
		if alone {
			job.LoneDeaths++
		}
	}
	job.Suspect = req.SuspectAfter > 0 && job.Deaths >= req.SuspectAfter
	var at time.Time
	if delay := min(time.Duration(job.LoneDeaths)*req.Delay, req.MaxDelay); delay > 0 {
		at = now.Add(delay)
	}
	wait(job, at, now)
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

// fraction clamps progress to what a job may hold; a worker that divides by
// zero reports none.
func fraction(p float64) float64 {
	if p >= 0 {
		return min(p, 1)
	}
	return 0 // negative, or not a number
}
