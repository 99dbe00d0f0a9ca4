package postgres

import (
	"bytes"
	"encoding/json"
)

// merge is a stored document after a change that this program made to what it
// knows of it: before is that part as it was, after as it is. Members of objects
// that it does not know, since a newer version wrote them, stay; so do those
// inside of whatever has not changed. Lists are values: one that has changed is
// replaced.
func merge(stored, before, after []byte) []byte {
	if bytes.Equal(stored, before) {
		return after
	}
	if bytes.Equal(before, after) {
		return stored
	}
	was, now, all := members(before), members(after), members(stored)
	if was == nil || now == nil || all == nil {
		return after
	}
	var out object
	for _, m := range now.list {
		if old, ok := all.get(m.name); ok {
			known, _ := was.get(m.name)
			m.value = merge(old, known, m.value)
		}
		out.add(m)
	}
	for _, m := range all.list {
		_, gone := was.get(m.name)
		if _, there := now.get(m.name); !there && !gone {
			out.add(m)
		}
	}
	return out.bytes()
}

// object is the members of a JSON object in their order.
type object struct {
	list []member
	at   map[string]int
}

type member struct {
	name   string
	quoted []byte // name as it was written
	value  json.RawMessage
}

// members takes a JSON object apart; nil if it is none, or has a name twice.
func members(data []byte) *object {
	dec := json.NewDecoder(bytes.NewReader(data))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	o := new(object)
	for dec.More() {
		from := dec.InputOffset()
		name, err := dec.Token()
		if err != nil {
			return nil
		}
		m := member{name: name.(string), quoted: bytes.TrimLeft(data[from:dec.InputOffset()], ", \t\r\n")}
		if dec.Decode(&m.value) != nil || !o.add(m) {
			return nil
		}
	}
	return o
}

func (o *object) get(name string) (json.RawMessage, bool) {
	i, ok := o.at[name]
	if !ok {
		return nil, false
	}
	return o.list[i].value, true
}

// add appends a member. False if there is one of that name.
func (o *object) add(m member) bool {
	if _, ok := o.at[m.name]; ok {
		return false
	}
	if o.at == nil {
		o.at = make(map[string]int)
	}
	o.at[m.name] = len(o.list)
	o.list = append(o.list, m)
	return true
}

func (o *object) bytes() []byte {
	out := []byte{'{'}
	for i, m := range o.list {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, m.quoted...), ':'), m.value...)
	}
	return append(out, '}')
}
