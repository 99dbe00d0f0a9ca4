package rpc

import (
	"fmt"
	"regexp"
	"strings"
)

// decodeErrors turn what the decoders of messages say, words for those who
// wrote the schema, into sentences for those who wrote the message.
var decodeErrors = []struct {
	pattern  *regexp.Regexp
	sentence string
}{
	{regexp.MustCompile(`^\(line (\d+):(\d+)\): unknown field (".*")$`), `There is no field $3 here (line $1, column $2)`},
	{regexp.MustCompile(`^\(line (\d+):(\d+)\): duplicate field (".*")$`), `The field $3 is there twice (line $1, column $2)`},
	{regexp.MustCompile(`^\(line (\d+):(\d+)\): invalid value for string field (value|[\w.]+): (.*)$`), `The field "$3" takes a text in quotation marks, not $4`},
	{regexp.MustCompile(`^\(line (\d+):(\d+)\): invalid value for bool field (\w+): (.*)$`), `The field "$3" takes true or false, not $4`},
	{regexp.MustCompile(`^\(line (\d+):(\d+)\): invalid value for (?:u?int|s?fixed|sint)\d+ field (\w+): (.*)$`), `The field "$3" takes a whole number, not $4`},
	{regexp.MustCompile(`^\(line (\d+):(\d+)\): invalid value for (?:double|float) field (\w+): (.*)$`), `The field "$3" takes a number, not $4`},
	{regexp.MustCompile(`^\(line (\d+):(\d+)\): invalid value for \w+ field (\w+): (.*)$`), `The field "$3" does not take $4`},
	{regexp.MustCompile(`^\(line (\d+):(\d+)\): (.*)$`), `It is not understood at line $1, column $2: $3`},
	{regexp.MustCompile(`^syntax error \(line (\d+):(\d+)\): unexpected token (.*)$`), `A JSON object was expected, and something else begins at line $1, column $2: $3`},
	{regexp.MustCompile(`^syntax error \(line (\d+):(\d+)\): (.*)$`), `It is not JSON at line $1, column $2: $3`},
	{regexp.MustCompile(`^unexpected token (.*)$`), `A JSON object was expected, not $1`},
	{regexp.MustCompile(`^unexpected EOF$`), `The JSON ends too early, or has half of a surrogate pair (\ud800)`},
	{regexp.MustCompile(`^field [\w.]+\.(\w+) contains invalid UTF-8$`), `The field "$1" is no UTF-8`},
	{regexp.MustCompile(`^request should have no body; .*$`), `This method takes no body`},
	{regexp.MustCompile(`^unknown field in field path "([^"]*)".*$`), `There is no parameter "$1" here`},
	{regexp.MustCompile(`^invalid parameter "([^"]*)".*$`), `The parameter "$1" does not take that value; /openapi.json says what it takes`},
}

// PlainDecodeError returns a decoder's message as a sentence without its full
// stop. Their "proto:" is followed by one of two kinds of space, at random.
func PlainDecodeError(message string) string {
	if sentence, ok := strings.CutPrefix(message, "unmarshal message: "); ok && sentence != "" { // our own codec's, which has been here
		return strings.ToUpper(sentence[:1]) + strings.TrimRight(sentence[1:], ".")
	}
	if i := strings.LastIndex(message, "proto:"); i >= 0 {
		message = message[i+len("proto:"):]
	}
	message = strings.TrimRight(strings.Trim(message, " \u00a0"), ".")
	for _, d := range decodeErrors {
		if d.pattern.MatchString(message) {
			return d.pattern.ReplaceAllString(message, d.sentence)
		}
	}
	return fmt.Sprintf("The request cannot be read: %s", message)
}
