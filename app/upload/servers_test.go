package upload_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net/http"
	"strconv"
	"testing"

	"streamgate/app/upload"
	"streamgate/store"
	"streamgate/store/postgres"
	"streamgate/store/s3"
	"streamgate/store/servertest"
	"streamgate/store/storetest"
)

// onServers are two nodes whose records are in PostgreSQL and whose objects in S3;
// each has a client of its own for the latter.
func onServers(t *testing.T) (*nodes, *bench, *bench) {
	t.Helper()
	minio := servertest.NeedMinIO(t, "../../bin/minio")
	pg := servertest.NeedPostgres(t, servertest.PostgresOptions{})
	db, err := postgres.Open(t.Context(), pg.Address("postgres"), postgres.Options{})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	bucket, err := minio.Bucket(t.Context())
	must(t, err)
	connect := func() store.Objects {
		objects, err := s3.Open(t.Context(), s3.Options{
			Endpoint: minio.Address(), Bucket: bucket, AccessKey: servertest.AccessKey, SecretKey: servertest.SecretKey,
			CacheDir: t.TempDir(), CacheBytes: 64 << 20,
		})
		must(t, err)
		t.Cleanup(func() { objects.Close() })
		return objects
	}
	n, a, b := twoNodes(t, func(c *upload.Config) { c.Shared, c.PartBytes = true, store.ComposeMin })
	for _, at := range []*bench{a, b} {
		at.stop()
		at.db, at.cfg.Catalog, at.cfg.Objects = db, db.Catalog(), connect()
		at.tasks.tasks = db.Catalog().Tasks
		at.start()
	}
	return n, a, b
}

// On real servers an upload goes from node to node, in pieces with and without a
// rest of a part, cut and with a checksum, and becomes the source without passing
// a node again.
func TestOnServers(t *testing.T) {
	n, a, b := onServers(t)
	data, id := random(13<<20), a.video()
	url := a.create(len(data), meta("video_id", id, "sha256", hexSum(data)))
	want(t, a.patch(url, 0, data[:1<<20]), 204, "")
	want(t, b.patch(on(b, url), 1<<20, data[1<<20:7<<20]), 204, "")
	n.kill(b)
	body := &cutBody{bytes.NewReader(data[7<<20 : 9<<20]), errCut}
	if _, err := a.try(t.Context(), "PATCH", url, body, "Content-Type", "application/offset+octet-stream",
		"Upload-Offset", strconv.Itoa(7<<20)); err == nil {
		t.Error("the cut was not noticed")
	}
	offset, err := strconv.Atoi(a.head(url).header.Get("Upload-Offset"))
	if err != nil || offset < 7<<20 {
		t.Fatalf("the offset is %d: %v", offset, err)
	}
	wrong := "sha1 " + base64.StdEncoding.EncodeToString(make([]byte, 20))
	want(t, a.patch(url, offset, data[offset:], "Upload-Checksum", wrong), 460, "checksum_mismatch")
	n.reboot(b)
	sum := sha1.Sum(data[offset:])
	want(t, b.patch(on(b, url), offset, data[offset:], "Upload-Checksum", "sha1 "+base64.StdEncoding.EncodeToString(sum[:])), 204, "")
	b.wantSource(id, data)
	if objects, err := storetest.List(t.Context(), a.cfg.Objects, ""); err != nil || len(objects) != 1 {
		t.Errorf("the bucket has %v: %v", objects, err)
	}

	second := a.video()
	want(t, a.do("PUT", sourceURL(second), io.MultiReader(bytes.NewReader(data[:6<<20])), "Content-Digest", digestOf(data[:6<<20])), http.StatusAccepted, "")
	a.wantSource(second, data[:6<<20])

	third := a.video()
	one, two := a.create(6<<20, "", "Upload-Concat", "partial"), b.create(3<<20, "", "Upload-Concat", "partial")
	want(t, a.patch(one, 0, data[:6<<20]), 204, "")
	want(t, b.patch(two, 0, data[6<<20:9<<20]), 204, "")
	want(t, b.do("POST", "/api/v1/uploads", nil, "Upload-Concat", "final;/api/v1/uploads/"+idOf(one)+" /api/v1/uploads/"+idOf(two),
		"Upload-Metadata", meta("video_id", third)), http.StatusCreated, "")
	b.wantSource(third, data[:9<<20])
}
