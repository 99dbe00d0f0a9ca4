package upload

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"streamgate/store"
)

// What a holder answers to whoever wants one of its uploads.
const (
	released = "released" // what it had received is in the record
	inUse    = "in use"   // by something that cannot be cut short
)

// releaseSubject is where a start of a node is asked to let go of an upload.
func releaseSubject(boot string) string { return "node.upload.release." + boot }

// answerReleases lets other nodes have uploads that this one holds, until Close.
func (s *Service) answerReleases() error {
	if s.Owner.Boot == "" {
		return nil
	}
	sub, err := s.Bus.Subscribe(releaseSubject(s.Owner.Boot), func(m *nats.Msg) {
		go func() {
			if err := m.Respond([]byte(s.letGo(string(m.Data)))); err != nil {
				s.Log.Warn("another node waits for an answer about an upload", "err", err)
			}
		}()
	})
	if err != nil {
		return err
	}
	context.AfterFunc(s.stopping, func() { _ = sub.Unsubscribe() }) // it fails if the bus has gone before
	return nil
}

// letGo ends what this node does with an upload, as a second request would.
func (s *Service) letGo(id string) string {
	ctx, cancel := context.WithTimeout(s.stopping, s.LockWait)
	defer cancel()
	release, err := s.locks.hold(ctx, id)
	if err != nil {
		return inUse
	}
	release()
	return released
}

// askRelease asks an upload's holder to let go: upload_locked. One that does not
// answer has to find out by itself that it has lost the upload.
func (s *Service) askRelease(ctx context.Context, rec store.Upload) error {
	ctx, cancel := context.WithTimeout(ctx, s.LockWait+time.Second)
	defer cancel()
	answer, err := s.Bus.RequestWithContext(ctx, releaseSubject(rec.Hold.Owner.Boot), []byte(rec.ID))
	switch {
	case err == nil && string(answer.Data) == inUse, errors.Is(ctx.Err(), context.Canceled):
		return uploadLocked()
	case err != nil:
		s.Log.Warn("an upload is taken from a node that does not answer", "node", rec.Hold.Owner.Node, "err", err)
	}
	return nil
}
