package gateway

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// answer is what the REST edge learns of a call beyond the message: a value in
// the request's context that the handler's interceptor fills in.
type answer struct {
	reached  bool   // the request was read and the service called
	status   int    // 0 for 200
	location string // path of what was made
	secret   bool   // the body must not be kept
	login    *rpc.Login
	signOut  bool // the login's cookie goes
}

type answerKey struct{}

// answerInterceptor notes each successful method's answer.
func answerInterceptor() connect.UnaryInterceptorFunc {
	return func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			a, ok := ctx.Value(answerKey{}).(*answer)
			if !ok { // not REST
				return next(ctx, req)
			}
			a.reached = true
			resp, err := next(ctx, req)
			if err == nil {
				a.status, a.location, a.secret = answerOf(req.Spec().Procedure, resp.Any())
				a.login, _ = resp.Any().(*rpc.Login)
				a.signOut = req.Spec().Procedure == rpc.AccessSignOutProcedure
			}
			return resp, err
		}
	}
}

// answerOf is the table of REST answers other than a plain 200.
func answerOf(procedure string, msg any) (status int, location string, secret bool) {
	switch procedure {
	case rpc.LibraryCreateVideoProcedure:
		if v, ok := msg.(*rpc.Video); ok {
			return http.StatusCreated, "/api/v1/videos/" + v.Id, false
		}
	case rpc.TranscoderCreateTaskProcedure:
		if t, ok := msg.(*rpc.Task); ok {
			return http.StatusAccepted, "/api/v1/tasks/" + t.Id, false
		}
	case rpc.UploadsFetchUploadProcedure:
		if u, ok := msg.(*rpc.Upload); ok {
			return http.StatusAccepted, "/api/v1/uploads/" + u.Id, false
		}
	case rpc.WebhooksCreateWebhookProcedure:
		if w, ok := msg.(*rpc.Webhook); ok {
			return http.StatusCreated, "/api/v1/webhooks/" + w.Id, true
		}
	case rpc.WebhooksTestWebhookProcedure, rpc.WebhooksRedeliverProcedure:
		return http.StatusAccepted, "", false
	case rpc.AccessCreateSessionProcedure, rpc.AccessCreateKeyProcedure, rpc.AccessCreateCodesProcedure:
		return http.StatusCreated, "", true
	case rpc.AccessSignInProcedure, rpc.AccessRenewSessionProcedure, rpc.WebhooksRotateWebhookProcedure:
		return 0, "", true
	case rpc.LibraryDeleteVideoProcedure, rpc.AccessRevokeKeyProcedure, rpc.AccessDeleteVideoRuleProcedure,
		rpc.AccessDeleteRuleProcedure, rpc.AccessDeleteCodesProcedure, rpc.AccessEndSessionProcedure, rpc.MonitorRemoveNodeProcedure,
		rpc.AccessLeaveSessionProcedure, rpc.AccessSignOutProcedure, rpc.WebhooksDeleteWebhookProcedure:
		return http.StatusNoContent, "", false
	}
	return 0, "", false
}
