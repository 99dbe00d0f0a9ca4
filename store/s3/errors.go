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

	"github.com/minio/minio-go/v7"

	"streamgate/store"
)

var (
	// errTaken: IfAbsent found an object.
	errTaken = errors.New("an object has that key")
	// errChanged: the object was replaced while it was read.
	errChanged = errors.New("the object was replaced while it was read")
	// errCut: a body ended early, or its bytes are not those that were stored.
	errCut = errors.New("the bytes that came are not the object's")
	// errSize: the reader has another size than its caller said.
	errSize = errors.New("wrong size")
)

// mapped makes a client's error one of the contract's. ctx is the caller's.
func mapped(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); errors.Is(cause, context.Canceled) {
		return cause
	}
	res := response(err)
	switch {
	case errors.As(err, new(readError)):
		return err
	case res.Code == "NoSuchKey" || res.Code == "NoSuchObject":
		return store.ErrNotFound
	case full[res.Code] || res.StatusCode == http.StatusInsufficientStorage:
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case res.StatusCode >= 500, res.StatusCode == http.StatusTooManyRequests, res.Code == "RequestTimeout", broken(err):
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

// full are the codes of a server that has no room.
var full = map[string]bool{
	"XMinioStorageFull": true, "XMinioAdminBucketQuotaExceeded": true, "QuotaExceeded": true, "InsufficientStorage": true,
}

// broken tells whether the way to the server failed.
func broken(err error) bool {
	var network net.Error
	var request *url.Error
	return errors.As(err, &network) || errors.As(err, &request) || errors.Is(err, errCut) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
}

// response is what the server said; empty if it said nothing.
func response(err error) minio.ErrorResponse {
	var res minio.ErrorResponse
	errors.As(err, &res)
	return res
}

func isNotImplemented(err error) bool { return response(err).StatusCode == http.StatusNotImplemented }

// isRefusedCondition tells whether If-Match or If-None-Match did not hold. S3
// answers 409 while another conditional write of the key is under way.
func isRefusedCondition(err error) bool {
	res := response(err)
	return res.StatusCode == http.StatusPreconditionFailed || res.Code == "PreconditionFailed" || res.Code == "ConditionalRequestConflict"
}

func isNoUpload(err error) bool { return response(err).Code == "NoSuchUpload" }
