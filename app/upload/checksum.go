package upload

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // tus demands it, against broken transport only
	"encoding/base64"
	"hash"
	"strings"

	"streamgate/app/rpc"
)

// checksumAlgorithms is the value of Tus-Checksum-Algorithm.
const checksumAlgorithms = "sha1,sha256"

// checksum is an Upload-Checksum and the running hash to compare it with.
type checksum struct {
	sum  hash.Hash
	want []byte
}

// parseChecksum reads "algorithm base64" (tus 1.0.0, Checksum).
func parseChecksum(header string) (*checksum, error) {
	algorithm, encoded, _ := strings.Cut(header, " ")
	c := &checksum{}
	switch algorithm {
	case "sha1":
		c.sum = sha1.New() //nolint:gosec // see the import
	case "sha256":
		c.sum = newSHA256()
	default:
		return nil, rpc.Invalid("checksum_unsupported", "Upload-Checksum must use one of %s.", checksumAlgorithms)
	}
	want, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(want) != c.sum.Size() || strings.ContainsAny(encoded, "\r\n") {
		return nil, rpc.Invalid("invalid_checksum", "Upload-Checksum must be the algorithm, a space, and the checksum in base64.")
	}
	c.want = want
	return c, nil
}

func (c *checksum) matches() bool { return bytes.Equal(c.sum.Sum(nil), c.want) }
