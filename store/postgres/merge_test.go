package postgres_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"streamgate/store/postgres"
)

func TestMerge(t *testing.T) {
	for _, test := range []struct{ name, stored, before, after, want string }{
		{"nothing unknown", `{"a":1}`, `{"a":1}`, `{"a":2}`, `{"a":2}`},
		{"nothing changed", `{ "a":1,"new":[2]}`, `{"a":1}`, `{"a":1}`, `{ "a":1,"new":[2]}`},
		{"a member that is not known", `{"a":1,"new":{"x":1}}`, `{"a":1}`, `{"a":2}`, `{"a":2,"new":{"x":1}}`},
		{"one that is known goes", `{"a":1,"b":2,"new":3}`, `{"a":1,"b":2}`, `{"a":1}`, `{"a":1,"new":3}`},
		{"one comes", `{"a":1,"new":3}`, `{"a":1}`, `{"a":1,"b":2}`, `{"a":1,"b":2,"new":3}`},
		{"in an object in it", `{"o":{"a":1,"new":2}}`, `{"o":{"a":1}}`, `{"o":{"a":3}}`, `{"o":{"a":3,"new":2}}`},
		{"an object goes whole", `{"o":{"a":1,"new":2},"b":1}`, `{"o":{"a":1},"b":1}`, `{"b":1}`, `{"b":1}`},
		{"in a list that has not changed", `{"l":[{"a":1,"new":2}],"b":1}`, `{"l":[{"a":1}],"b":1}`, `{"l":[{"a":1}],"b":2}`, `{"l":[{"a":1,"new":2}],"b":2}`},
		{"a list that has changed", `{"l":[{"a":1,"new":2}]}`, `{"l":[{"a":1}]}`, `{"l":[{"a":2}]}`, `{"l":[{"a":2}]}`},
		{"an object becomes a value", `{"o":{"a":1,"new":2}}`, `{"o":{"a":1}}`, `{"o":null}`, `{"o":null}`},
		{"a document with a name twice", `{"o":{"a":1,"a":2}}`, `{"o":{"a":1,"a":2}}`, `{"o":{"a":3}}`, `{"o":{"a":3}}`},
		{"names that need quoting", `{"\"\u0000":1,"a":1}`, `{"a":1}`, `{"a":2}`, `{"a":2,"\"\u0000":1}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := postgres.Merge([]byte(test.stored), []byte(test.before), []byte(test.after))
			if string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// A record as one version knows it, and as the next does.
type (
	known struct {
		A string            `json:"a,omitempty"`
		M map[string]string `json:"m,omitempty"`
		O *inner            `json:"o,omitempty"`
		R json.RawMessage   `json:"r,omitempty"`
	}
	inner struct {
		B int `json:"b"`
	}
	newer struct {
		known
		New json.RawMessage `json:"new,omitempty"`
	}
)

// FuzzMerge: what a version knows is as it left it, and what it does not know is
// as it was.
func FuzzMerge(f *testing.F) {
	f.Add(`{"a":"x","m":{"k":"v"},"o":{"b":1},"r":{"z":1,"y":2},"new":[1]}`, `{"a":"y","r":{"y":3}}`)
	f.Add(`{"r":{"a":1,"a":2},"new":{"b":null}}`, `{"r":{"a":3}}`)
	f.Add(`{"o":null,"new":0}`, `{"o":{"b":2},"m":{"":"\u0000"}}`)
	f.Fuzz(func(t *testing.T, stored, change string) {
		var full newer
		var left known
		if json.Unmarshal([]byte(stored), &full) != nil || json.Unmarshal([]byte(change), &left) != nil {
			return
		}
		document, err := json.Marshal(full)
		if err != nil {
			return
		}
		var read known
		if err := json.Unmarshal(document, &read); err != nil {
			t.Fatal(err)
		}
		before, err1 := json.Marshal(read)
		after, err2 := json.Marshal(left)
		if err1 != nil || err2 != nil {
			return
		}
		merged := postgres.Merge(document, before, after)
		var got newer
		if err := json.Unmarshal(merged, &got); err != nil {
			t.Fatalf("%s: %v", merged, err)
		}
		var was newer
		var want known
		if err := json.Unmarshal(document, &was); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(after, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.known, want) || !reflect.DeepEqual(got.New, was.New) {
			t.Errorf("stored %s, before %s, after %s became %s", document, before, after, merged)
		}
	})
}
