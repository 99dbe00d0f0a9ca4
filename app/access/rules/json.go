package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxJSONDepth is how deep a rule's JSON may nest: an object and a list for
// each level of the rule, and the values of a leaf.
const maxJSONDepth = 2*MaxDepth + 4

// readJSON reads one JSON document more strictly than encoding/json does: a
// key given twice, trailing data, invalid UTF-8 and deep nesting are errors
// that name their place. Numbers stay as they were written.
func readJSON(data []byte) (any, error) {
	if !utf8.Valid(data) {
		return nil, errorf("", "it is not UTF-8")
	}
	if !json.Valid(data) {
		var syntax *json.SyntaxError
		if err := json.Unmarshal(data, new(any)); errors.As(err, &syntax) {
			return nil, errorf("", "it is not JSON (byte %d)", syntax.Offset)
		}
		return nil, errorf("", "it is not JSON")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	value, err := readValue(dec, "", 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errorf("", "something follows the document")
	}
	return value, nil
}

func readValue(dec *json.Decoder, at string, depth int) (any, error) {
	if depth > maxJSONDepth {
		return nil, errorf(at, "it is nested deeper than %d levels", maxJSONDepth)
	}
	token, err := dec.Token()
	if err != nil {
		return nil, errorf(at, "it is not JSON")
	}
	switch token {
	case json.Delim('{'):
		return readObject(dec, at, depth)
	case json.Delim('['):
		return readList(dec, at, depth)
	}
	return token, nil
}

func readObject(dec *json.Decoder, at string, depth int) (any, error) {
	object := map[string]any{}
	for dec.More() {
		token, err := dec.Token()
		key, isString := token.(string)
		if err != nil || !isString {
			return nil, errorf(at, "it is not JSON")
		}
		place := at + "/" + pointerToken(key)
		if _, twice := object[key]; twice {
			return nil, errorf(place, "it is given twice; remove one")
		}
		if object[key], err = readValue(dec, place, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token()
	return object, err
}

func readList(dec *json.Decoder, at string, depth int) (any, error) {
	list := []any{}
	for i := 0; dec.More(); i++ {
		value, err := readValue(dec, at+"/"+strconv.Itoa(i), depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	_, err := dec.Token()
	return list, err
}

// pointerToken escapes a key for a JSON pointer (RFC 6901 §3), and cuts what
// is too long to be shown in a message.
func pointerToken(key string) string {
	if len(key) > 64 {
		key = strings.ToValidUTF8(key[:64], "") + "…"
	}
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
