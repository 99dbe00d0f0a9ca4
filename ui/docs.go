package ui

import "net/http"

// docs shows the API's description, to read and to try.
func (u *UI) docs(w http.ResponseWriter, r *http.Request) {
	u.render(w, r, http.StatusOK, docsPage(u.Assets))
}
