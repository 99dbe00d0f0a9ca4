package media

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestFramesMarshal(t *testing.T) {
	for name, f := range map[string]Frames{
		"none":     {PTS: []int64{}},
		"one":      {PTS: []int64{0}, End: 1},
		"variable": {PTS: []int64{0, 512, 513, 100_000_000}, End: maxTicks},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseFrames(f.Marshal())
			if err != nil || !reflect.DeepEqual(got, f) {
				t.Fatalf("got %v, %v; want %v", got, err, f)
			}
		})
	}
}

func TestParseFramesRefuses(t *testing.T) {
	whole := Frames{PTS: []int64{0, 512, 1024}, End: 1536}.Marshal()
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"other magic":   []byte("SGF\x02\x00"),
		"no count":      []byte(framesMagic),
		"cut":           whole[:len(whole)-1],
		"too long":      append(bytes.Clone(whole), 0),
		"huge count":    []byte(framesMagic + "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
		"zero duration": []byte(framesMagic + "\x01\x00"),
		"overflow":      []byte(framesMagic + "\x01\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseFrames(b); !errors.Is(err, ErrFrames) {
				t.Fatalf("got %v; want ErrFrames", err)
			}
		})
	}
}

func FuzzParseFrames(f *testing.F) {
	f.Add(Frames{PTS: []int64{0, 512, 513}, End: 1536}.Marshal())
	f.Add([]byte(framesMagic + "\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseFrames(b)
		if err != nil {
			return
		}
		for i := range got.PTS {
			if got.end(i) <= got.PTS[i] {
				t.Fatalf("frame %d does not end after it begins", i)
			}
		}
		again, err := ParseFrames(got.Marshal())
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("not the same after Marshal: %v", err)
		}
	})
}
