package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/minio/minio-go/v7"

	"streamgate/store"
)

func TestMapped(t *testing.T) {
	plain := errors.New("plain")
	for _, tc := range []struct {
		err  error
		want error
		not  error
	}{
		{minio.ErrorResponse{Code: "NoSuchKey", StatusCode: http.StatusNotFound}, store.ErrNotFound, store.ErrUnavailable},
		{minio.ErrorResponse{Code: "NoSuchBucket", StatusCode: http.StatusNotFound}, nil, store.ErrNotFound},
		{minio.ErrorResponse{Code: "NoSuchUpload", StatusCode: http.StatusNotFound}, nil, store.ErrNotFound},
		{minio.ErrorResponse{Code: "XMinioStorageFull", StatusCode: http.StatusInsufficientStorage}, store.ErrFull, store.ErrUnavailable},
		{minio.ErrorResponse{Code: "XMinioAdminBucketQuotaExceeded", StatusCode: http.StatusBadRequest}, store.ErrFull, store.ErrUnavailable},
		{minio.ErrorResponse{StatusCode: http.StatusServiceUnavailable}, store.ErrUnavailable, store.ErrFull},
		{minio.ErrorResponse{Code: "SlowDown", StatusCode: http.StatusTooManyRequests}, store.ErrUnavailable, store.ErrFull},
		{minio.ErrorResponse{Code: "AccessDenied", StatusCode: http.StatusForbidden}, nil, store.ErrUnavailable},
		{&url.Error{Op: "Get", Err: io.EOF}, store.ErrUnavailable, store.ErrNotFound},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, store.ErrUnavailable, store.ErrNotFound},
		{context.DeadlineExceeded, store.ErrUnavailable, store.ErrNotFound},
		{fmt.Errorf("%w: cut", errCut), store.ErrUnavailable, store.ErrNotFound},
		{readError{io.ErrUnexpectedEOF}, io.ErrUnexpectedEOF, store.ErrUnavailable},
		{plain, plain, store.ErrUnavailable},
		{os.ErrNotExist, os.ErrNotExist, store.ErrNotFound},
	} {
		wrapped := fmt.Errorf("do something: %w", tc.err)
		got := mapped(t.Context(), wrapped)
		if tc.want != nil && !errors.Is(got, tc.want) || errors.Is(got, tc.not) || !errors.Is(got, tc.err) && !errors.Is(tc.want, store.ErrNotFound) {
			t.Errorf("%v became %v", tc.err, got)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := mapped(ctx, &url.Error{Op: "Get", Err: context.Canceled}); !errors.Is(got, context.Canceled) || errors.Is(got, store.ErrUnavailable) {
		t.Errorf("the caller's end became %v", got)
	}
	if mapped(ctx, nil) != nil {
		t.Error("nil became an error")
	}
}
