package access

import (
	"context"
	"errors"
	"math"
	"strconv"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/rpc"
)

// kindContract is a leaf that only says where the tokens are: what they are is
// told by the contract (ERC-165), once, when the rule is saved.
const kindContract = "contract"

// checkNumbers refuses numbers that have lost digits on the way: over the API
// a number is a float64.
func checkNumbers(v *structpb.Value, at string) error {
	switch v := v.GetKind().(type) {
	case *structpb.Value_NumberValue:
		if n := v.NumberValue; n != math.Trunc(n) || math.Abs(n) > maxChainID {
			return ruleErrorf(at, "it must be a whole number; write one that is larger than %d as a string", int64(maxChainID))
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

// tellKinds turns each contract leaf into an erc721 or erc1155. What is no
// rule is left for ParseRule to refuse.
func (s *Service) tellKinds(ctx context.Context, node *structpb.Struct, at string, depth int) error {
	if depth > MaxRuleDepth || len(node.GetFields()) != 1 {
		return nil
	}
	for key, value := range node.Fields {
		place := at + "/" + pointerToken(key)
		switch key {
		case string(KindAll), string(KindAny):
			for i, part := range value.GetListValue().GetValues() {
				if err := s.tellKinds(ctx, part.GetStructValue(), place+"/"+strconv.Itoa(i), depth+1); err != nil {
					return err
				}
			}
		case string(KindNot):
			return s.tellKinds(ctx, value.GetStructValue(), place, depth+1)
		case kindContract:
			kind, err := s.tellKind(ctx, value, place)
			if err != nil {
				return err
			}
			delete(node.Fields, key)
			node.Fields[string(kind)] = value
		}
	}
	return nil
}

func (s *Service) tellKind(ctx context.Context, value *structpb.Value, at string) (RuleKind, error) {
	fields := value.GetStructValue().GetFields()
	chain := fields["chain"].GetNumberValue()
	contract, err := parseAddressAt(fields["contract"].GetStringValue(), at+"/contract")
	if err != nil {
		return "", err
	}
	if chain < 1 {
		return "", ruleErrorf(at+"/chain", "it must be a chain id (EIP-155)")
	}
	kind, err := s.facts.Kind(ctx, uint64(chain), contract)
	switch {
	case isChainUnknown(err):
		return "", ruleErrorf(at+"/chain", "chain %d is not configured here; there are %v", uint64(chain), s.Chains.IDs())
	case errors.Is(err, ErrChainUnreachable):
		return "", rpc.Errorf(connect.CodeUnavailable, "chain_unreachable",
			"%s cannot be reached to ask what %s is: write erc721 or erc1155, or try again.", s.Policy.chain(uint64(chain)), contract)
	case err != nil:
		return "", err
	case kind == "":
		return "", ruleErrorf(at, "%s does not say (ERC-165) that it is an ERC-721 or an ERC-1155; write erc721, erc1155 or erc20 for what it is", contract)
	}
	return kind, nil
}
