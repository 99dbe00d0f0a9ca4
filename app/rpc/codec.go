package rpc

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// JSON is the JSON form of all messages: fields that hold a default value are
// written (unset optional ones are not), unknown fields are refused, and so is
// an empty document. It is a connect.Codec.
type JSON struct{ name string }

// JSONCodecs returns the codec under each of the names Connect knows it by.
func JSONCodecs() [2]JSON {
	return [2]JSON{{"json"}, {"json; charset=utf-8"}}
}

// JSONMarshal and JSONUnmarshal are the codec's options.
func JSONMarshal() protojson.MarshalOptions { return protojson.MarshalOptions{EmitDefaultValues: true} }

// JSONUnmarshal refuses unknown fields.
func JSONUnmarshal() protojson.UnmarshalOptions { return protojson.UnmarshalOptions{} }

// Name implements connect.Codec.
func (c JSON) Name() string { return c.name }

// Marshal implements connect.Codec.
func (c JSON) Marshal(msg any) ([]byte, error) {
	m, err := protoMessage(msg)
	if err != nil {
		return nil, err
	}
	data, err := JSONMarshal().Marshal(m)
	if err != nil {
		return nil, err
	}
	// protojson varies its spaces on purpose; a stable text is easier to live with.
	out := bytes.NewBuffer(make([]byte, 0, len(data)))
	if err := json.Compact(out, data); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Unmarshal implements connect.Codec.
func (c JSON) Unmarshal(data []byte, msg any) error {
	m, err := protoMessage(msg)
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(data)) == 0 {
		if m.ProtoReflect().Descriptor().Fields().Len() == 0 { // there is nothing to say
			return nil
		}
		return errors.New("the body is empty; send a JSON object")
	}
	if err := JSONUnmarshal().Unmarshal(data, m); err != nil {
		return errors.New(PlainDecodeError(err.Error()))
	}
	return nil
}

func protoMessage(msg any) (proto.Message, error) {
	m, ok := msg.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is not a message of the schema", msg)
	}
	return m, nil
}
