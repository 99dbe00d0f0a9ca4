package console

import (
	"context"
	"encoding/json"
	"reflect"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"streamgate/app/rpc"
	"streamgate/store"
)

// marshal writes a message as the API shows it, and anything else as JSON.
// Secrets are left out.
func marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return json.Marshal(v)
	}
	m = proto.Clone(m)
	switch m := m.(type) {
	case *rpc.Key:
		m.Secret = ""
	case *rpc.Webhook:
		m.Secret = ""
	case *rpc.Session:
		sealed := &rpc.Session{Id: m.Id, VideoId: m.VideoId, Wallet: m.Wallet, Preview: m.Preview, EndsAt: m.EndsAt}
		return marshalPlain(sealed) // its links are as good as its ticket
	}
	return marshalPlain(m)
}

func marshalPlain(m proto.Message) ([]byte, error) {
	data, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	var tidy map[string]json.RawMessage // protojson's spaces are random
	if err := json.Unmarshal(data, &tidy); err != nil {
		return nil, err
	}
	return json.Marshal(tidy)
}

// reader looks at something before it is changed; what cannot be read is nil.
type reader func() (proto.Message, error)

// recorded makes a change and appends it: what stood there before, and, if
// there is one, the answer.
func recorded[R proto.Message](ctx context.Context, l *Log, action, object string, before reader, change func() (R, error)) (R, error) {
	c := Change{Action: action, Object: object}
	if before != nil {
		if m, err := before(); err == nil {
			c.Before = m
		}
	}
	out, err := change()
	if err != nil {
		return out, err
	}
	if c.Object == "" {
		c.Object = idIn(out)
	}
	if !isEmpty(out) {
		c.After = out
	}
	if err := l.Append(ctx, c); err != nil {
		var none R
		return none, unrecorded(ctx, err)
	}
	return out, nil
}

// idIn is the id of what a message describes.
func idIn(m proto.Message) string {
	if has, ok := m.(interface{ GetId() string }); ok {
		return has.GetId()
	}
	return ""
}

func isEmpty(m proto.Message) bool {
	return reflect.ValueOf(m).IsNil() || proto.Size(m) == 0
}

// uploads records what its callers begin and give up over RPC.
type uploads struct {
	rpc.UploadsClient
	log *Log
}

// Uploads returns the uploads with the changes recorded that do not come over tus.
func (l *Log) Uploads(c rpc.UploadsClient) rpc.UploadsClient { return &uploads{c, l} }

// FetchUpload implements rpc.UploadsClient.
func (s *uploads) FetchUpload(ctx context.Context, req *rpc.FetchUploadRequest) (*rpc.Upload, error) {
	return recorded(ctx, s.log, "upload.fetch", "", nil, func() (*rpc.Upload, error) { return s.UploadsClient.FetchUpload(ctx, req) })
}

// DeleteUpload implements rpc.UploadsClient.
func (s *uploads) DeleteUpload(ctx context.Context, req *rpc.DeleteUploadRequest) (*rpc.DeleteUploadResponse, error) {
	return recorded(ctx, s.log, "upload.delete", req.GetId(), nil, func() (*rpc.DeleteUploadResponse, error) {
		return s.UploadsClient.DeleteUpload(ctx, req)
	})
}

// library records what its callers change.
type library struct {
	rpc.LibraryClient
	log *Log
}

// Library returns the library with its changes recorded.
func (l *Log) Library(c rpc.LibraryClient) rpc.LibraryClient { return &library{c, l} }

func (s *library) video(ctx context.Context, id string) reader {
	return func() (proto.Message, error) { return s.GetVideo(ctx, &rpc.GetVideoRequest{Id: id}) }
}

func (s *library) CreateVideo(ctx context.Context, req *rpc.CreateVideoRequest) (*rpc.Video, error) {
	return recorded(ctx, s.log, "video.create", "", nil, func() (*rpc.Video, error) { return s.LibraryClient.CreateVideo(ctx, req) })
}

func (s *library) UpdateVideo(ctx context.Context, req *rpc.UpdateVideoRequest) (*rpc.Video, error) {
	return recorded(ctx, s.log, "video.update", req.Id, s.video(ctx, req.Id), func() (*rpc.Video, error) { return s.LibraryClient.UpdateVideo(ctx, req) })
}

func (s *library) DeleteVideo(ctx context.Context, req *rpc.DeleteVideoRequest) (*rpc.DeleteVideoResponse, error) {
	return recorded(ctx, s.log, "video.delete", req.Id, s.video(ctx, req.Id), func() (*rpc.DeleteVideoResponse, error) { return s.LibraryClient.DeleteVideo(ctx, req) })
}

// Deletions are deletions of videos that can be undone for a while.
type Deletions interface {
	// Delete deletes a video, for good at the DeleteAt of what it returns.
	Delete(ctx context.Context, id string) (store.Video, error)
	// Undo brings a deleted video back.
	Undo(ctx context.Context, id string) (store.Video, error)
	// List returns the videos that are deleted and not gone.
	List(ctx context.Context) ([]store.Video, error)
}

type deletions struct {
	Deletions
	log *Log
}

// Deletions returns them with their changes recorded.
func (l *Log) Deletions(d Deletions) Deletions { return &deletions{d, l} }

func (s *deletions) Delete(ctx context.Context, id string) (store.Video, error) {
	v, err := s.Deletions.Delete(ctx, id)
	if err != nil {
		return v, err
	}
	c := Change{
		Action: "video.delete", Object: id, After: map[string]any{"delete_at": v.DeleteAt},
		Before: map[string]any{"title": v.Title, "state": v.State, "public": v.Public, "gated": len(v.Rule) > 0, "size_bytes": v.SizeBytes},
	}
	if err := s.log.Append(ctx, c); err != nil {
		return v, unrecorded(ctx, err)
	}
	return v, nil
}

func (s *deletions) Undo(ctx context.Context, id string) (store.Video, error) {
	v, err := s.Deletions.Undo(ctx, id)
	if err != nil {
		return v, err
	}
	if err := s.log.Append(ctx, Change{Action: "video.undelete", Object: id, After: map[string]any{"title": v.Title}}); err != nil {
		return v, unrecorded(ctx, err)
	}
	return v, nil
}

// transcoder records what its callers change.
type transcoder struct {
	rpc.TranscoderClient
	log *Log
}

// Transcoder returns the transcoder with its changes recorded.
func (l *Log) Transcoder(c rpc.TranscoderClient) rpc.TranscoderClient { return &transcoder{c, l} }

func (s *transcoder) task(ctx context.Context, action, id string, change func() (*rpc.Task, error)) (*rpc.Task, error) {
	before := func() (proto.Message, error) { return s.GetTask(ctx, &rpc.GetTaskRequest{Id: id}) }
	return recorded(ctx, s.log, action, id, before, change)
}

func (s *transcoder) CreateTask(ctx context.Context, req *rpc.CreateTaskRequest) (*rpc.Task, error) {
	return recorded(ctx, s.log, "task.create", "", nil, func() (*rpc.Task, error) { return s.TranscoderClient.CreateTask(ctx, req) })
}

func (s *transcoder) CancelTask(ctx context.Context, req *rpc.CancelTaskRequest) (*rpc.Task, error) {
	return s.task(ctx, "task.cancel", req.Id, func() (*rpc.Task, error) { return s.TranscoderClient.CancelTask(ctx, req) })
}

func (s *transcoder) PauseTask(ctx context.Context, req *rpc.PauseTaskRequest) (*rpc.Task, error) {
	return s.task(ctx, "task.pause", req.Id, func() (*rpc.Task, error) { return s.TranscoderClient.PauseTask(ctx, req) })
}

func (s *transcoder) ResumeTask(ctx context.Context, req *rpc.ResumeTaskRequest) (*rpc.Task, error) {
	return s.task(ctx, "task.resume", req.Id, func() (*rpc.Task, error) { return s.TranscoderClient.ResumeTask(ctx, req) })
}

func (s *transcoder) RetryTask(ctx context.Context, req *rpc.RetryTaskRequest) (*rpc.Task, error) {
	return s.task(ctx, "task.retry", req.Id, func() (*rpc.Task, error) { return s.TranscoderClient.RetryTask(ctx, req) })
}

func (s *transcoder) UpdateTask(ctx context.Context, req *rpc.UpdateTaskRequest) (*rpc.Task, error) {
	return s.task(ctx, "task.update", req.Id, func() (*rpc.Task, error) { return s.TranscoderClient.UpdateTask(ctx, req) })
}

// bulk records what was asked for and what came of it.
func (s *transcoder) bulk(ctx context.Context, action string, req *rpc.ChangeTasksRequest, change func(context.Context, *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error)) (*rpc.ChangeTasksResponse, error) {
	out, err := change(ctx, req)
	if err != nil {
		return nil, err
	}
	err = s.log.Append(ctx, Change{Action: action, Before: map[string]any{"asked": req}, After: out})
	if err != nil {
		return nil, unrecorded(ctx, err)
	}
	return out, nil
}

func (s *transcoder) CancelTasks(ctx context.Context, req *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	return s.bulk(ctx, "tasks.cancel", req, s.TranscoderClient.CancelTasks)
}

func (s *transcoder) PauseTasks(ctx context.Context, req *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	return s.bulk(ctx, "tasks.pause", req, s.TranscoderClient.PauseTasks)
}

func (s *transcoder) ResumeTasks(ctx context.Context, req *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	return s.bulk(ctx, "tasks.resume", req, s.TranscoderClient.ResumeTasks)
}

func (s *transcoder) RetryTasks(ctx context.Context, req *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	return s.bulk(ctx, "tasks.retry", req, s.TranscoderClient.RetryTasks)
}

func (s *transcoder) PrioritiseTasks(ctx context.Context, req *rpc.ChangeTasksRequest) (*rpc.ChangeTasksResponse, error) {
	return s.bulk(ctx, "tasks.prioritise", req, s.TranscoderClient.PrioritiseTasks)
}

func (s *transcoder) PauseQueue(ctx context.Context, req *rpc.PauseQueueRequest) (*rpc.QueueState, error) {
	out, err := s.TranscoderClient.PauseQueue(ctx, req)
	return out, s.plain(ctx, err, "queue.pause", "")
}

func (s *transcoder) ResumeQueue(ctx context.Context, req *rpc.ResumeQueueRequest) (*rpc.QueueState, error) {
	out, err := s.TranscoderClient.ResumeQueue(ctx, req)
	return out, s.plain(ctx, err, "queue.resume", "")
}

func (s *transcoder) DrainWorker(ctx context.Context, req *rpc.DrainWorkerRequest) (*rpc.Worker, error) {
	out, err := s.TranscoderClient.DrainWorker(ctx, req)
	return out, s.plain(ctx, err, "worker.drain", req.Id)
}

func (s *transcoder) ResumeWorker(ctx context.Context, req *rpc.ResumeWorkerRequest) (*rpc.Worker, error) {
	out, err := s.TranscoderClient.ResumeWorker(ctx, req)
	return out, s.plain(ctx, err, "worker.resume", req.Id)
}

func (s *transcoder) DrainTranscoder(ctx context.Context, req *rpc.DrainTranscoderRequest) (*rpc.ListWorkersResponse, error) {
	out, err := s.TranscoderClient.DrainTranscoder(ctx, req)
	return out, s.plain(ctx, err, "transcoder.drain", "")
}

func (s *transcoder) ResumeTranscoder(ctx context.Context, req *rpc.ResumeTranscoderRequest) (*rpc.ListWorkersResponse, error) {
	out, err := s.TranscoderClient.ResumeTranscoder(ctx, req)
	return out, s.plain(ctx, err, "transcoder.resume", "")
}

// plain records a change of which the action says all.
func (s *transcoder) plain(ctx context.Context, err error, action, object string) error {
	if err != nil {
		return err
	}
	if err := s.log.Append(ctx, Change{Action: action, Object: object}); err != nil {
		return unrecorded(ctx, err)
	}
	return nil
}

// access records what operators change; what viewers do is no change.
type access struct {
	rpc.AccessClient
	log *Log
}

// Access returns access with the changes of operators recorded.
func (l *Log) Access(c rpc.AccessClient) rpc.AccessClient { return &access{c, l} }

func (s *access) videoRule(ctx context.Context, id string) reader {
	return func() (proto.Message, error) {
		return s.GetVideoRule(ctx, &rpc.GetVideoRuleRequest{VideoId: id})
	}
}

func (s *access) SetVideoRule(ctx context.Context, req *rpc.SetVideoRuleRequest) (*rpc.VideoRule, error) {
	return recorded(ctx, s.log, "video.rule", req.VideoId, s.videoRule(ctx, req.VideoId), func() (*rpc.VideoRule, error) { return s.AccessClient.SetVideoRule(ctx, req) })
}

func (s *access) DeleteVideoRule(ctx context.Context, req *rpc.DeleteVideoRuleRequest) (*rpc.DeleteVideoRuleResponse, error) {
	return recorded(ctx, s.log, "video.rule_delete", req.VideoId, s.videoRule(ctx, req.VideoId), func() (*rpc.DeleteVideoRuleResponse, error) { return s.AccessClient.DeleteVideoRule(ctx, req) })
}

func (s *access) rule(ctx context.Context, name string) reader {
	return func() (proto.Message, error) { return s.GetRule(ctx, &rpc.GetRuleRequest{Name: name}) }
}

func (s *access) PutRule(ctx context.Context, req *rpc.PutRuleRequest) (*rpc.Rule, error) {
	return recorded(ctx, s.log, "rule.put", req.Name, s.rule(ctx, req.Name), func() (*rpc.Rule, error) { return s.AccessClient.PutRule(ctx, req) })
}

func (s *access) DeleteRule(ctx context.Context, req *rpc.DeleteRuleRequest) (*rpc.DeleteRuleResponse, error) {
	return recorded(ctx, s.log, "rule.delete", req.Name, s.rule(ctx, req.Name), func() (*rpc.DeleteRuleResponse, error) { return s.AccessClient.DeleteRule(ctx, req) })
}

// CreateSession is a change if a key or the machine's owner asks. Viewers' own
// are decisions, and too many; a person of the console only looks at the page.
func (s *access) CreateSession(ctx context.Context, req *rpc.CreateSessionRequest) (*rpc.Session, error) {
	if who := rpc.Caller(ctx); who.Scope == rpc.ScopeNone || who.Person != "" {
		return s.AccessClient.CreateSession(ctx, req)
	}
	return recorded(ctx, s.log, "session.create", "", nil, func() (*rpc.Session, error) { return s.AccessClient.CreateSession(ctx, req) })
}

func (s *access) EndSession(ctx context.Context, req *rpc.EndSessionRequest) (*rpc.EndSessionResponse, error) {
	return recorded(ctx, s.log, "session.end", req.Id, nil, func() (*rpc.EndSessionResponse, error) { return s.AccessClient.EndSession(ctx, req) })
}

func (s *access) CreateCodes(ctx context.Context, req *rpc.CreateCodesRequest) (*rpc.Codes, error) {
	out, err := s.AccessClient.CreateCodes(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := s.log.Append(ctx, Change{Action: "codes.create", Object: req.Pool, After: map[string]any{"count": len(out.Codes)}}); err != nil {
		return nil, unrecorded(ctx, err)
	}
	return out, nil
}

func (s *access) DeleteCodes(ctx context.Context, req *rpc.DeleteCodesRequest) (*rpc.DeleteCodesResponse, error) {
	return recorded(ctx, s.log, "codes.delete", req.Pool, nil, func() (*rpc.DeleteCodesResponse, error) { return s.AccessClient.DeleteCodes(ctx, req) })
}

func (s *access) CreateKey(ctx context.Context, req *rpc.CreateKeyRequest) (*rpc.Key, error) {
	return recorded(ctx, s.log, "key.create", "", nil, func() (*rpc.Key, error) { return s.AccessClient.CreateKey(ctx, req) })
}

func (s *access) RevokeKey(ctx context.Context, req *rpc.RevokeKeyRequest) (*rpc.RevokeKeyResponse, error) {
	return recorded(ctx, s.log, "key.revoke", req.Id, nil, func() (*rpc.RevokeKeyResponse, error) { return s.AccessClient.RevokeKey(ctx, req) })
}

// webhooks records what its callers change.
type webhooks struct {
	rpc.WebhooksClient
	log *Log
}

// Webhooks returns the webhooks with their changes recorded.
func (l *Log) Webhooks(c rpc.WebhooksClient) rpc.WebhooksClient { return &webhooks{c, l} }

func (s *webhooks) webhook(ctx context.Context, id string) reader {
	return func() (proto.Message, error) { return s.GetWebhook(ctx, &rpc.GetWebhookRequest{Id: id}) }
}

func (s *webhooks) CreateWebhook(ctx context.Context, req *rpc.CreateWebhookRequest) (*rpc.Webhook, error) {
	return recorded(ctx, s.log, "webhook.create", "", nil, func() (*rpc.Webhook, error) { return s.WebhooksClient.CreateWebhook(ctx, req) })
}

func (s *webhooks) UpdateWebhook(ctx context.Context, req *rpc.UpdateWebhookRequest) (*rpc.Webhook, error) {
	return recorded(ctx, s.log, "webhook.update", req.Id, s.webhook(ctx, req.Id), func() (*rpc.Webhook, error) { return s.WebhooksClient.UpdateWebhook(ctx, req) })
}

func (s *webhooks) DeleteWebhook(ctx context.Context, req *rpc.DeleteWebhookRequest) (*rpc.DeleteWebhookResponse, error) {
	return recorded(ctx, s.log, "webhook.delete", req.Id, s.webhook(ctx, req.Id), func() (*rpc.DeleteWebhookResponse, error) { return s.WebhooksClient.DeleteWebhook(ctx, req) })
}

func (s *webhooks) RotateWebhook(ctx context.Context, req *rpc.RotateWebhookRequest) (*rpc.Webhook, error) {
	return recorded(ctx, s.log, "webhook.rotate", req.Id, s.webhook(ctx, req.Id), func() (*rpc.Webhook, error) { return s.WebhooksClient.RotateWebhook(ctx, req) })
}

func (s *webhooks) TestWebhook(ctx context.Context, req *rpc.TestWebhookRequest) (*rpc.Delivery, error) {
	out, err := s.WebhooksClient.TestWebhook(ctx, req)
	return sent(ctx, s.log, "webhook.test", req.Id, out, err)
}

func (s *webhooks) Redeliver(ctx context.Context, req *rpc.RedeliverRequest) (*rpc.Delivery, error) {
	out, err := s.WebhooksClient.Redeliver(ctx, req)
	return sent(ctx, s.log, "webhook.redeliver", req.WebhookId, out, err)
}

// sent records that somebody had a delivery made: which, and not what was in it.
func sent(ctx context.Context, l *Log, action, webhook string, d *rpc.Delivery, err error) (*rpc.Delivery, error) {
	if err != nil {
		return nil, err
	}
	if err := l.Append(ctx, Change{Action: action, Object: webhook, After: map[string]any{"delivery_id": d.Id, "event": d.Event}}); err != nil {
		return nil, unrecorded(ctx, err)
	}
	return d, nil
}

// alerts records what its callers silence.
type alerts struct {
	rpc.AlertsClient
	log *Log
}

// Alerts returns the alerts with their silences recorded.
func (l *Log) Alerts(c rpc.AlertsClient) rpc.AlertsClient { return &alerts{c, l} }

func (s *alerts) SilenceAlert(ctx context.Context, req *rpc.SilenceAlertRequest) (*rpc.Alert, error) {
	out, err := s.AlertsClient.SilenceAlert(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := s.log.Append(ctx, Change{Action: "alert.silence", Object: req.Id, After: out.Silence}); err != nil {
		return nil, unrecorded(ctx, err)
	}
	return out, nil
}

func (s *alerts) UnsilenceAlert(ctx context.Context, req *rpc.UnsilenceAlertRequest) (*rpc.Alert, error) {
	out, err := s.AlertsClient.UnsilenceAlert(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := s.log.Append(ctx, Change{Action: "alert.unsilence", Object: req.Id}); err != nil {
		return nil, unrecorded(ctx, err)
	}
	return out, nil
}

// monitor records what its callers do to nodes.
type monitor struct {
	rpc.MonitorClient
	log *Log
}

// Monitor returns the monitor with the changes of nodes recorded.
func (l *Log) Monitor(c rpc.MonitorClient) rpc.MonitorClient { return &monitor{c, l} }

// DrainNode implements rpc.MonitorClient.
func (s *monitor) DrainNode(ctx context.Context, req *rpc.DrainNodeRequest) (*rpc.Node, error) {
	out, err := s.MonitorClient.DrainNode(ctx, req)
	return s.node(ctx, "node.drain", out, err)
}

// ResumeNode implements rpc.MonitorClient.
func (s *monitor) ResumeNode(ctx context.Context, req *rpc.ResumeNodeRequest) (*rpc.Node, error) {
	out, err := s.MonitorClient.ResumeNode(ctx, req)
	return s.node(ctx, "node.resume", out, err)
}

// node records what a node has come to; of all that is known of it only the state.
func (s *monitor) node(ctx context.Context, action string, n *rpc.Node, err error) (*rpc.Node, error) {
	if err != nil {
		return nil, err
	}
	change := Change{Action: action, Object: n.Id, After: map[string]any{"state": n.State, "roles": n.Roles, "host": n.Host}}
	if err := s.log.Append(ctx, change); err != nil {
		return nil, unrecorded(ctx, err)
	}
	return n, nil
}

// RemoveNode implements rpc.MonitorClient.
func (s *monitor) RemoveNode(ctx context.Context, req *rpc.RemoveNodeRequest) (*rpc.RemoveNodeResponse, error) {
	return recorded(ctx, s.log, "node.remove", req.Id, nil, func() (*rpc.RemoveNodeResponse, error) { return s.MonitorClient.RemoveNode(ctx, req) })
}
