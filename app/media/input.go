package media

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"streamgate/store"
)

// isURL tells whether a source is not a file but a URL on loopback.
func isURL(source string) bool { return strings.HasPrefix(source, "http://127.0.0.1:") }

// inputOf are the options of a run that opens the source of a plan. From a URL it
// may read that and nothing else, with the demuxer that the plan was made with:
// none that opens what a file names.
func inputOf(source string, p *store.Plan) []string {
	if !isURL(source) {
		return []string{"-protocol_whitelist", "file,pipe", "-format_whitelist", Formats, "-i", "file:" + source}
	}
	return []string{"-protocol_whitelist", "http,tcp", "-format_whitelist", Formats, "-f", p.Source.Format, "-i", source}
}

// portOf is the port of a URL on loopback, 0 if it has none.
func portOf(source string) uint16 {
	u, err := url.Parse(source)
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}

// sizeOf is the size of a source, bytes.
func sizeOf(source string) (int64, error) {
	if !isURL(source) {
		info, err := os.Stat(source)
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	client := http.Client{Timeout: 30 * time.Second}
	res, err := client.Head(source)
	if err != nil {
		return 0, err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("the address of the source answers %s", res.Status)
	}
	return res.ContentLength, nil
}
