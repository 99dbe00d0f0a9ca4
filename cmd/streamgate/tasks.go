package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"streamgate/app/rpc"
)

func tasksCommand(p *cli) *cobra.Command {
	return group("tasks", "list, make and control transcode tasks",
		tasksList(p), tasksShow(p), tasksCreate(p), tasksJobs(p), tasksPriority(p),
		tasksChange(p, "cancel", "cancel tasks; what is made already stays", "cancelled",
			func(c *client) changeTasks { return c.transcoder.CancelTasks }),
		tasksChange(p, "pause", "stop the work on tasks until they are resumed", "paused",
			func(c *client) changeTasks { return c.transcoder.PauseTasks }),
		tasksChange(p, "resume", "go on with paused tasks", "resumed",
			func(c *client) changeTasks { return c.transcoder.ResumeTasks }),
		tasksChange(p, "retry", "make what failed or cancelled tasks have left missing", "retried",
			func(c *client) changeTasks { return c.transcoder.RetryTasks }))
}

// taskStates are the words of --state.
func taskStates() []string {
	return []string{"queued", "processing", "paused", "succeeded", "failed", "cancelled"}
}

func tasksList(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list the transcode tasks, newest first", Example: "streamgate tasks list --state failed"}
	limit := limitFlag(cmd)
	state := choiceFlag(cmd, "state", "", "only those in this `STATE`", taskStates()...)
	video := cmd.Flags().String("video", "", "only those of the video with this `ID`")
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListTasksResponse, error) {
		tasks, err := pages(limit.value, func(size int32, cursor string) ([]*rpc.Task, string, error) {
			r, err := c.transcoder.ListTasks(ctx, &rpc.ListTasksRequest{Limit: size, Cursor: cursor, State: state.value, VideoId: *video})
			return r.GetTasks(), r.GetNextCursor(), err
		})
		return &rpc.ListTasksResponse{Tasks: tasks}, err
	}, func(w io.Writer, r *rpc.ListTasksResponse, _ []string) {
		rows := [][]string{{"ID", "VIDEO", "STATE", "DONE", "SPEED", "LEFT", "PRIORITY", "CREATED"}}
		for _, t := range r.GetTasks() {
			rows = append(rows, []string{t.GetId(), t.GetVideoId(), t.GetState(), percent(t.GetProgress()), speed(t.GetSpeed()),
				left(t), strconv.Itoa(int(t.GetPriority())), when(t.GetCreatedAt())})
		}
		printRows(w, rows)
	})
}

func tasksShow(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "show one task", Example: "streamgate tasks show ID"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Task, error) {
		return c.transcoder.GetTask(ctx, &rpc.GetTaskRequest{Id: args[0]})
	}, tellTask)
}

func tellTask(w io.Writer, t *rpc.Task, _ []string) {
	printFields(w, "id", t.GetId(), "video", t.GetVideoId(), "state", t.GetState(), "error", failure(t.GetError()),
		"done", percent(t.GetProgress()), "speed", speed(t.GetSpeed()), "left", left(t), "profile", t.GetProfile(),
		"priority", strconv.Itoa(int(t.GetPriority())), "attempt", strconv.Itoa(int(t.GetAttempt())),
		"created", when(t.GetCreatedAt()), "started", when(t.GetStartedAt()), "finished", when(t.GetFinishedAt()))
}

func tasksCreate(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create VIDEO", Short: "transcode a video whose source has arrived, again or with another profile",
		Long: `Transcode a video whose source has arrived, again or with another profile.

A video that is ready plays on meanwhile. Only what differs is made, and players
are shown it when all of it is there; until then it is listed as next by "videos
show" and "videos cells". Segments keep their borders, whatever the profile says
of their length.`,
		Example: "streamgate tasks create VIDEO --profile small --priority 80",
	}
	profile := cmd.Flags().String("profile", "", "encode with this `PROFILE` of the configuration (default: the video's own)")
	priority := priorityFlag(cmd, "`N` from 0 (last) to 100 (first) (default: the video's own)")
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Task, error) {
		req := &rpc.CreateTaskRequest{VideoId: args[0], Profile: *profile}
		if priority.set {
			req.Priority = &priority.value
		}
		return c.transcoder.CreateTask(ctx, req)
	}, tellTask)
}

// changeTasks is one of the bulk calls.
type changeTasks func(context.Context, *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error)

// tasksChange changes the tasks that are named, by ids or by flags, and says of
// each that could not be why.
func tasksChange(p *cli, verb, short, done string, call func(*client) changeTasks) *cobra.Command {
	cmd := &cobra.Command{
		Use: verb + " [ID…]", Short: short,
		Example: fmt.Sprintf("streamgate tasks %[1]s ID\nstreamgate tasks %[1]s --video ID", verb),
	}
	bulk := bulkFlags(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, ids []string) error {
		return bulk.run(cmd, ids, nil, done, call)
	}
	return cmd
}

func tasksPriority(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "priority N [ID…]", Short: "set the priority of tasks, 0 (last) to 100 (first)",
		Example: "streamgate tasks priority 90 ID\nstreamgate tasks priority 10 --state queued",
	}
	bulk := bulkFlags(p, cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n := &number{max: rpc.MaxPriority}
		if err := n.Set(args[0]); err != nil {
			return usagef("tasks priority: N %q %s", args[0], err)
		}
		return bulk.run(cmd, args[1:], &n.value, "changed", func(c *client) changeTasks { return c.transcoder.PrioritiseTasks })
	}
	return cmd
}

// bulk is a change of several tasks.
type bulk struct {
	p              *cli
	state          *choice
	video, profile *string
	asJSON         *bool
}

func bulkFlags(p *cli, cmd *cobra.Command) *bulk {
	cmd.Args = operands
	reads(cmd, configEnv...)
	return &bulk{
		p:       p,
		state:   choiceFlag(cmd, "state", "", "every task in this `STATE`", taskStates()...),
		video:   cmd.Flags().String("video", "", "every task of the video with this `ID`"),
		profile: cmd.Flags().String("profile", "", "every task with this `PROFILE`"),
		asJSON:  jsonFlag(cmd),
	}
}

func (b *bulk) run(cmd *cobra.Command, ids []string, priority *int32, done string, call func(*client) changeTasks) error {
	req := &rpc.ChangeTasksRequest{Ids: ids, State: b.state.value, VideoId: *b.video, Profile: *b.profile, Priority: priority}
	if len(ids) == 0 && req.State == "" && req.VideoId == "" && req.Profile == "" {
		return usagef("%s: say which tasks: by ID, or by --state, --video or --profile", nameOf(cmd))
	}
	c, err := b.p.client()
	if err != nil {
		return err
	}
	out, err := call(c)(cmd.Context(), req)
	if err != nil {
		return c.explain(err)
	}
	if *b.asJSON {
		if err := printJSON(b.p.stdout, out); err != nil {
			return err
		}
	} else {
		tellChanged(b.p.stdout, out, ids, done)
	}
	for _, r := range out.GetRefused() {
		if !*b.asJSON {
			fmt.Fprintf(b.p.stderr, "%s: %s\n", r.GetId(), r.GetError().GetMessage())
		}
	}
	if refused := out.GetMatched() - out.GetChanged(); refused > 0 {
		return fmt.Errorf("%d tasks were not %s", refused, done)
	}
	return nil
}

func tellChanged(w io.Writer, out *rpc.ChangeTasksResponse, ids []string, done string) {
	if len(ids) == 1 && out.GetChanged() == 1 {
		fmt.Fprintf(w, "Task %s is %s.\n", ids[0], done)
		return
	}
	fmt.Fprintf(w, "%d of %d tasks %s.\n", out.GetChanged(), out.GetMatched(), done)
	if out.GetMore() {
		fmt.Fprintln(w, "More tasks match: run the command again.")
	}
}

func tasksJobs(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "jobs ID", Short: "show a task's jobs and the attempts that failed", Example: "streamgate tasks jobs ID --log"}
	logs := cmd.Flags().Bool("log", false, "with the end of what ffmpeg said in each attempt")
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.ListJobsResponse, error) {
		return c.transcoder.ListJobs(ctx, &rpc.ListJobsRequest{TaskId: args[0]})
	}, func(w io.Writer, r *rpc.ListJobsResponse, _ []string) { tellJobs(w, r.GetJobs(), *logs) })
}

func tellJobs(w io.Writer, jobs []*rpc.Job, logs bool) {
	rows := [][]string{{"KIND", "SEGMENTS", "RENDITION", "STATE", "DONE", "FAILURES", "WORKER", "ERROR"}}
	for _, j := range jobs {
		rows = append(rows, []string{j.GetKind(), segments(j.GetFromSegment(), j.GetToSegment()), j.GetRendition(), j.GetState(),
			percent(j.GetProgress()), strconv.Itoa(int(j.GetFailures())), j.GetWorker(), failure(j.GetError())})
	}
	printRows(w, rows)
	for _, j := range jobs {
		for _, a := range j.GetAttempts() {
			fmt.Fprintf(w, "\n%s %s, %s, %s: %s\n", j.GetKind(), segments(j.GetFromSegment(), j.GetToSegment()),
				when(a.GetFinishedAt()), a.GetWorker(), failure(a.GetError()))
			if logs && a.GetLog() != "" {
				fmt.Fprintln(w, strings.TrimRight(a.GetLog(), "\n"))
			}
		}
	}
}

func segments(from, to int32) string {
	if from >= to {
		return ""
	}
	return fmt.Sprintf("%d-%d", from, to-1)
}

func priorityFlag(cmd *cobra.Command, usage string) *number {
	return numberFlag(cmd, "priority", rpc.DefaultPriority, 0, rpc.MaxPriority, usage)
}

func speed(x float64) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f×", x)
}

// left is the time until a task is done, where it is known.
func left(t *rpc.Task) string {
	if t.Eta == nil {
		return ""
	}
	return seconds(max(1, float64(int(t.GetEta()))))
}
