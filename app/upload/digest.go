package upload

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"

	"streamgate/app/rpc"
)

// wantedDigest returns the SHA-256 (hex) that a PUT states in Content-Digest
// or Repr-Digest (RFC 9530), which agree as long as there is no content
// coding; "" if it states none. A digest that cannot be verified is refused
// rather than ignored.
func wantedDigest(h http.Header) (string, error) {
	var want string
	for _, name := range []string{"Content-Digest", "Repr-Digest"} {
		lines := h.Values(name)
		if len(lines) == 0 {
			continue
		}
		got, err := parseDigest(strings.Join(lines, ","))
		if err != nil {
			return "", err
		}
		if want != "" && want != got {
			return "", rpc.Invalid("invalid_digest", "Content-Digest and Repr-Digest differ.")
		}
		want = got
	}
	return want, nil
}

// parseDigest returns the sha-256 member (hex) of a dictionary of byte
// sequences (RFC 8941 §3.2, §3.3.5) such as "sha-256=:…:, sha-512=:…:".
func parseDigest(header string) (string, error) {
	var want string
	for member := range strings.SplitSeq(header, ",") {
		key, value, ok := strings.Cut(strings.Trim(member, " \t"), "=")
		inner, closed := strings.CutSuffix(strings.TrimPrefix(value, ":"), ":")
		raw, err := base64.StdEncoding.Strict().DecodeString(inner)
		if !ok || !digestKey(key) || !strings.HasPrefix(value, ":") || !closed || err != nil || strings.ContainsAny(inner, "\r\n") {
			return "", rpc.Invalid("invalid_digest", "A digest field must look like sha-256=:base64:.")
		}
		if key != "sha-256" {
			continue
		}
		if len(raw) != 32 {
			return "", rpc.Invalid("invalid_digest", "The sha-256 digest must have 32 bytes.")
		}
		want = hex.EncodeToString(raw)
	}
	if want == "" {
		return "", rpc.Invalid("digest_unsupported", "A digest field must have a sha-256 member.")
	}
	return want, nil
}

func digestKey(key string) bool {
	for _, c := range []byte(key) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("_-.*", rune(c)) {
			return false
		}
	}
	return key != ""
}
