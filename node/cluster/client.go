package cluster

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"connectrpc.com/connect"

	"streamgate/app/rpc"
)

// HTTPClient calls nodes of a role over gRPC, with ClientOptions.
func (p *Pool) HTTPClient(role string) *http.Client {
	return &http.Client{Transport: p.Transport(role)}
}

// URL is the base URL of a role's services for HTTPClient.
func URL(role string) string { return "https://" + role + domain }

// rpcLimit bounds a call whose caller sets no deadline.
const rpcLimit = 30 * time.Second

// noNodeRetry is when a caller that found no node of a role may try again.
const noNodeRetry = 5 * time.Second

// ClientOptions are what the clients of a role's services are made with: gRPC, a
// deadline, repeats of what is harmless, and errors that are the service's own or
// say that no node answers.
func ClientOptions(role string) []connect.ClientOption {
	return []connect.ClientOption{
		connect.WithGRPC(), rpc.SendTrace(),
		connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
			return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
				if _, ok := ctx.Deadline(); !ok {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, rpcLimit)
					defer cancel()
				}
				if harmless(req.Spec()) {
					ctx = WithRepeat(ctx)
				}
				resp, err := next(ctx, req)
				if err != nil {
					return nil, plain(ctx, role, harmless(req.Spec()), err)
				}
				return resp, nil
			}
		})),
	}
}

// twice are the procedures beside reads that have the same effect if done twice.
var twice = []string{
	rpc.TranscoderDemandProcedure, rpc.TranscoderCancelTaskProcedure, rpc.TranscoderPauseTaskProcedure,
	rpc.TranscoderResumeTaskProcedure, rpc.TranscoderCreateTaskProcedure,
}

func harmless(spec connect.Spec) bool {
	return spec.IdempotencyLevel == connect.IdempotencyNoSideEffects || slices.Contains(twice, spec.Procedure)
}

// plain is an error of a call as a service here would have made it: code, text and
// details, without the headers of the answer.
func plain(ctx context.Context, role string, harmless bool, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return ctx.Err()
	}
	var coded *connect.Error
	if reason, _ := rpc.Reason(err); reason == "" || !errors.As(err, &coded) {
		return unanswered(role, harmless, err)
	}
	own := connect.NewError(coded.Code(), errors.New(coded.Message()))
	for _, d := range coded.Details() {
		own.AddDetail(d)
	}
	return own
}

// unanswered is an error that no service made, for those have a reason: nobody was
// reached, or who was reached did not get to answer.
func unanswered(role string, harmless bool, err error) error {
	var none *untaken
	if harmless || errors.Is(err, ErrNoNode) || errors.As(err, &none) {
		return rpc.RetryErrorf(noNodeRetry, connect.CodeUnavailable, "role_unavailable",
			"No node with the role %s answers now; try again in a moment. (%s)", role, err)
	}
	return rpc.RetryErrorf(noNodeRetry, connect.CodeUnavailable, "outcome_unknown",
		"The node with the role %s was lost before it answered, so whether this was done is not known. Look, then try again. (%s)", role, err)
}
