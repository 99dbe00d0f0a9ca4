package main

import (
	"context"
	"fmt"
	"time"
)

// benchPictureCopy measures the time to the first picture of sources that are
// offered as they are.
func benchPictureCopy(ctx context.Context, b *bench) ([]result, error) {
	short, long, err := b.pictures(ctx, copied30s, copied60min, true)
	if err != nil {
		return nil, err
	}
	return []result{
		atMost("first picture, source copied, 30 s long", 1.5, "s", short),
		atMost("first picture, source copied, 60 min long", 3, "s", long),
	}, nil
}

// benchPictureEncode does the same with sources that must be encoded.
func benchPictureEncode(ctx context.Context, b *bench) ([]result, error) {
	short, long, err := b.pictures(ctx, foreign30s, foreign60min, false)
	if err != nil {
		return nil, err
	}
	c := comparison{what: "first picture, 1080p encoded, 60 min against 30 s", unit: "s", peer: "short", ours: long, them: short}
	r := c.atMost(1.5)
	r.measured = fmt.Sprintf("60 min %s, 30 s %s s", long, short)
	return []result{
		atMost("first picture, 1080p encoded, 30 s long", 5, "s", short),
		atMost("first picture, 1080p encoded, 60 min long", 5, "s", long),
		r,
	}, nil
}

// pictures measures a short and a long source in turns, on one node.
func (b *bench) pictures(ctx context.Context, shortSource, longSource source, copied bool) (short, long series, err error) {
	var files [2]string
	for i, s := range []source{shortSource, longSource} {
		if files[i], err = b.sources.file(ctx, s); err != nil {
			return nil, nil, err
		}
	}
	n, err := b.startNode(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer n.kill()
	took := [2]series{}
	for range b.runs(5, 1) {
		for i, file := range files {
			t, err := b.firstPicture(ctx, n, file, copied)
			if err != nil {
				return nil, nil, fmt.Errorf("%w\n%s", err, n.said())
			}
			took[i] = append(took[i], t.Seconds())
		}
	}
	return took[0], took[1], nil
}

// firstPicture is the time from the acknowledgement of the last byte of an
// upload until a player has the first cell.
func (b *bench) firstPicture(ctx context.Context, n *node, file string, copied bool) (time.Duration, error) {
	v, acknowledged, err := n.upload(ctx, file, "", true)
	if err != nil {
		return 0, err
	}
	rendition, err := player{n.url + "/v/" + v.ID + "/"}.firstPicture(ctx)
	took := time.Since(acknowledged)
	if err != nil {
		return 0, err
	}
	if v, err = n.video(ctx, v.ID); err != nil {
		return 0, err
	}
	if v.copied() != copied {
		return 0, fmt.Errorf("%s: copied is %t: the row would measure something else", file, v.copied())
	}
	b.logf("   %s of %s after %s", rendition, file, took.Round(time.Millisecond))
	return took, n.discard(ctx, v.ID)
}
