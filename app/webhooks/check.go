package webhooks

import (
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"streamgate/app/egress"
	"streamgate/app/events"
	"streamgate/app/rpc"
)

const (
	maxURL         = 2000 // bytes
	maxDescription = 200  // characters
)

// everyEvent chooses all events, those of later versions included.
const everyEvent = "*"

// checkURL refuses what could never be delivered to. A name is looked up only
// when it is dialled.
func (s *Service) checkURL(text string) error {
	if len(text) > maxURL {
		return rpc.Invalid("invalid_url", "The url has %d bytes; it may have %d.", len(text), maxURL)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.Opaque != "" {
		return rpc.Invalid("invalid_url", "The url %q is not one; write https://host/path.", text)
	}
	if u.User != nil || u.Fragment != "" {
		return rpc.Invalid("invalid_url", "The url may have no user, password or fragment; deliveries are signed instead.")
	}
	if s.AllowPrivate {
		if u.Scheme != "https" && u.Scheme != "http" {
			return rpc.Invalid("invalid_url", "The url begins with %q; write https:// or http://.", u.Scheme)
		}
		return nil
	}
	if u.Scheme != "https" {
		return rpc.Invalid("invalid_url", "The url begins with %q; write https://. Only a node with webhooks.allow_private: true delivers over http.", u.Scheme)
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil && !egress.Public(addr) {
		return rpc.Invalid("private_address", "The address %s is not public; only a node with webhooks.allow_private: true delivers there.", addr)
	}
	return nil
}

func checkDescription(text string) error {
	if utf8.RuneCountInString(text) > maxDescription || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return rpc.Invalid("invalid_description", "The description must be text of at most %d characters without control characters.", maxDescription)
	}
	return nil
}

func checkEvents(names []string) error {
	known := events.ForWebhooks()
	for i, name := range names {
		if name != everyEvent && !slices.Contains(known, name) {
			return rpc.Invalid("unknown_event", "There is no event %q for webhooks; there are %s, and * for all.", name, strings.Join(known, ", "))
		}
		if slices.Contains(names[:i], name) {
			return rpc.Invalid("repeated_event", "The event %q is there twice; write each once.", name)
		}
	}
	return nil
}

// chosen are the events of a new webhook: all of them if it names none.
func chosen(names []string) []string {
	if len(names) == 0 {
		return []string{everyEvent}
	}
	return names
}

// checkUpdate checks what a request gives.
func (s *Service) checkUpdate(req *rpc.UpdateWebhookRequest) error {
	if req.Url != nil {
		if err := s.checkURL(*req.Url); err != nil {
			return err
		}
	}
	if req.Description != nil {
		if err := checkDescription(*req.Description); err != nil {
			return err
		}
	}
	return checkEvents(req.Events)
}
