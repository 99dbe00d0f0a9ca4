package transcode

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"streamgate/app/media"
	"streamgate/store"
	"streamgate/store/s3"
	"streamgate/store/servertest"
)

// Four nodes make a video whose source is in S3. All that they read of the bucket, to
// plan it and for copies, encodes, sound and stills, is little more than the source
// once; and the plan is the one that a node with a file makes.
func TestOneSourceOnFourNodes(t *testing.T) {
	minio := servertest.NeedMinIO(t, "../../bin/minio")
	for _, name := range []string{"end.mp4", "clip.mkv"} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			path := filepath.Join(r.dir, name)
			size := film(t, path)
			want, err := tools(t).Plan(t.Context(), media.PlanInput{VideoID: "v1", Source: path, Dir: t.TempDir(), Profile: profiles()["copy"]})
			r.ok(err)

			bucket, err := minio.Bucket(t.Context())
			r.ok(err)
			uploader, stores := r.sharing(minio, bucket, 1)[0], r.sharing(minio, bucket, 4)
			r.ok(r.catalog.Videos.Create(t.Context(), store.Video{
				ID: "v1", State: store.VideoProcessing, Profile: "copy", Priority: 50, SizeBytes: size,
			}))
			_, err = uploader.Adopt(t.Context(), store.SourceKey("v1"), path)
			r.ok(err)
			var l living
			nodes := r.together(&l, "n1", "n2", "n3", "n4")
			for i, n := range nodes {
				n.Objects = stores[i]
				n.run()
			}
			task := nodes[0].submit("v1")
			r.untilTask(task.Id, store.TaskSucceeded)

			plan, err := r.catalog.Plans.Plan(t.Context(), "v1")
			r.ok(err)
			plan.Profile, plan.Revision = want.Plan.Profile, want.Plan.Revision
			if !reflect.DeepEqual(plan, want.Plan) {
				t.Errorf("planned from S3:\n%+v\nfrom a file:\n%+v", plan, want.Plan)
			}
			var read, passed int64
			for _, s := range stores {
				server, peers := s.ReadBytes()
				read, passed = read+server, passed+peers
			}
			times := float64(read) / float64(size)
			t.Logf("a source of %d kB: %.2f times that was read of S3, %d kB of other nodes", size>>10, times, passed>>10)
			if times > 1.3 {
				t.Errorf("%.2f times the source was read of S3", times)
			}
		})
	}
}

// film makes a film that may be copied, and returns its size.
func film(t *testing.T, path string) int64 {
	t.Helper()
	args := "-v error -f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine -t 100 -c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 50 " +
		"-b:v 2500k -minrate 2500k -maxrate 2500k -bufsize 2500k -x264-params nal-hrd=cbr:force-cfr=1 -c:a aac " + path
	if out, err := exec.Command("ffmpeg", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Fatalf("make a film: %v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// sharing opens a bucket n times, as nodes do that share what they read.
func (r *rig) sharing(minio *servertest.MinIO, bucket string, n int) []*s3.Store {
	r.Helper()
	stores := make([]*s3.Store, n)
	for i := range stores {
		o, err := s3.ParseAddress(minio.URL(bucket))
		r.ok(err)
		o.CacheDir = r.TempDir()
		o.Peer = func(ctx context.Context, obj store.Object, from, size int64) ([]byte, bool) {
			keeper := int(from/s3.PieceBytes) % n
			if keeper == i {
				return nil, false
			}
			data, err := stores[keeper].Part(ctx, obj, from, size)
			return data, err == nil
		}
		stores[i], err = s3.Open(r.Context(), o)
		r.ok(err)
		r.Cleanup(func() { stores[i].Close() })
	}
	return stores
}
