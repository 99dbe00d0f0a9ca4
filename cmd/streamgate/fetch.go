package main

import (
	"context"
	"strings"

	"streamgate/app/rpc"
	"streamgate/node"
)

// isURL tells an address, which the node fetches, from a file.
func isURL(name string) bool {
	lower := strings.ToLower(name)
	return strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "http://")
}

// pushURL is push for what the node fetches itself. Interrupted, the fetch is
// cancelled and its video goes.
func (p *pusher) pushURL(ctx context.Context, address, title string) (*rpc.Video, error) {
	up, err := p.uploads.FetchUpload(ctx, &rpc.FetchUploadRequest{
		SourceUrl: address, Title: title, Public: p.asked.GetPublic(), Profile: p.asked.GetProfile(), Priority: p.asked.Priority,
	})
	if err != nil {
		return nil, err
	}
	if p.rule != nil {
		_, err = p.access.SetVideoRule(ctx, &rpc.SetVideoRuleRequest{VideoId: up.GetVideoId(), Rule: p.rule})
	}
	if err == nil {
		p.show.begin("Fetching", 0)
		err = p.fetched(ctx, up)
	}
	if err != nil {
		p.cancelFetch(ctx, up)
		return nil, err
	}
	return p.follow(ctx, up.GetVideoId())
}

// fetched waits until the node has the whole file.
func (p *pusher) fetched(ctx context.Context, up *rpc.Upload) error {
	retry, sized := newBackoff(), false
	for {
		now, err := p.uploads.GetUpload(ctx, &rpc.GetUploadRequest{Id: up.GetId()})
		switch {
		case err != nil && !passing(err):
			return err
		case err != nil: // the node restarts
			if err := retry.wait(ctx, err); err != nil {
				return err
			}
			continue
		case now.GetState() == "complete":
			p.show.note("Fetched %s.", node.Bytes(now.GetSizeBytes()).Short())
			return nil
		case now.GetState() != "receiving":
			return &fetchError{now.GetError()}
		}
		retry = newBackoff()
		if !sized && now.GetSizeBytes() > 0 {
			sized = true
			p.show.begin("Fetching", int64(now.GetSizeBytes()))
		}
		p.show.moved(int64(now.GetOffset()))
		if err := pause(ctx, followEvery); err != nil {
			return err
		}
	}
}

// cancelFetch gives up a fetch that is not over.
func (p *pusher) cancelFetch(ctx context.Context, up *rpc.Upload) {
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
	defer cancel()
	now, err := p.uploads.GetUpload(clean, &rpc.GetUploadRequest{Id: up.GetId()})
	if err == nil && now.GetState() == "receiving" {
		_, err = p.uploads.DeleteUpload(clean, &rpc.DeleteUploadRequest{Id: up.GetId()})
	}
	if err != nil {
		p.show.note("The fetch %s may go on: %s.", up.GetId(), p.explain(err))
	}
}

// fetchError is the node's reason why a fetch has failed.
type fetchError struct{ reason *rpc.Failure }

// Error implements error.
func (e *fetchError) Error() string {
	if e.reason == nil {
		return "the fetch was given up"
	}
	return e.reason.GetMessage() + " (" + e.reason.GetCode() + ")"
}
