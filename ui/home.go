package ui

import (
	"context"
	"fmt"
	"net/http"

	"streamgate/app/rpc"
	"streamgate/store"
)

// homePages is how many pages of the library one look at the home page may
// cost.
const homePages = 10

// homeView is what the home page shows.
type homeView struct{ Videos []*rpc.Video }

// home lists the public videos that can be watched.
func (u *UI) home(w http.ResponseWriter, r *http.Request) {
	videos, err := u.watchable(system(r))
	if err != nil {
		u.cannot(w, r, fmt.Errorf("list the videos: %w", err), "The videos cannot be listed just now.")
		return
	}
	u.render(w, r, http.StatusOK, layout(u.Assets, "Videos", homePage(u.Assets, homeView{videos})))
}

// watchable returns the newest public videos that play. It reads page by page
// until one is full, since private videos may stand before them; but never
// more than homePages, since anybody may ask.
func (u *UI) watchable(ctx context.Context) ([]*rpc.Video, error) {
	var found []*rpc.Video
	cursor := ""
	for range homePages {
		list, err := u.Library.ListVideos(ctx, &rpc.ListVideosRequest{Limit: store.MaxLimit, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		for _, v := range list.Videos {
			if v.Public && (v.State == "playable" || v.State == "ready") {
				found = append(found, v)
			}
		}
		cursor = list.NextCursor
		if cursor == "" || len(found) >= store.MaxLimit {
			break
		}
	}
	return found[:min(len(found), store.MaxLimit)], nil
}
