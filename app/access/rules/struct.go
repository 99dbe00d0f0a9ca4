package rules

import (
	"errors"
	"math"
	"strconv"
	"streamgate/app/access/eth"

	"google.golang.org/protobuf/types/known/structpb"
)

// FromStruct reads a rule as it came over the API: Parse, and contract
// leaves, of which kindOf says what the contract is ("" if it does not say).
// chains are those that are configured. *Error, and what kindOf returns.
func FromStruct(given *structpb.Struct, chains []uint64, kindOf func(chain uint64, contract eth.Address) (Kind, error)) (*Rule, error) {
	if err := checkNumbers(structpb.NewStructValue(given), ""); err != nil {
		return nil, err
	}
	k := kindReader{chains, kindOf}
	if err := k.node(given, "", 0); err != nil {
		return nil, err
	}
	data, err := given.MarshalJSON()
	if err != nil {
		return nil, errorf("", "it cannot be written as JSON (%v)", err)
	}
	return Parse(data)
}

// kindReader finds out what the contracts of contract leaves are.
type kindReader struct {
	chains []uint64
	kindOf func(chain uint64, contract eth.Address) (Kind, error)
}

// kindContract is a leaf that only says where the tokens are: what they are is
// told by the contract (ERC-165), once, when the rule is saved.
const kindContract = "contract"

// checkNumbers refuses numbers that have lost digits on the way: over the API
// a number is a float64.
func checkNumbers(v *structpb.Value, at string) error {
	switch v := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		if n := v.NumberValue; n != math.Trunc(n) || math.Abs(n) > maxChainID {
			return errorf(at, "it must be a whole number; write one that is larger than %d as a string", int64(maxChainID))
		}
	case *structpb.Value_StructValue:
		for key, inner := range v.StructValue.GetFields() {
			if err := checkNumbers(inner, at+"/"+pointerToken(key)); err != nil {
				return err
			}
		}
	case *structpb.Value_ListValue:
		for i, inner := range v.ListValue.GetValues() {
			if err := checkNumbers(inner, at+"/"+strconv.Itoa(i)); err != nil {
				return err
			}
		}
	}
	return nil
}

// node turns each contract leaf into an erc721 or erc1155. What is no
// rule is left for Parse to refuse.
func (k *kindReader) node(node *structpb.Struct, at string, depth int) error {
	if depth > MaxDepth || len(node.GetFields()) != 1 {
		return nil
	}
	for key, value := range node.Fields {
		place := at + "/" + pointerToken(key)
		switch key {
		case string(KindAll), string(KindAny):
			for i, part := range value.GetListValue().GetValues() {
				if err := k.node(part.GetStructValue(), place+"/"+strconv.Itoa(i), depth+1); err != nil {
					return err
				}
			}
		case string(KindNot):
			return k.node(value.GetStructValue(), place, depth+1)
		case kindContract:
			kind, err := k.leaf(value, place)
			if err != nil {
				return err
			}
			delete(node.Fields, key)
			node.Fields[string(kind)] = value
		}
	}
	return nil
}

// leaf asks what the contract of a leaf is.
func (k *kindReader) leaf(value *structpb.Value, at string) (Kind, error) {
	fields := value.GetStructValue().GetFields()
	chain := fields["chain"].GetNumberValue()
	contract, err := parseAddressAt(fields["contract"].GetStringValue(), at+"/contract")
	if err != nil {
		return "", err
	}
	if chain < 1 {
		return "", errorf(at+"/chain", "it must be a chain id (EIP-155)")
	}
	kind, err := k.kindOf(uint64(chain), contract)
	switch {
	case errors.Is(err, eth.ErrChainUnknown):
		return "", errorf(at+"/chain", "chain %d is not configured here; %s", uint64(chain), thereAre(k.chains))
	case err != nil:
		return "", err
	case kind == "":
		return "", errorf(at, "%s does not say (ERC-165) that it is an ERC-721 or an ERC-1155; write erc721, erc1155 or erc20 for what it is", contract)
	}
	return kind, nil
}
