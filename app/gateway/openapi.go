package gateway

import (
	_ "embed"
	"net/http"
	"strconv"

	"streamgate/app/rpc"
)

// openAPI is generated: see openapi.base.json for what the schema cannot say.
//
//go:embed openapi.json
var openAPI []byte

func serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD, OPTIONS")
		rpc.WriteStatus(w, r, http.StatusMethodNotAllowed, "method_not_allowed", "This path takes GET, HEAD, OPTIONS only.")
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(openAPI)))
	h.Set("Access-Control-Allow-Origin", "*") // API explorers run elsewhere
	if r.Method != http.MethodHead {
		w.Write(openAPI) // the client may have gone
	}
}
