package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// errVideoFailed: the video or its task came to a bad end.
var errVideoFailed = errors.New("the video failed")

// videoError is errVideoFailed with the node's reason.
type videoError struct{ reason *rpc.Failure }

func (e *videoError) Error() string {
	return fmt.Sprintf("%s: %s (%s)", errVideoFailed, e.reason.GetMessage(), e.reason.GetCode())
}

// Is implements the interface of errors.Is.
func (e *videoError) Is(target error) bool { return target == errVideoFailed }

// followEvery is how often the node is asked how far it is.
const followEvery = 250 * time.Millisecond

// follow waits until the video is what push waits for, and returns where it
// plays. On a terminal the addresses are shown as soon as they work.
func (p *pusher) follow(ctx context.Context, id string) (*rpc.Video, error) {
	retry := newBackoff()
	var out *rpc.Video // with the addresses at which it plays
	for {
		video, task, err := p.look(ctx, id)
		if err == nil && out == nil && playable(video) {
			for _, warning := range video.GetWarnings() {
				p.show.note("Note: %s", warning.GetMessage())
			}
			out, err = p.addresses(ctx, video)
			if err == nil && p.until == "ready" && video.GetState() != "ready" {
				p.show.note("Plays already: %s", out.GetWatchUrl())
			}
		}
		switch {
		case err == nil:
			retry = newBackoff()
		case !passing(err):
			return nil, err
		default: // the node restarts
			if err := retry.wait(ctx, err); err != nil {
				return nil, err
			}
			continue
		}
		if err := badVideo(video); err != nil {
			return nil, err
		}
		if out != nil && (p.until == "playable" || video.GetState() == "ready") {
			video.WatchUrl, video.HlsUrl, video.DashUrl = out.GetWatchUrl(), out.GetHlsUrl(), out.GetDashUrl()
			return video, nil
		}
		p.show.transcoding(video, task)
		if err := pause(ctx, followEvery); err != nil {
			return nil, err
		}
	}
}

// look reads the video and, once there is one, its task.
func (p *pusher) look(ctx context.Context, id string) (*rpc.Video, *rpc.Task, error) {
	video, err := p.library.GetVideo(ctx, &rpc.GetVideoRequest{Id: id})
	if err != nil || video.GetTaskId() == "" {
		return video, nil, err
	}
	task, err := p.transcoder.GetTask(ctx, &rpc.GetTaskRequest{Id: video.GetTaskId()})
	return video, task, err
}

// addresses fills in those of a video that is not public: a new session's; to
// watch one that has a rule, its gate.
func (p *pusher) addresses(ctx context.Context, v *rpc.Video) (*rpc.Video, error) {
	if v.GetPublic() {
		return v, nil
	}
	session, err := p.access.CreateSession(ctx, &rpc.CreateSessionRequest{VideoId: v.GetId()})
	if err != nil {
		return nil, err
	}
	v.HlsUrl, v.DashUrl = session.GetHlsUrl(), session.GetDashUrl()
	if !v.GetGated() {
		v.WatchUrl = session.GetWatchUrl()
	}
	return v, nil
}

// badVideo tells whether there is nothing left to wait for. The video alone
// decides, so that push says what everybody else sees; it tells of its task's
// end as soon as the task does.
func badVideo(v *rpc.Video) error {
	switch {
	case v.GetState() == "ready":
		return nil
	case v.GetError().GetCode() != "":
		return &videoError{v.GetError()}
	case v.GetState() == "failed":
		return errVideoFailed
	}
	return nil
}

func playable(v *rpc.Video) bool { return v.GetState() == "playable" || v.GetState() == "ready" }

// passing tells the errors of a node that is away for a moment.
func passing(err error) bool {
	return unreachable(err) || connect.CodeOf(err) == connect.CodeUnavailable
}
