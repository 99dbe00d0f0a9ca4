package webhooks

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"streamgate/app/rpc"
	"streamgate/store"
)

// view shows a webhook, without its keys.
func view(w store.Webhook) *rpc.Webhook {
	out := &rpc.Webhook{
		Id: w.ID, Url: w.URL, Description: w.Description, Events: w.Events, Enabled: w.State == store.WebhookEnabled,
		CreatedAt: timestamppb.New(w.Created), UpdatedAt: timestamppb.New(w.Updated), FailingSince: stamp(w.Failing),
	}
	if w.Failure != nil {
		out.Failure = &rpc.Failure{Code: w.Failure.Code, Message: w.Failure.Message}
	}
	return out
}

// viewWithSecret shows a webhook to whoever has just made its key.
func viewWithSecret(w store.Webhook, key store.WebhookKey) *rpc.Webhook {
	out := view(w)
	out.Secret = secretOf(key)
	return out
}

func viewDelivery(d store.Delivery) (*rpc.Delivery, error) {
	payload := &structpb.Struct{}
	if err := payload.UnmarshalJSON(d.Payload); err != nil {
		return nil, fmt.Errorf("read the payload of delivery %s: %w", d.ID, err)
	}
	return &rpc.Delivery{
		Id: d.ID, WebhookId: d.WebhookID, Event: d.Event, EventId: eventID(d), State: string(d.State),
		Attempts: int32(d.Attempts), LastStatus: int32(d.LastStatus), LastError: d.LastError, Answer: d.Answer,
		NextAttemptAt: stamp(d.Next), CreatedAt: timestamppb.New(d.Created), FinishedAt: stamp(d.Finished), Payload: payload,
	}, nil
}

// stamp is nil for the zero time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
