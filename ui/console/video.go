package console

import (
	"encoding/json"
	"fmt"
	"net/http"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/console"
	"streamgate/app/rpc"
)

// videoView is one video.
type videoView struct {
	Path       string
	Card       videoCard
	Width      string
	Size       text
	SHA256     string
	Profile    string
	TaskID     string
	Failure    string
	LeftOut    []string // what the source has besides
	Public     bool
	Watch      string
	HLS, DASH  string
	Embed      string // HTML for other sites
	Plays      bool
	Player     playerView
	Seen       seenView
	Renditions []renditionRow
	Rule       string // JSON
	Sentence   []string
	RuleError  string
	Try        tryView
	Dry        dryView
	Tasks      []taskRow
	Profiles   []string
	Watching   []sessionRow
	More       bool // sessions than are listed
	May        bool
}

// renditionRow is one rendition and what of it exists.
type renditionRow struct {
	Name, Kind, Codecs, Pixels, Declared, Measured, Progress string
	Size                                                     text
}

func (v *visit) video() {
	view, err := v.newVideo(v.r.PathValue("id"))
	if connect.CodeOf(err) == connect.CodeNotFound && v.showDeleted(v.r.PathValue("id")) {
		return
	}
	if err != nil {
		v.fail(err)
		return
	}
	status := http.StatusOK
	if view.Seen.Error != "" {
		status = http.StatusUnprocessableEntity
	}
	v.page(status, view.Card.Title, "/console/videos", videoPage(view))
}

func (v *visit) newVideo(id string) (videoView, error) {
	video, err := v.Library.GetVideo(rpc.WithBaseURL(v.ctx, v.SiteURL(v.r)), &rpc.GetVideoRequest{Id: id})
	if err != nil {
		return videoView{}, err
	}
	view := videoView{
		Path: "/console/videos/" + video.Id, Card: newVideoCard(video), Size: size(video.SizeBytes), SHA256: video.Sha256,
		Profile: video.Profile, TaskID: video.TaskId, Failure: printable(video.GetError().GetMessage()), Public: video.Public,
		Watch: video.WatchUrl, HLS: video.HlsUrl, DASH: video.DashUrl, May: v.may(console.Operator),
		Plays: video.DurationSeconds > 0 && video.State != "failed", Profiles: v.Profiles,
	}
	for _, w := range video.Warnings {
		view.LeftOut = append(view.LeftOut, printable(w.Message))
	}
	view.Embed = fmt.Sprintf(`<iframe src="%s/embed/%s" width="640" height="360" allow="fullscreen; picture-in-picture"></iframe>`, v.SiteURL(v.r), video.Id)
	if video.Width > 0 {
		view.Width = fmt.Sprintf("%d×%d", video.Width, video.Height)
	}
	if view.Seen, err = v.seenBy(video); err != nil {
		return view, err
	}
	view.Player = v.newPlayer(view.Path, view.Seen)
	if view.Renditions, err = v.renditions(video); err != nil {
		return view, err
	}
	if video.Gated {
		if err := v.readRule(&view); err != nil {
			return view, err
		}
	}
	if view.May {
		if err := v.readWatching(&view); err != nil {
			return view, err
		}
	}
	tasks, err := v.Transcoder.ListTasks(v.ctx, &rpc.ListTasksRequest{VideoId: id})
	if err != nil {
		return view, err
	}
	for _, t := range tasks.Tasks {
		view.Tasks = append(view.Tasks, newTaskRow(t, map[string]*rpc.Video{video.Id: video}))
	}
	return view, nil
}

// readWatching adds the sessions that play the video now.
func (v *visit) readWatching(view *videoView) error {
	out, err := v.Access.ListSessions(v.ctx, &rpc.ListSessionsRequest{VideoId: view.Card.ID, State: "live", Limit: pageSize})
	if err != nil {
		return err
	}
	view.More = out.NextCursor != ""
	for _, s := range out.Sessions {
		view.Watching = append(view.Watching, newSessionRow(s, nil))
	}
	return nil
}

func (v *visit) renditions(video *rpc.Video) (rows []renditionRow, err error) {
	cells, err := v.Library.GetCells(v.ctx, &rpc.GetCellsRequest{VideoId: video.Id})
	if connect.CodeOf(err) == connect.CodeFailedPrecondition { // not planned yet
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i, r := range video.Renditions {
		row := renditionRow{Name: r.Name, Kind: r.Kind, Codecs: r.Codecs, Declared: bitrate(r.Bandwidth), Measured: "–", Progress: percent(r.Progress)}
		if r.Width > 0 {
			row.Pixels = fmt.Sprintf("%d×%d", r.Width, r.Height)
		}
		if r.Copy {
			row.Kind += ", copied"
		}
		if i < len(cells.Renditions) {
			c := cells.Renditions[i]
			row.Size = size(c.SizeBytes)
			if made := madeSeconds(cells, c); made > 0 {
				row.Measured = bitrate(8 * c.SizeBytes / made)
			}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// madeSeconds is how much of a rendition exists.
func madeSeconds(cells *rpc.Cells, r *rpc.RenditionCells) (seconds float64) {
	for _, run := range r.Ready {
		if int(run.To) < len(cells.Bounds) {
			seconds += cells.Bounds[run.To] - cells.Bounds[run.From]
		}
	}
	return seconds
}

// readRule adds the rule as JSON and in words: what would admit a stranger.
func (v *visit) readRule(view *videoView) error {
	rule, err := v.Access.GetVideoRule(v.ctx, &rpc.GetVideoRuleRequest{VideoId: view.Card.ID})
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(rule.Rule.AsMap(), "", "  ")
	if err != nil {
		return fmt.Errorf("write the rule: %w", err)
	}
	view.Rule = string(data)
	decision, err := v.Access.CheckAccess(v.ctx, &rpc.CheckAccessRequest{VideoId: view.Card.ID})
	if err != nil {
		view.RuleError, _ = sentence(err)
		return nil
	}
	view.Sentence = decision.Admits
	return nil
}

func (v *visit) changeVideo() {
	id := v.r.PathValue("id")
	title, public := v.r.PostFormValue("title"), v.r.PostFormValue("public") != ""
	_, err := v.Library.UpdateVideo(v.ctx, &rpc.UpdateVideoRequest{Id: id, Title: &title, Public: &public})
	v.back("/console/videos/"+id, "The changes are saved.", err)
}

func (v *visit) changeRule() {
	id := v.r.PathValue("id")
	to := "/console/videos/" + id
	if v.r.PostFormValue("do") == "delete" {
		_, err := v.Access.DeleteVideoRule(v.ctx, &rpc.DeleteVideoRuleRequest{VideoId: id})
		v.back(to, "The video is private: only links that a key makes play it.", err)
		return
	}
	written := v.r.PostFormValue("rule")
	rule, err := parseRule(written)
	do := v.r.PostFormValue("do")
	trying := do == "try" || do == "dry"
	if err == nil && !trying {
		_, err = v.Access.SetVideoRule(v.ctx, &rpc.SetVideoRuleRequest{VideoId: id, Rule: rule})
	}
	if err == nil && !trying {
		v.back(to, "The rule is saved; everybody who watches has been asked again.", nil)
		return
	}
	view, verr := v.newVideo(id)
	if verr != nil {
		v.fail(verr)
		return
	}
	view.Rule = written // what was typed stays
	switch {
	case err != nil:
	case do == "dry":
		view.Dry, err = v.dryRun(id, rule)
	default:
		view.Try, err = v.tryRule(rule, v.r.PostFormValue("wallet"))
	}
	status := http.StatusOK
	if err != nil {
		status = http.StatusUnprocessableEntity
		view.Try.Wallet = printable(v.r.PostFormValue("wallet"))
		view.RuleError, _ = sentence(err)
	}
	v.page(status, view.Card.Title, "/console/videos", videoPage(view))
}

// parseRule reads a rule as it was typed.
func parseRule(written string) (*structpb.Struct, error) {
	var plain map[string]any
	if err := json.Unmarshal([]byte(written), &plain); err != nil {
		return nil, rpc.Invalid("invalid_rule", "The rule is no JSON object: %s.", err)
	}
	rule, err := structpb.NewStruct(plain)
	if err != nil {
		return nil, rpc.Invalid("invalid_rule", "The rule cannot be read: %s.", err)
	}
	return rule, nil
}

func (v *visit) transcode() {
	id := v.r.PathValue("id")
	t, err := v.Transcoder.CreateTask(v.ctx, &rpc.CreateTaskRequest{VideoId: id, Profile: v.r.PostFormValue("profile")})
	if err != nil {
		v.back("/console/videos/"+id, "", err)
		return
	}
	v.back("/console/tasks/"+t.Id, "The task is queued: it makes what is missing.", nil)
}

func (v *visit) poster() {
	v.Still(v.w, v.r, v.r.PathValue("id"), "poster.jpg")
}
