package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/rpc"
	"streamgate/node"
)

// pushed is what push prints with --json.
type pushed struct {
	VideoID  string `json:"video_id"`
	TaskID   string `json:"task_id"`
	WatchURL string `json:"watch_url"`
	HLSURL   string `json:"hls_url"`
	DASHURL  string `json:"dash_url"`
}

// pusher brings one file into the node.
type pusher struct {
	*client
	file   *os.File
	info   os.FileInfo
	resume resumeFile
	show   *progress
	asked  *rpc.CreateVideoRequest
	rule   *structpb.Struct // who may watch; nil: no rule
	until  string           // playable or ready
}

// push uploads a file, follows its transcode and prints where to watch it.
func push(ctx context.Context, e *env, f *flags) error {
	asJSON := f.jsonFlag()
	p, err := newPusher(e, f)
	if err != nil {
		return err
	}
	defer p.file.Close()
	out, err := p.run(ctx)
	p.show.done()
	if err != nil {
		return p.advise(ctx, err)
	}
	if *asJSON {
		enc := json.NewEncoder(e.stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(out)
	}
	printFields(e.stdout, "watch", out.WatchURL, "hls", out.HLSURL, "dash", out.DASHURL)
	return nil
}

// newPusher reads the command line and opens the file, which the caller closes.
func newPusher(e *env, f *flags) (*pusher, error) {
	p := &pusher{show: newProgress(e)}
	title := f.String("title", "", "`TITLE` of the video (default: the file's name)")
	priority := f.Int("priority", rpc.DefaultPriority, "`N` from 0 (last) to 100 (first)")
	public := f.Bool("public", false, "let anybody watch, without a session")
	rule := f.String("rule", "", "who may watch: a rule as JSON in `FILE`, - for standard input")
	profile := f.String("profile", "", "encode with this `PROFILE` of the configuration (default: default)")
	f.StringVar(&p.until, "wait", "ready", "return when the video is `STATE` playable or ready")
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return nil, err
	}
	if p.until != "playable" && p.until != "ready" {
		return nil, usagef("push: --wait %q is neither playable nor ready", p.until)
	}
	if *priority < 0 || *priority > rpc.MaxPriority {
		return nil, usagef("push: --priority %d is not from 0 to %d", *priority, rpc.MaxPriority)
	}
	if *public && *rule != "" {
		return nil, usagef("push: --public lets anybody watch, --rule does not; give one of them")
	}
	if *rule != "" {
		if p.rule, err = readRule(e, *rule); err != nil {
			return nil, err
		}
	}
	if err := p.open(args[0]); err != nil {
		return nil, err
	}
	p.client = c
	p.resume = newResumeFile(e, p.file.Name(), p.info, c.dataDir)
	p.asked = &rpc.CreateVideoRequest{Title: *title, Public: *public, Profile: *profile, SizeBytes: float64(p.info.Size())}
	if isSet(f.FlagSet, "priority") {
		n := int32(*priority)
		p.asked.Priority = &n
	}
	if *title == "" {
		p.asked.Title = titleOf(p.file.Name())
	}
	return p, nil
}

// open refuses what cannot be a video before anything is created.
func (p *pusher) open(name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a file", name)
	case info.Size() == 0:
		err = fmt.Errorf("%s is empty", name)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	p.file, p.info = file, info
	return nil
}

// run is the whole way. The resume file lasts until it has ended, well or
// badly, but not when it was only interrupted.
func (p *pusher) run(ctx context.Context) (*pushed, error) {
	video, err := p.begin(ctx)
	if err != nil {
		return nil, err
	}
	if video.GetState() == "uploading" {
		err := p.upload(ctx, video)
		if errors.Is(err, errUploadGone) { // expired while we were away
			p.resume.forget()
			if video, err = p.create(ctx); err == nil {
				err = p.upload(ctx, video)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	out, err := p.follow(ctx, video.GetId())
	if err == nil || errors.Is(err, errVideoFailed) {
		p.resume.forget()
	}
	return out, err
}

// begin takes up the video of an interrupted push of the same file, or makes
// a new one.
func (p *pusher) begin(ctx context.Context) (*rpc.Video, error) {
	if id := p.resume.videoID(); id != "" {
		video, err := p.library.GetVideo(ctx, &rpc.GetVideoRequest{Id: id})
		if err == nil && video.GetState() != "failed" {
			p.show.note("Continuing video %s.", id)
			return video, p.admit(ctx, video)
		}
		if err != nil && connect.CodeOf(err) != connect.CodeNotFound {
			return nil, err
		}
	}
	return p.create(ctx)
}

func (p *pusher) create(ctx context.Context) (*rpc.Video, error) {
	video, err := p.library.CreateVideo(ctx, p.asked)
	if err != nil {
		return nil, err
	}
	if p.rule != nil {
		if err := p.admit(ctx, video); err != nil { // nothing has been sent yet
			_, derr := p.library.DeleteVideo(context.WithoutCancel(ctx), &rpc.DeleteVideoRequest{Id: video.GetId()})
			return nil, errors.Join(err, derr)
		}
	}
	if err := p.resume.remember(video.GetId()); err != nil {
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

func (p *pusher) upload(ctx context.Context, video *rpc.Video) error {
	up, err := newUpload(p.http, video.GetUploadUrl(), p.file, p.info.Size())
	if err != nil {
		return err
	}
	p.show.begin("Uploading", p.info.Size())
	up.moved = p.show.moved
	if err := up.run(ctx); err != nil {
		return err
	}
	p.show.note("Uploaded %s.", node.Bytes(p.info.Size()).Short())
	return nil
}

// advise says what can be done about an error.
func (p *pusher) advise(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted; run the same command again to continue")
	}
	return p.explain(err)
}

// titleOf is the file's name as a title of the length that is allowed.
func titleOf(name string) string {
	base := filepath.Base(name)
	title := strings.TrimSuffix(base, filepath.Ext(base))
	if title == "" {
		title = base
	}
	if r := []rune(strings.ToValidUTF8(title, "_")); len(r) > rpc.MaxTitle {
		return string(r[:rpc.MaxTitle])
	}
	return strings.ToValidUTF8(title, "_")
}

func isSet(f *flag.FlagSet, name string) bool {
	found := false
	f.Visit(func(one *flag.Flag) { found = found || one.Name == name })
	return found
}
