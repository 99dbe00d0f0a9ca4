package console

import (
	"fmt"
	"net/http"

	"streamgate/app/console"
	"streamgate/app/rpc"
	"streamgate/store"
)

// deleteView asks once more, in numbers.
type deleteView struct {
	ID, Title, Bytes          string
	Cells, Watching, UndoWord string
}

// deletedRow is a video that is deleted, for good at Gone.
type deletedRow struct {
	ID, Title string
	Gone      stamp
	May       bool // undo it
}

func (v *visit) newDeletedRow(video store.Video) deletedRow {
	return deletedRow{video.ID, printable(video.Title), ago(video.DeleteAt), v.may(console.Operator)}
}

// undoWord is how long a deletion can be undone.
func (v *visit) undoWord() string { return fmt.Sprintf("%d seconds", int(v.UndoFor.Seconds())) }

func (v *visit) askDelete() {
	id := v.r.PathValue("id")
	video, err := v.Library.GetVideo(v.ctx, &rpc.GetVideoRequest{Id: id})
	if err != nil {
		v.fail(err)
		return
	}
	sessions, err := v.Access.ListSessions(v.ctx, &rpc.ListSessionsRequest{VideoId: id, State: "live", Limit: 200})
	if err != nil {
		v.fail(err)
		return
	}
	view := deleteView{
		ID: id, Title: printable(video.Title), Bytes: size(video.SizeBytes).Short, UndoWord: v.undoWord(),
		Cells:    many(len(video.Renditions), "rendition", "renditions"),
		Watching: many(len(sessions.Sessions), "session", "sessions"),
	}
	v.page(http.StatusOK, "Delete "+view.Title, "/console/videos", deletePage(view))
}

func (v *visit) deleteVideo() {
	video, err := v.Deletions.Delete(v.ctx, v.r.PathValue("id"))
	v.back("/console/videos", "“"+printable(video.Title)+"” is deleted. For "+v.undoWord()+" you can undo it.", err)
}

func (v *visit) undoDelete() {
	id := v.r.PathValue("id")
	video, err := v.Deletions.Undo(v.ctx, id)
	if err != nil {
		v.back("/console/videos", "", err)
		return
	}
	v.back("/console/videos/"+id, "“"+printable(video.Title)+"” is back. Whoever was watching has to open it again.", nil)
}

// deletedRows are the deletions that can still be undone.
func (v *visit) deletedRows() (rows []deletedRow, err error) {
	list, err := v.Deletions.List(v.ctx)
	for _, video := range list {
		if !video.Removing {
			rows = append(rows, v.newDeletedRow(video))
		}
	}
	return rows, err
}

// showDeleted shows a video that is deleted, and tells whether it is one.
func (v *visit) showDeleted(id string) bool {
	rows, err := v.deletedRows()
	if err != nil {
		v.Log.Error("list the deleted videos", "err", err)
		return false
	}
	for _, row := range rows {
		if row.ID == id {
			v.page(http.StatusNotFound, row.Title, "/console/videos", deletedPage(row))
			return true
		}
	}
	return false
}
