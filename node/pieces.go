package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"streamgate/app/rpc"
	"streamgate/node/cluster"
	"streamgate/store"
	"streamgate/store/s3"
)

// Chunks, sound, copies and stills of one video read the same source on many nodes. So
// each piece of a source is one transcoder's, as long as that is there: it reads the
// piece from the bucket and keeps it, and the others have it from there.

// piecePattern is where a node has pieces of sources for others.
const piecePattern = "GET /pieces/{key...}"

// pieceLimit is how long another node may take to send a part of a piece. Then the
// bucket is asked.
const pieceLimit = 5 * time.Second

// askPiece is s3.Options.Peer.
func (k *Kernel) askPiece(ctx context.Context, o store.Object, from, size int64) (data []byte, ok bool) {
	if k.pool == nil {
		return nil, false // the node is still starting
	}
	keeper := k.pool.Keeper(string(RoleTranscoder), fmt.Sprintf("%s %d", o.Key, from/s3.PieceBytes))
	if keeper == "" || keeper == k.NodeID {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(cluster.WithNode(ctx, keeper), pieceLimit)
	defer cancel()
	data, err := k.fetchPiece(ctx, o, from, size)
	if err != nil {
		k.Log.Debug("a piece of a source is read from the bucket", "key", o.Key, "keeper", keeper, "err", err)
	}
	return data, err == nil
}

func (k *Kernel) fetchPiece(ctx context.Context, o store.Object, from, size int64) ([]byte, error) {
	query := url.Values{"etag": {o.ETag}}
	for name, n := range map[string]int64{"of": o.Size, "from": from, "size": size} {
		query.Set(name, strconv.FormatInt(n, 10))
	}
	at := url.URL{Scheme: "https", Host: "pieces", Path: "/pieces/" + o.Key, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := k.pool.Streaming(string(RoleTranscoder)).RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.ContentLength != size {
		return nil, fmt.Errorf("the node answers %s, %d bytes", res.Status, res.ContentLength)
	}
	data := make([]byte, size)
	_, err = io.ReadFull(res.Body, data)
	return data, err
}

// servePiece sends a part of a piece to another node.
func (k *Kernel) servePiece(w http.ResponseWriter, r *http.Request) {
	o := store.Object{Key: r.PathValue("key"), ETag: r.FormValue("etag")}
	var from, size int64
	var err error
	for name, n := range map[string]*int64{"of": &o.Size, "from": &from, "size": &size} {
		var perr error
		*n, perr = strconv.ParseInt(r.FormValue(name), 10, 64)
		err = errors.Join(err, perr)
	}
	if err != nil {
		rpc.WriteProblem(w, r, rpc.Invalid("invalid_request", "A piece is asked for by etag, of, from and size."))
		return
	}
	data, err := k.pieces.Part(r.Context(), o, from, size)
	if err != nil {
		rpc.WriteProblem(w, r, err)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.Write(data) // if it fails the other node reads the bucket
}
