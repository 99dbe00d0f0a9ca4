package stream

import (
	"net/http"
	"testing"
)

func TestAcceptsGzip(t *testing.T) {
	for value, want := range map[string]bool{
		"": false, "gzip": true, "br, gzip": true, "GZIP;q=0.5, br": true, "gzip;q=0": false, "gzip; q=0.00": false,
		"gzip;q=0.01": true, "x-gzip": false, "identity": false, "deflate,gzip ;q=1.0": true, "gzip;q=": true,
	} {
		h := http.Header{}
		if value != "" {
			h.Set("Accept-Encoding", value)
		}
		if got := acceptsGzip(h); got != want {
			t.Errorf("acceptsGzip(%q) = %v", value, got)
		}
	}
}
