package main

import (
	"context"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/rpc"
)

// pushFlags are what push is told.
type pushFlags struct {
	title, profile, rule, watch string
	public, recursive           bool
	priority                    *number
	until                       *choice
	asJSON                      *bool
}

func pushCommand(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "push FILE…", Short: "upload videos, follow their transcode, print where to watch them",
		Long: "A FILE of - is standard input. One of https://… or http://… is fetched by the node, which only takes public\n" +
			"addresses unless upload.fetch.allowed_networks says otherwise. Interrupted, the same command continues where it\n" +
			"stopped, but for a pipe; a fetch is cancelled.\n" +
			"With --json one FILE prints the video, several or --recursive print {\"videos\": […]}, and --watch prints a video on\n" +
			"each line; the addresses in a video that is not public are a session's.",
		Example: "streamgate push film.mp4 --public\n" +
			"streamgate push holiday/ --recursive\n" +
			"streamgate push https://example.org/film.mp4\n" +
			"ffmpeg -i film.avi -c copy -f matroska - | streamgate push - --title 'A film'\n" +
			"streamgate push --watch /srv/incoming",
	}
	var f pushFlags
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if f.watch == "" {
			if err := operands(cmd, args); err != nil {
				return err
			}
		}
		return f.check(args)
	}
	cmd.Flags().StringVar(&f.title, "title", "", "`TITLE` of the video (default: the file's name)")
	f.priority = priorityFlag(cmd, "`N` from 0 (last) to 100 (first)")
	cmd.Flags().BoolVar(&f.public, "public", false, "let anybody watch, without a session")
	cmd.Flags().StringVar(&f.rule, "rule", "", "who may watch: a rule as JSON in `FILE`, - for standard input")
	cmd.Flags().StringVar(&f.profile, "profile", "", "encode with this `PROFILE` of the configuration (default: default)")
	f.until = choiceFlag(cmd, "wait", "ready", "return when the video is in this `STATE`", "playable", "ready")
	cmd.Flags().BoolVar(&f.recursive, "recursive", false, "push the videos in folders, and in those beneath")
	cmd.Flags().StringVar(&f.watch, "watch", "", "push every video that comes into this `FOLDER`, once, until Ctrl-C")
	f.asJSON = jsonFlag(cmd)
	reads(cmd, configEnv...)
	reads(cmd, stateEnv...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		up, err := newPusher(p, &f)
		if err != nil {
			return err
		}
		if f.watch != "" {
			return up.watch(cmd.Context(), p, f)
		}
		return up.all(cmd.Context(), p, f, args)
	}
	return cmd
}

// check refuses what contradicts itself.
func (f *pushFlags) check(args []string) error {
	stdin := 0
	for _, name := range append([]string{f.rule}, args...) {
		if name == "-" {
			stdin++
		}
	}
	switch {
	case f.watch != "" && len(args) > 0:
		return usagef("push: --watch %s and FILE %q exclude each other; give one of them", f.watch, args[0])
	case f.title != "" && (f.watch != "" || f.recursive || len(args) > 1):
		return usagef("push: --title %q names one video; leave it out where several may be pushed", f.title)
	case !utf8.ValidString(f.title):
		return usagef("push: --title %q is no UTF-8 text", f.title)
	case f.public && f.rule != "":
		return usagef("push: --public lets anybody watch, --rule does not; give one of them")
	case stdin > 1:
		return usagef("push: standard input (-) can be read only once")
	}
	return nil
}

// newPusher prepares what all videos of a command line have in common.
func newPusher(p *cli, f *pushFlags) (*pusher, error) {
	var rule *structpb.Struct
	if f.rule != "" {
		var err error
		if rule, err = readRule(p.env, f.rule); err != nil {
			return nil, err
		}
	}
	c, err := p.client()
	if err != nil {
		return nil, err
	}
	asked := &rpc.CreateVideoRequest{Public: f.public, Profile: f.profile}
	if f.priority.set {
		asked.Priority = &f.priority.value
	}
	return &pusher{client: c, show: newProgress(p.env), asked: asked, rule: rule, until: f.until.value}, nil
}

// all pushes what the operands name, one after the other. What fails does not
// keep the others back.
func (p *pusher) all(ctx context.Context, c *cli, f pushFlags, args []string) error {
	names, err := expand(args, f.recursive, func(name, why string) { p.show.note("Skipped %s: %s.", name, why) })
	if err != nil {
		return err
	}
	one := len(args) == 1 && !f.recursive
	var videos []*rpc.Video
	for _, name := range names {
		video, err := p.file(ctx, c.env, name, f.title)
		switch {
		case err == nil:
			videos = append(videos, video)
			if !*f.asJSON {
				tellPushed(c.stdout, name, video, one)
			}
		case one || ctx.Err() != nil:
			return err
		default:
			p.show.note("%s: %s", name, err)
		}
	}
	switch {
	case *f.asJSON && one:
		err = printJSON(c.stdout, videos[0])
	case *f.asJSON:
		err = printJSON(c.stdout, &rpc.ListVideosResponse{Videos: videos})
	}
	if failed := len(names) - len(videos); err == nil && failed > 0 {
		err = fmt.Errorf("%d of %d files were not pushed", failed, len(names))
	}
	return err
}

// tellPushed says where a video plays; where there are several, which it is.
func tellPushed(w io.Writer, name string, v *rpc.Video, alone bool) {
	if alone {
		name = ""
	}
	printFields(w, "file", name, "watch", v.GetWatchUrl(), "hls", v.GetHlsUrl(), "dash", v.GetDashUrl())
}

// file pushes one file, a pipe, or what is at an address.
func (p *pusher) file(ctx context.Context, e *env, name, title string) (*rpc.Video, error) {
	if isURL(name) {
		video, err := p.pushURL(ctx, name, title)
		p.show.done()
		if err != nil && ctx.Err() != nil {
			return nil, &callError{"interrupted; the fetch is cancelled", err}
		}
		if err != nil {
			return nil, p.explain(err)
		}
		return video, nil
	}
	src, err := openSource(e, name, p.dataDir)
	if err != nil {
		return nil, err
	}
	defer src.close()
	if title != "" {
		src.title, src.named = title, true
	}
	video, err := p.push(ctx, src)
	p.show.done()
	switch {
	case err == nil:
		return video, nil
	case ctx.Err() != nil && src.pipe == nil:
		return nil, &callError{"interrupted; run the same command again to continue", err}
	}
	return nil, p.explain(err)
}
