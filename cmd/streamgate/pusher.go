package main

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/rpc"
	"streamgate/node"
)

// pusher brings videos into the node, one at a time.
type pusher struct {
	*client
	show  *progress
	asked *rpc.CreateVideoRequest // what all videos have in common
	rule  *structpb.Struct        // who may watch; nil: no rule
	until string                  // playable or ready
}

// push is the whole way of one source. The resume file lasts until it has
// ended, well or badly, but not when it was only interrupted.
func (p *pusher) push(ctx context.Context, src *source) (*rpc.Video, error) {
	if src.pipe != nil {
		return p.pushPipe(ctx, src)
	}
	video, err := p.begin(ctx, src)
	if err != nil {
		return nil, err
	}
	if video.GetState() == "uploading" {
		err := p.upload(ctx, src, video)
		if errors.Is(err, errUploadGone) { // expired while we were away
			src.resume.forget()
			if video, err = p.create(ctx, src); err == nil {
				err = p.upload(ctx, src, video)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	out, err := p.follow(ctx, video.GetId())
	if err == nil || errors.Is(err, errVideoFailed) {
		src.resume.forget()
	}
	return out, err
}

// pushPipe is push for what can be read only once: a video that does not get
// its whole source is deleted.
func (p *pusher) pushPipe(ctx context.Context, src *source) (*rpc.Video, error) {
	first, err := src.pipe.next(ctx)
	if err != nil {
		return nil, err
	}
	video, err := p.create(ctx, src)
	if err != nil {
		return nil, err
	}
	p.show.begin("Uploading", 0)
	sent, err := sendPipe(ctx, p.http, video.GetId(), src.pipe, first, p.show.moved)
	if err != nil {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), healthTimeout)
		defer cancel()
		_, derr := p.library.DeleteVideo(clean, &rpc.DeleteVideoRequest{Id: video.GetId()})
		if derr != nil {
			p.show.note("Video %s got no whole source and stays: %s.", video.GetId(), p.explain(derr))
		}
		return nil, err
	}
	p.show.note("Uploaded %s.", node.Bytes(sent).Short())
	return p.follow(ctx, video.GetId())
}

// begin takes up the video of an interrupted push of the same file, or makes
// a new one.
func (p *pusher) begin(ctx context.Context, src *source) (*rpc.Video, error) {
	if id := src.resume.videoID(); id != "" {
		video, err := p.library.GetVideo(ctx, &rpc.GetVideoRequest{Id: id})
		if err == nil && video.GetState() != "failed" {
			p.show.note("Continuing video %s.", id)
			if src.named && video.GetTitle() != src.title {
				if video, err = p.library.UpdateVideo(ctx, &rpc.UpdateVideoRequest{Id: id, Title: &src.title}); err != nil {
					return nil, err
				}
			}
			return video, p.admit(ctx, video)
		}
		if err != nil && connect.CodeOf(err) != connect.CodeNotFound {
			return nil, err
		}
	}
	return p.create(ctx, src)
}

func (p *pusher) create(ctx context.Context, src *source) (*rpc.Video, error) {
	video, err := p.library.CreateVideo(ctx, &rpc.CreateVideoRequest{
		Title: src.title, SizeBytes: float64(src.size()),
		Public: p.asked.GetPublic(), Profile: p.asked.GetProfile(), Priority: p.asked.Priority,
	})
	if err != nil {
		return nil, err
	}
	if p.rule != nil {
		if err := p.admit(ctx, video); err != nil { // nothing has been sent yet
			_, derr := p.library.DeleteVideo(context.WithoutCancel(ctx), &rpc.DeleteVideoRequest{Id: video.GetId()})
			return nil, errors.Join(err, derr)
		}
	}
	if src.pipe != nil {
		return video, nil
	}
	if err := src.resume.remember(video.GetId()); err != nil {
		p.show.note("This upload cannot be continued if it is interrupted: %s.", err)
	}
	return video, nil
}

// admit makes a video what this command line says about who may watch: also one
// that was begun with another.
func (p *pusher) admit(ctx context.Context, video *rpc.Video) error {
	if p.rule != nil {
		_, err := p.access.SetVideoRule(ctx, &rpc.SetVideoRuleRequest{VideoId: video.GetId(), Rule: p.rule})
		return err
	}
	if video.GetPublic() == p.asked.GetPublic() {
		return nil
	}
	_, err := p.library.UpdateVideo(ctx, &rpc.UpdateVideoRequest{Id: video.GetId(), Public: &p.asked.Public})
	return err
}

func (p *pusher) upload(ctx context.Context, src *source, video *rpc.Video) error {
	up, err := newUpload(p.http, video.GetUploadUrl(), src.file, src.size())
	if err != nil {
		return err
	}
	p.show.begin("Uploading", src.size())
	up.moved = p.show.moved
	if err := up.run(ctx); err != nil {
		return err
	}
	p.show.note("Uploaded %s.", node.Bytes(src.size()).Short())
	return nil
}

// pause waits, or returns the context's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
