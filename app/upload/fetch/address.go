package fetch

import (
	"net/url"
	"path"
	"strings"

	"streamgate/app/rpc"
)

// maxURL bounds an address, bytes. Signed ones are long.
const maxURL = 8192

// Check reads an address that somebody gives; the error is coded for the API.
func Check(text string) (*url.URL, error) {
	if len(text) > maxURL {
		return nil, rpc.Invalid(CodeURL, "The source_url has %d bytes; it may have %d.", len(text), maxURL)
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, rpc.Invalid(CodeURL, "The source_url is none; write https://host/path.")
	}
	u.Fragment, u.RawFragment = "", ""
	if err := check(u); err != nil {
		return nil, rpc.Invalid(CodeURL, "%s", err.Error())
	}
	return u, nil
}

// check refuses an address that is not fetched. The sentence does not tell it.
func check(u *url.URL) *Error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fault(CodeURL, "The address begins with %q; only http:// and https:// are fetched.", u.Scheme+":")
	case u.Hostname() == "" || u.Opaque != "":
		return fault(CodeURL, "The address names no server; write https://host/path.")
	case u.User != nil:
		return fault(CodeURL, "The address has a user or password, which is not fetched; give one that needs none, such as a signed URL.")
	}
	return nil
}

// Shown is an address without what may be a secret in it.
func Shown(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// Name is the name of the file at an address; "" if its path has none.
func Name(u *url.URL) string {
	if strings.HasSuffix(u.Path, "/") {
		return ""
	}
	if name := path.Base(u.Path); name != "." && name != "/" {
		return name
	}
	return ""
}
