package alerts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"streamgate/store"
)

// Ntfy is a topic of ntfy (https://ntfy.sh) that is told of alerts.
type Ntfy struct {
	URL   string // of the topic; "" for none
	Token string // sent as Authorization: Bearer, if there is one
}

const (
	pushTimeout = 15 * time.Second
	pushFor     = time.Hour // then it is given up
)

// pause is the time after an attempt until the next.
func pause(attempt int) time.Duration { return min(5*time.Second<<min(attempt, 10), 5*time.Minute) }

// newClient follows no redirect: the token is for the configured address only.
func newClient() *http.Client {
	return &http.Client{
		Timeout:       pushTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// push tells the topic of an alert (https://docs.ntfy.sh/publish/).
func (s *Service) push(ctx context.Context, a store.Alert, state store.AlertState) error {
	c, known := s.condition(a.ID)
	text := a.Summary
	if state == store.AlertResolved {
		text = "No more: " + text
	} else if known {
		text += "\n" + c.mend
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Ntfy.URL, strings.NewReader(text))
	if err != nil {
		return fmt.Errorf("make the request to ntfy: %w", err)
	}
	h := req.Header
	h.Set("User-Agent", "StreamGate/"+s.Version)
	h.Set("Title", mime.QEncoding.Encode("utf-8", "StreamGate: "+strings.ReplaceAll(a.Rule, "_", " ")+", "+string(state)))
	h.Set("Priority", priority(a, state))
	h.Set("Tags", tags(a, state))
	if known {
		h.Set("Click", s.PublicURL()+c.page)
	}
	if s.Ntfy.Token != "" {
		h.Set("Authorization", "Bearer "+s.Ntfy.Token)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) { // without the URL, which may be secret
			err = wrapped.Err
		}
		return fmt.Errorf("ntfy cannot be reached: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096)) // so that the connection can be used again
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("ntfy answered %d", resp.StatusCode)
	}
	return nil
}

func priority(a store.Alert, state store.AlertState) string {
	switch {
	case state == store.AlertResolved:
		return "low"
	case a.Severity == Critical:
		return "urgent"
	}
	return "high"
}

func tags(a store.Alert, state store.AlertState) string {
	switch {
	case state == store.AlertResolved:
		return "white_check_mark," + a.Rule
	case a.Severity == Critical:
		return "rotating_light," + a.Rule
	}
	return "warning," + a.Rule
}
