// Command apiclient walks through the API with a client that oapi-codegen has
// generated from openapi.json: what an integrator in Go would write first. It
// is a module of its own, so that the product knows nothing of the generator;
// the end-to-end test generates api.go beside it and runs it.
//
// Usage: apiclient URL KEY FILE
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := walk(context.Background(), os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "apiclient:", err)
		os.Exit(1)
	}
}

func walk(ctx context.Context, url, key, file string) error {
	api, err := NewClientWithResponses(url, WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+key)
		return nil
	}))
	if err != nil {
		return err
	}
	id, err := push(ctx, api, file)
	if err != nil {
		return err
	}
	if err := waitReady(ctx, api, id); err != nil {
		return err
	}
	if err := find(ctx, api, id); err != nil {
		return err
	}
	return refusals(ctx, api)
}

// push makes a video and sends its source by PUT.
func push(ctx context.Context, api *ClientWithResponses, file string) (id string, err error) {
	title := "By a generated client"
	made, err := api.LibraryCreateVideoWithResponse(ctx, LibraryCreateVideoJSONRequestBody{Title: &title})
	if err != nil {
		return "", err
	}
	if made.JSON201 == nil || made.JSON201.State != StreamgateVideoStateUploading || made.JSON201.Title != title {
		return "", fmt.Errorf("create: %s %s", made.Status(), made.Body)
	}
	source, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer source.Close()
	put, err := api.UploadsPutWithBodyWithResponse(ctx, made.JSON201.Id, "application/octet-stream", source)
	if err != nil {
		return "", err
	}
	if put.StatusCode() != http.StatusAccepted {
		return "", fmt.Errorf("put: %s %s", put.Status(), put.Body)
	}
	return made.JSON201.Id, nil
}

func waitReady(ctx context.Context, api *ClientWithResponses, id string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		got, err := api.LibraryGetVideoWithResponse(ctx, id)
		if err != nil {
			return err
		}
		if got.JSON200 == nil {
			return fmt.Errorf("get: %s %s", got.Status(), got.Body)
		}
		switch v := got.JSON200; v.State {
		case StreamgateVideoStateReady:
			if v.SizeBytes == 0 || len(v.Renditions) == 0 || v.CreatedAt.IsZero() || v.Error != nil {
				return fmt.Errorf("the video lacks something: %s", got.Body)
			}
			return nil
		case StreamgateVideoStateFailed:
			return fmt.Errorf("the video failed: %s", got.Body)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the video: %w", ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func find(ctx context.Context, api *ClientWithResponses, id string) error {
	limit, state := int32(10), LibraryListVideosParamsStateReady
	list, err := api.LibraryListVideosWithResponse(ctx, &LibraryListVideosParams{Limit: &limit, State: &state})
	if err != nil {
		return err
	}
	if list.JSON200 == nil || len(list.JSON200.Videos) != 1 || list.JSON200.Videos[0].Id != id {
		return fmt.Errorf("list: %s %s", list.Status(), list.Body)
	}
	return nil
}

// refusals come as problems, with codes that the client knows.
func refusals(ctx context.Context, api *ClientWithResponses) error {
	none, err := api.LibraryGetVideoWithResponse(ctx, "none")
	if err != nil {
		return err
	}
	if p := none.ApplicationproblemJSON404; p == nil || p.Code != ProblemCodeVideoNotFound || p.Status != http.StatusNotFound {
		return fmt.Errorf("get none: %s %s", none.Status(), none.Body)
	}
	bad := "x"
	list, err := api.LibraryListVideosWithResponse(ctx, &LibraryListVideosParams{Cursor: &bad})
	if err != nil {
		return err
	}
	if p := list.ApplicationproblemJSON400; p == nil || p.Code != ProblemCodeInvalidCursor {
		return errors.New("list with a bad cursor: " + string(list.Body))
	}
	return nil
}
