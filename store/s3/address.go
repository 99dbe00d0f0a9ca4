package s3

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// bucketName is what every server takes.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// errAddress is not about a value, which has a secret.
var errAddress = errors.New("write the address of a bucket, like https://ACCESS_KEY:SECRET_KEY@HOST:9000/BUCKET, " +
	"http:// without TLS, with ?region=NAME where it is not us-east-1; in keys, %2F is a / and %40 an @")

// ParseAddress reads a bucket's address into what Open needs of it.
func ParseAddress(address string) (Options, error) {
	u, err := url.Parse(address)
	if err != nil || u.User == nil || u.Host == "" || u.Opaque != "" || u.Fragment != "" || u.Scheme != "http" && u.Scheme != "https" {
		return Options{}, errAddress
	}
	secret, _ := u.User.Password()
	query, err := url.ParseQuery(u.RawQuery)
	o := Options{
		Endpoint: u.Host, TLS: u.Scheme == "https", Bucket: strings.Trim(u.Path, "/"),
		AccessKey: u.User.Username(), SecretKey: secret, Region: query.Get("region"),
	}
	query.Del("region")
	if err != nil || len(query) > 0 || o.AccessKey == "" || secret == "" || !bucketName.MatchString(o.Bucket) {
		return Options{}, errAddress
	}
	return o, nil
}
