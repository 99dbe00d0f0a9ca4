package s3_test

import (
	"reflect"
	"strings"
	"testing"

	"streamgate/store/s3"
)

func TestParseAddress(t *testing.T) {
	for address, want := range map[string]s3.Options{
		"http://key:secret@127.0.0.1:9000/media":                          {Endpoint: "127.0.0.1:9000", Bucket: "media", AccessKey: "key", SecretKey: "secret"},
		"https://key:a%2Fb%40c@s3.example.org/my.media/?region=eu-west-1": {Endpoint: "s3.example.org", TLS: true, Bucket: "my.media", AccessKey: "key", SecretKey: "a/b@c", Region: "eu-west-1"},
		"https://key:secret@[::1]:9000/media":                             {Endpoint: "[::1]:9000", TLS: true, Bucket: "media", AccessKey: "key", SecretKey: "secret"},
	} {
		if got, err := s3.ParseAddress(address); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", address, got, err)
		}
	}
	for _, address := range []string{
		"", "media", "s3://key:secret@host/media", "http://host/media", "http://key@host/media", "http://:secret@host/media",
		"http://key:secret@host", "http://key:secret@host/a/b", "http://key:secret@host/MEDIA", "http://key:secret@/media",
		"http://key:secret@host/media?regoin=x", "http://key:secret@host/media#x", "http://key:se cret@host/media\n", "http://key:secret@host:x/media",
	} {
		if _, err := s3.ParseAddress(address); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// What is read has all that Open needs.
func FuzzParseAddress(f *testing.F) {
	f.Add("https://key:secret@host:9000/media?region=x")
	f.Fuzz(func(t *testing.T, address string) {
		o, err := s3.ParseAddress(address)
		if err == nil && (o.Endpoint == "" || o.Bucket == "" || o.AccessKey == "" || o.SecretKey == "") {
			t.Errorf("%q: %+v", address, o)
		}
	})
}
