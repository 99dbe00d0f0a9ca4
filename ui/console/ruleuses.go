package console

import (
	"connectrpc.com/connect"

	"streamgate/app/rpc"
	"streamgate/store"
)

// What a page looks at to find who refers to a rule, and names of it.
const (
	maxGated = 500
	maxUses  = 20
)

// usedView is what refers to a named rule.
type usedView struct {
	Videos []videoLink // the first of them
	Rules  []ruleRow
	Words  string // "3 videos and 1 rule"
	More   bool   // videos that were not looked at
}

// videoLink is a video by its title.
type videoLink struct{ Path, Title string }

// usedBy looks for references to a rule in those of videos and in other rules.
func (v *visit) usedBy(name string) (out usedView, err error) {
	videos, err := v.allVideos(v.ctx)
	if err != nil {
		return out, err
	}
	gated, found := 0, 0
	for _, video := range videos {
		if !video.Gated {
			continue
		}
		if gated++; gated > maxGated {
			out.More = true
			break
		}
		rule, err := v.Access.GetVideoRule(v.ctx, &rpc.GetVideoRuleRequest{VideoId: video.Id})
		if connect.CodeOf(err) == connect.CodeNotFound {
			continue // it has just been deleted, or its rule
		}
		if err != nil {
			return out, err
		}
		if !refers(rule.Rule.AsMap(), name) {
			continue
		}
		if found++; found <= maxUses {
			out.Videos = append(out.Videos, videoLink{"/console/videos/" + video.Id, printable(video.Title)})
		}
	}
	list, err := v.Access.ListRules(v.ctx, &rpc.ListRulesRequest{Limit: store.MaxLimit})
	if err != nil {
		return out, err
	}
	for _, r := range list.Rules {
		if r.Name != name && refers(r.Rule.AsMap(), name) {
			out.Rules = append(out.Rules, newRuleRow(r))
		}
	}
	out.Words = many(found, "video", "videos") + " and " + many(len(out.Rules), "named rule", "named rules")
	return out, nil
}

// refers tells whether a rule, as JSON, has {"rule": name} in it.
func refers(rule any, name string) bool {
	switch rule := rule.(type) {
	case map[string]any:
		for key, part := range rule {
			if key == "rule" && part == name || refers(part, name) {
				return true
			}
		}
	case []any:
		for _, part := range rule {
			if refers(part, name) {
				return true
			}
		}
	}
	return false
}
