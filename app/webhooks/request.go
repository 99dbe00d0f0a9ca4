package webhooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standard "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"streamgate/app/egress"
	"streamgate/store"
)

// maxAnswer is how much of an answer's body is read and kept, bytes.
const maxAnswer = 4096

// outcome is what came of one attempt.
type outcome struct {
	status     int // HTTP; 0 without an answer
	answer     string
	err        error // without an answer
	retryAfter time.Duration
	cut        bool // the node stopped: this was no attempt
}

func (o outcome) ok() bool   { return o.status >= 200 && o.status < 300 }
func (o outcome) gone() bool { return o.status == http.StatusGone }

// failure says what is wrong in one sentence; "" if nothing is.
func (o outcome) failure() string {
	switch {
	case o.ok():
		return ""
	case o.err != nil:
		return o.err.Error()
	case o.status >= 300 && o.status < 400:
		return fmt.Sprintf("The endpoint answered %d; redirects are not followed.", o.status)
	default:
		return fmt.Sprintf("The endpoint answered %d.", o.status)
	}
}

// send makes one attempt.
func (s *Service) send(ctx context.Context, w store.Webhook, d store.Delivery) outcome {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	req, err := s.request(ctx, w, d)
	if err != nil {
		return outcome{err: err}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return outcome{err: s.sentence(ctx, err)}
	}
	defer resp.Body.Close()
	// The status is the answer: a body that does not come whole changes nothing.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return outcome{status: resp.StatusCode, answer: text(body), retryAfter: retryAfter(resp)}
}

// request is the attempt's request, signed for this moment.
func (s *Service) request(ctx context.Context, w store.Webhook, d store.Delivery) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(d.Payload))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	now := time.Now()
	signature, err := sign(w.Keys, eventID(d), now, d.Payload)
	if err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "StreamGate/"+s.Version)
	req.Header.Set(standard.HeaderWebhookID, eventID(d))
	req.Header.Set(standard.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standard.HeaderWebhookSignature, signature)
	return req, nil
}

// sentence says why there was no answer, without the URL, which its reader
// knows.
func (s *Service) sentence(ctx context.Context, err error) error {
	var refused egress.RefusedError
	var wrapped *url.Error
	switch {
	case errors.As(err, &refused):
		return privateAddress(refused)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("The endpoint did not answer within %s.", s.Timeout) //nolint:staticcheck // a sentence for people
	case errors.As(err, &wrapped):
		err = wrapped.Err
	}
	return fmt.Errorf("The endpoint cannot be reached: %w", err) //nolint:staticcheck // see above
}

// text is a body as text that every store can keep.
func text(body []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(body), "\uFFFD"), "\x00", "\uFFFD")
}
