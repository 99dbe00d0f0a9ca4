package upload

import (
	"context"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/tus/tusd/v2/pkg/handler"

	"streamgate/app/rpc"
)

// chunkType is the media type of bytes in POST and PATCH.
const chunkType = "application/offset+octet-stream"

// busyWait is what a client is asked to wait for a free place.
const busyWait = 5 * time.Second

func (s *Service) newTus() (http.Handler, error) {
	h, err := handler.NewHandler(handler.Config{
		StoreComposer:      s.composer(),
		MaxSize:            s.MaxSize,
		BasePath:           basePath,
		DisableDownload:    true,
		Cors:               &handler.CorsConfig{Disable: true}, // the public edge does that
		Logger:             tusLogger(s.Log),
		AcquireLockTimeout: s.LockWait,
		NetworkTimeout:     s.IdleTimeout,
	})
	if err != nil {
		return nil, err
	}
	return http.StripPrefix(strings.TrimSuffix(basePath, "/"), h), nil
}

// Handler serves tus at /api/v1/uploads and /api/v1/uploads/{id}.
func (s *Service) Handler() http.Handler { return http.HandlerFunc(s.serveTus) }

func (s *Service) serveTus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Tus-Resumable", "1.0.0")
	if r.Method != http.MethodOptions { // what we can is told to everybody
		if err := rpc.Require(r.Context(), rpc.ScopeUploader); err != nil {
			refuseRequest(w, r, err)
			return
		}
	}
	ex := &exchange{interrupt: newInterrupt(w, r)}
	defer ex.interrupt.end(w.Header())
	defer context.AfterFunc(s.stopping, func() { ex.interrupt.now(handler.ErrServerShutdown) })()
	r = overridden(r.WithContext(context.WithValue(r.Context(), exchangeKey{}, ex)))
	ex.deletes = r.Method == http.MethodDelete
	if err := s.precheck(r, ex); err != nil {
		refuseRequest(w, r, err)
		return
	}
	if carriesChunk(r) {
		release, ok := s.slot()
		if !ok {
			refuseBusy(w, r)
			return
		}
		defer release()
	}
	a := &answer{ResponseWriter: w, r: r, ex: ex}
	s.tus.ServeHTTP(a, r)
	a.finish()
}

// overridden resolves X-HTTP-Method-Override once, so that what is checked
// here and what tusd serves are the same method.
func overridden(r *http.Request) *http.Request {
	method := r.Header.Get("X-HTTP-Method-Override")
	if r.Method != http.MethodPost || method == "" {
		return r
	}
	r = r.Clone(r.Context())
	r.Method = method
	r.Header.Del("X-HTTP-Method-Override")
	return r
}

func carriesChunk(r *http.Request) bool {
	return r.Method == http.MethodPatch ||
		r.Method == http.MethodPost && r.Header.Get("Content-Type") == chunkType
}

// precheck refuses what tusd would let pass or name wrongly.
func (s *Service) precheck(r *http.Request, ex *exchange) error {
	if s.stopping.Err() != nil {
		return stopping()
	}
	if length, err := strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64); err == nil && length > s.MaxSize {
		return s.tooLarge() // tusd says 400 when a deferred length arrives
	}
	if r.Method == http.MethodPost {
		if _, err := parseMetadata(strings.Join(r.Header.Values("Upload-Metadata"), ",")); err != nil {
			return err
		}
		if err := checkConcat(r.Header.Get("Upload-Concat")); err != nil {
			return err
		}
	}
	if err := checkChecksum(r, ex); err != nil {
		return err
	}
	return s.checkFetched(r)
}

// checkFetched keeps clients from an upload that the node fetches: it would be
// taken over from the fetch.
func (s *Service) checkFetched(r *http.Request) error {
	if r.Method != http.MethodPatch && r.Method != http.MethodHead {
		return nil
	}
	id := path.Base(r.URL.Path)
	rec, err := s.Catalog.Uploads.Get(r.Context(), id)
	if err != nil || rec.Fetch == nil {
		return nil //nolint:nilerr // tusd comes upon it
	}
	return rpc.Errorf(connect.CodeFailedPrecondition, "upload_fetched",
		"The node fetches this upload itself; GET %s%s tells how far it is.", basePath, id)
}

// checkChecksum reads Upload-Checksum. What cannot be verified is refused: a
// client that sends one relies on it.
func checkChecksum(r *http.Request, ex *exchange) error {
	if _, ok := r.Trailer["Upload-Checksum"]; ok {
		return rpc.Invalid("checksum_unsupported", "Upload-Checksum must be a header; as a trailer it is not verified.")
	}
	lines := r.Header.Values("Upload-Checksum")
	if len(lines) == 0 {
		return nil
	}
	if len(lines) > 1 || !carriesChunk(r) {
		return rpc.Invalid("invalid_checksum", "Upload-Checksum must come once, and with bytes of type %s.", chunkType)
	}
	check, err := parseChecksum(lines[0])
	ex.check = check
	return err
}

func refuseBusy(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Retry-After", strconv.Itoa(int(busyWait/time.Second)))
	refuseRequest(w, r, tooBusy())
}
