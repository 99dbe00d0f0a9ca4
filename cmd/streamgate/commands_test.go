package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"streamgate/app/rpc"
)

// everyCommand calls check for each command that can be run, by its path
// without the program's name.
func everyCommand(t *testing.T, check func(t *testing.T, path string, cmd *cobra.Command)) {
	t.Helper()
	root := newRoot(&env{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard})
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		path := strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), root.Name()))
		t.Run(strings.ReplaceAll(path, " ", "_"), func(t *testing.T) { check(t, path, cmd) })
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
}

// TestEveryCommandHelps: a purpose, an example that is a command, and the
// variables that it reads.
func TestEveryCommandHelps(t *testing.T) {
	silent := []string{"version", "help", "completion"} // they read none
	everyCommand(t, func(t *testing.T, path string, cmd *cobra.Command) {
		got := runCommand(t, nil, append(strings.Fields(path), "--help")...)
		_, example, _ := strings.Cut(got.out, "\nExamples:\n")
		if got.code != 0 || got.stderr != "" || !strings.HasPrefix(got.out, "Usage: streamgate") || !strings.Contains(example, "streamgate "+path) {
			t.Errorf("%d %s%s", got.code, got.out, got.stderr)
		}
		if !cmd.HasSubCommands() && !slices.Contains(silent, path) && !strings.Contains(got.out, "STREAMGATE_DATA_DIR") {
			t.Errorf("it does not name its environment:\n%s", got.out)
		}
		if same := runCommand(t, nil, append([]string{"help"}, strings.Fields(path)...)...); same.out != got.out {
			t.Errorf("help %s says something else:\n%s", path, same.out)
		}
	})
}

// TestEveryCommandRefusesAWrongOperand, and names it, in one sentence, also as
// JSON.
func TestEveryCommandRefusesAWrongOperand(t *testing.T) {
	everyCommand(t, func(t *testing.T, path string, cmd *cobra.Command) {
		words := strings.Fields(cmd.Use)[1:]
		cases := map[string][]string{"surplus": {"surplus"}}
		switch {
		case path == "completion":
			cases = map[string][]string{"surplus": {"bash", "surplus"}, "tcsh": {"tcsh"}, "SHELL is missing": nil}
		case path == "help":
			cases = map[string][]string{"nonsense": {"nonsense"}}
		case len(words) > 0:
			cases = map[string][]string{strings.Trim(words[0], "[]…"): {""}}
			if !strings.HasPrefix(words[0], "[") {
				cases[strings.Trim(words[0], "…")+" is missing"] = nil
			}
			if !strings.Contains(cmd.Use, "…") {
				cases["surplus"] = append(slices.Repeat([]string{"x"}, len(words)), "surplus")
			}
		}
		for want, args := range cases {
			args = append(strings.Fields(path), args...)
			got := runCommand(t, nil, args...)
			if got.code != exitUsage || got.out != "" || strings.Count(got.stderr, "\n") != 1 || !strings.Contains(got.stderr, want) {
				t.Errorf("%q lacks %q: %+v", args, want, got)
			}
			if cmd.Flags().Lookup("json") == nil {
				continue
			}
			var p problem
			got = runCommand(t, nil, append(args, "--json")...)
			if err := json.Unmarshal([]byte(got.stderr), &p); err != nil || got.code != exitUsage || p.Code != "usage" || !strings.Contains(p.Detail, want) {
				t.Errorf("%q --json: %+v, %v", args, got, err)
			}
		}
	})
}

// TestEveryCommandPrintsJSON runs every command on a real node, and reads what
// it prints strictly as the message that the REST API answers with.
func TestEveryCommandPrintsJSON(t *testing.T) {
	dir, _ := startNode(t)
	home := t.TempDir()
	film, rule := clip(t), filepath.Join(home, "rule.json")
	if err := os.WriteFile(rule, []byte(`{"wallets":["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ctl := func(t *testing.T, args ...string) outcome {
		return runCommand(t, []string{"HOME=" + home}, append(args, "--data", dir)...)
	}
	id := func(t *testing.T, field string, args ...string) string {
		got := ctl(t, append(args, "--json")...)
		var value map[string]any
		if err := json.Unmarshal([]byte(got.out), &value); err != nil {
			t.Fatalf("%q: %+v", args, got)
		}
		return value[field].(string)
	}
	video := id(t, "id", "push", film)
	task := id(t, "task_id", "videos", "show", video)
	doomed := id(t, "id", "push", film, "--public", "--wait", "playable")
	session, key := id(t, "id", "sessions", "create", video), id(t, "id", "keys", "create", "--scope", "read")
	hook := id(t, "id", "webhooks", "create", "https://example.org/hook")
	delivery := id(t, "id", "webhooks", "test", hook)

	fetch := id(t, "id", "uploads", "fetch", "http://127.0.0.1:1/film.mp4")

	node := id(t, "id", "node", "show") // by its other name too

	own := proto.Message(nil) // a value that the API does not have
	rows := []struct {
		args string
		is   proto.Message
	}{
		{"push " + film + " --title T", &rpc.Video{}},
		{"push " + film + " " + film, &rpc.ListVideosResponse{}},
		{"videos list --limit 1", &rpc.ListVideosResponse{}},
		{"videos show " + video, &rpc.Video{}},
		{"videos update " + video + " --title New --rule " + rule, &rpc.Video{}},
		{"uploads list", &rpc.ListUploadsResponse{}},
		{"uploads fetch http://127.0.0.1:1/film.mp4 --title T --priority 7", &rpc.Upload{}},
		{"uploads show " + fetch, &rpc.Upload{}},
		{"uploads delete " + fetch, &rpc.DeleteUploadResponse{}},
		{"tasks list", &rpc.ListTasksResponse{}},
		{"tasks show " + task, &rpc.Task{}},
		{"tasks create " + video, &rpc.Task{}},
		{"tasks jobs " + task, &rpc.ListJobsResponse{}},
		{"tasks cancel --video none", &rpc.ChangeTasksResponse{}},
		{"tasks pause --video none", &rpc.ChangeTasksResponse{}},
		{"tasks resume --video none", &rpc.ChangeTasksResponse{}},
		{"tasks retry --video none", &rpc.ChangeTasksResponse{}},
		{"tasks priority 7 --video none", &rpc.ChangeTasksResponse{}},
		{"queue show", &rpc.QueueState{}},
		{"queue pause", &rpc.QueueState{}},
		{"queue resume", &rpc.QueueState{}},
		{"workers list", &rpc.ListWorkersResponse{}},
		{"workers drain worker-1", &rpc.Worker{}},
		{"workers resume worker-1", &rpc.Worker{}},
		{"transcoder drain", &rpc.ListWorkersResponse{}},
		{"transcoder resume", &rpc.ListWorkersResponse{}},
		{"transcoder metrics", &rpc.GetMetricsResponse{}},
		{"rules set " + video + " " + rule, &rpc.VideoRule{}},
		{"rules show " + video, &rpc.VideoRule{}},
		{"rules check " + video + " 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", &rpc.Decision{}},
		{"rules simulate " + rule, &rpc.Decision{}},
		{"rules clear " + video, &rpc.DeleteVideoRuleResponse{}},
		{"rules put holders " + rule, &rpc.Rule{}},
		{"rules get holders", &rpc.Rule{}},
		{"rules list", &rpc.ListRulesResponse{}},
		{"rules delete holders", &rpc.DeleteRuleResponse{}},
		{"sessions create " + video, &rpc.Session{}},
		{"sessions list", &rpc.ListSessionsResponse{}},
		{"sessions end " + session, &rpc.EndSessionResponse{}},
		{"codes create premiere --count 2", &rpc.Codes{}},
		{"codes list", &rpc.ListCodesResponse{}},
		{"codes delete premiere", &rpc.DeleteCodesResponse{}},
		{"keys create --scope read", &rpc.Key{}},
		{"keys list", &rpc.ListKeysResponse{}},
		{"keys revoke " + key, &rpc.RevokeKeyResponse{}},
		{"setup-link", own},
		{"audit verify", own},
		{"nodes show", &rpc.Node{}},
		{"nodes list", &rpc.ListNodesResponse{}},
		{"nodes drain " + node + " --wait", &rpc.Node{}},
		{"nodes resume " + node, &rpc.Node{}},
		{"metrics history queue_length --last 5m --step 30s", &rpc.MetricsHistory{}},
		{"alerts list", &rpc.ListAlertsResponse{}},
		{"alerts silence queue_length_warning --reason Test", &rpc.Alert{}},
		{"alerts unsilence queue_length_warning", &rpc.Alert{}},
		{"videos cells " + video, &rpc.Cells{}},
		{"webhooks create https://example.org/b --event video.ready", &rpc.Webhook{}},
		{"webhooks list", &rpc.ListWebhooksResponse{}},
		{"webhooks show " + hook, &rpc.Webhook{}},
		{"webhooks update " + hook + " --description Mine", &rpc.Webhook{}},
		{"webhooks rotate " + hook, &rpc.Webhook{}},
		{"webhooks test " + hook, &rpc.Delivery{}},
		{"webhooks deliveries " + hook, &rpc.ListDeliveriesResponse{}},
		{"webhooks redeliver " + hook + " " + delivery, &rpc.Delivery{}},
		{"webhooks delete " + hook, &rpc.DeleteWebhookResponse{}},
		{"videos delete " + doomed, &rpc.DeleteVideoResponse{}},
		{"chains check", own},
		{"ca init", own},
		{"ca token", own},
		{"config check", own},
		{"config print", own},
		{"doctor --set transcoder.confine=true", own},
		{"version", own},
	}
	// They have no value of their own, run for ever, or need more (each has a
	// test of its own).
	elsewhere := []string{"", "serve", "help", "completion", "events", "healthcheck", "migrate", "nodes remove"}
	for _, row := range rows {
		got := ctl(t, append(strings.Fields(row.args), "--json")...)
		if got.code != 0 && !strings.HasPrefix(row.args, "doctor") { // this machine may be small
			t.Errorf("%s: %d %s", row.args, got.code, got.stderr)
			continue
		}
		values := json.NewDecoder(strings.NewReader(got.out))
		var value map[string]any
		if err := values.Decode(&value); err != nil || values.More() {
			t.Errorf("%s printed no single JSON value: %v\n%s", row.args, err, got.out)
		}
		if row.is != own {
			if err := rpc.JSONUnmarshal().Unmarshal([]byte(got.out), row.is); err != nil {
				t.Errorf("%s is not the API's %T: %v\n%s", row.args, row.is, err, got.out)
			}
		}
	}
	everyCommand(t, func(t *testing.T, path string, cmd *cobra.Command) {
		if cmd.HasSubCommands() || slices.Contains(elsewhere, path) {
			return
		}
		for _, row := range rows {
			if row.args == path || strings.HasPrefix(row.args, path+" ") {
				return
			}
		}
		t.Errorf("%s is not among the rows", path)
	})
	for reason, of := range map[string]string{"node_alive": node, "node_not_found": "nothing"} {
		var p problem
		got := ctl(t, "nodes", "remove", of, "--json")
		if err := json.Unmarshal([]byte(got.stderr), &p); err != nil || got.code != exitFailure || p.Code != reason {
			t.Errorf("nodes remove %s: %+v, %v", of, got, err)
		}
	}
	got := ctl(t, "videos", "show", "nothing", "--json")
	var p problem
	if err := json.Unmarshal([]byte(got.stderr), &p); err != nil || got.code != exitFailure || got.out != "" || p.Status != 404 || p.Code != "video_not_found" {
		t.Errorf("an error of the node: %+v, %v", got, err)
	}
}

// TestEveryCallHasACommand: what the API can, the command line can.
func TestEveryCallHasACommand(t *testing.T) {
	commands := map[string]string{
		"CreateVideo": "push", "GetVideo": "videos show", "ListVideos": "videos list", "UpdateVideo": "videos update",
		"DeleteVideo": "videos delete", "ListUploads": "uploads list", "GetUpload": "uploads show", "FetchUpload": "uploads fetch", "CreateTask": "tasks create", "GetTask": "tasks show",
		"ListTasks": "tasks list", "CancelTask": "tasks cancel", "PauseTask": "tasks pause", "ResumeTask": "tasks resume",
		"RetryTask": "tasks retry", "UpdateTask": "tasks priority", "ListJobs": "tasks jobs", "CancelTasks": "tasks cancel",
		"PauseTasks": "tasks pause", "ResumeTasks": "tasks resume", "RetryTasks": "tasks retry", "PrioritiseTasks": "tasks priority",
		"GetQueue": "queue show", "PauseQueue": "queue pause", "ResumeQueue": "queue resume", "ListWorkers": "workers list",
		"DrainWorker": "workers drain", "ResumeWorker": "workers resume", "DrainTranscoder": "transcoder drain",
		"ResumeTranscoder": "transcoder resume", "GetMetrics": "transcoder metrics", "SetVideoRule": "rules set",
		"GetVideoRule": "rules show", "DeleteVideoRule": "rules clear", "PutRule": "rules put", "GetRule": "rules get",
		"ListRules": "rules list", "DeleteRule": "rules delete", "SimulateRule": "rules simulate", "CheckAccess": "rules check",
		"CreateSession": "sessions create", "ListSessions": "sessions list", "EndSession": "sessions end", "CreateCodes": "codes create",
		"ListCodes": "codes list", "DeleteCodes": "codes delete", "CreateKey": "keys create", "ListKeys": "keys list", "RevokeKey": "keys revoke", "GetNode": "nodes show",
		"GetCells": "videos cells", "CreateWebhook": "webhooks create", "GetWebhook": "webhooks show", "ListWebhooks": "webhooks list",
		"UpdateWebhook": "webhooks update", "DeleteWebhook": "webhooks delete", "RotateWebhook": "webhooks rotate", "TestWebhook": "webhooks test",
		"ListDeliveries": "webhooks deliveries", "Redeliver": "webhooks redeliver",
		"ListNodes": "nodes list", "DrainNode": "nodes drain", "ResumeNode": "nodes resume", "RemoveNode": "nodes remove", "GetMetricsHistory": "metrics history", "ListAlerts": "alerts list", "SilenceAlert": "alerts silence",
		"UnsilenceAlert": "alerts unsilence",
	}
	// A viewer's own, with their wallet or their ticket.
	viewers := []string{"CreateNonce", "SignIn", "SignOut", "GetLogin", "RenewSession", "LeaveSession"}
	root := newRoot(&env{stdout: io.Discard, stderr: io.Discard})
	services := rpc.File_streamgate_proto.Services()
	for i := range services.Len() {
		methods := services.Get(i).Methods()
		for j := range methods.Len() {
			checkCall(t, root, methods.Get(j), commands, viewers)
		}
	}
}

func checkCall(t *testing.T, root *cobra.Command, m protoreflect.MethodDescriptor, commands map[string]string, viewers []string) {
	t.Helper()
	name := string(m.Name())
	if !proto.HasExtension(m.Options(), annotations.E_Http) || slices.Contains(viewers, name) {
		return
	}
	cmd, rest, err := root.Find(strings.Fields(commands[name]))
	if commands[name] == "" || err != nil || len(rest) > 0 || !cmd.Runnable() {
		t.Errorf("%s has no command %q", name, commands[name])
	}
}

// clip makes a short film with ffmpeg.
func clip(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")
	var said bytes.Buffer
	cmd := exec.Command("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25", "-t", "1",
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", path)
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("ffmpeg: %v\n%s", err, said.String())
	}
	return path
}
