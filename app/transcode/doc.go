// Package transcode turns a video's source into its cells: tasks that users
// see, the jobs they consist of, and the workers that run them.
//
// # The walk
//
//	CreateTask      a Task record; admit pushes its plan job when there is room
//	plan job        media.Plan → Catalog; pushes the copy, chunk, audio and stills jobs
//	other jobs      media.Encode → Objects.Put(cell) → Catalog.MarkCells → events.CellsReady
//	settle          moves the task and its video by what the store says
//	Demand          one cell that a player waits for becomes a job ahead of all others
//
// # Usage
//
//	s, err := transcode.New(transcode.Config{…})
//	task, err := s.CreateTask(ctx, &rpc.CreateTaskRequest{VideoId: id})
//	err = s.Run(ctx) // the workers, until ctx is done
//
// # Guarantees
//
// A job's effects are idempotent and in this order: objects, catalog, Finish.
// Running one again is harmless: it makes only the cells that are missing. A
// task never sits in a worker; it is a state machine that settle moves from
// the store alone, so that any node, at any time, may call it. Events only
// make things happen sooner.
//
// # Errors
//
// A media.Refusal is permanent: it fails the task and, before there is a
// plan, the video, whose media is then removed. Anything else is tried again
// (retry.go) and never costs the source. store.ErrLeaseLost stops a worker without a trace.
//
// # Testing
//
// The tests run real ffmpeg on short clips over bbolt and files (harness_test.go).
// crash_test.go makes by hand what a crash between two writes leaves.
package transcode
