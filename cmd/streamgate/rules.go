package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"streamgate/app/rpc"
)

// maxRule bounds what is read of a rule's file, bytes; the node has its own,
// smaller limit.
const maxRule = 1 << 20

// readRule reads a rule from a file, or from standard input if it is "-".
func readRule(e *env, name string) (*structpb.Struct, error) {
	in := e.stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	data, err := io.ReadAll(io.LimitReader(in, maxRule))
	if err != nil {
		return nil, fmt.Errorf("read the rule: %w", err)
	}
	rule := &structpb.Struct{}
	if err := protojson.Unmarshal(data, rule); err != nil {
		if name == "-" {
			name = "standard input"
		}
		return nil, fmt.Errorf("%s is not a JSON object like {\"erc721\": {\"chain\": 1, \"contract\": \"0x…\"}}", name)
	}
	return rule, nil
}

func rulesSet(ctx context.Context, e *env, f *flags) error {
	c, args, err := ctl(e, f, 2)
	if err != nil {
		return err
	}
	rule, err := readRule(e, args[1])
	if err != nil {
		return err
	}
	out, err := c.access.SetVideoRule(ctx, &rpc.SetVideoRuleRequest{VideoId: args[0], Rule: rule})
	if err != nil {
		return c.explain(err)
	}
	return printJSON(e.stdout, out.GetRule())
}

func rulesShow(ctx context.Context, e *env, f *flags) error {
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	out, err := c.access.GetVideoRule(ctx, &rpc.GetVideoRuleRequest{VideoId: args[0]})
	if err != nil {
		return c.explain(err)
	}
	return printJSON(e.stdout, out.GetRule())
}

func rulesClear(ctx context.Context, e *env, f *flags) error {
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	if _, err := c.access.DeleteVideoRule(ctx, &rpc.DeleteVideoRuleRequest{VideoId: args[0]}); err != nil {
		return c.explain(err)
	}
	fmt.Fprintf(e.stdout, "Video %s has no rule any more.\n", args[0])
	return nil
}

func rulesCheck(ctx context.Context, e *env, f *flags) error {
	asJSON := f.jsonFlag()
	c, args, err := ctl(e, f, 2)
	if err != nil {
		return err
	}
	d, err := c.access.CheckAccess(ctx, &rpc.CheckAccessRequest{VideoId: args[0], Wallet: args[1]})
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, d)
	}
	if d.GetAdmit() {
		fmt.Fprintf(e.stdout, "%s may watch.\n", d.GetWallet())
	} else {
		fmt.Fprintf(e.stdout, "%s may not watch (%s). %s\n", d.GetWallet(), d.GetReason(), d.GetSentence())
	}
	printResult(e.stdout, d.GetTree(), 0)
	return nil
}

// printResult writes a decision's tree, a line for each node.
func printResult(w io.Writer, r *rpc.RuleResult, depth int) {
	words := []string{fmt.Sprintf("%-7s %s", r.GetResult(), r.GetKind())}
	if r.GetWants() != "" {
		words = append(words, "wants "+r.GetWants())
	}
	if r.GetHave() != "" {
		words = append(words, "has "+r.GetHave())
	}
	if r.GetBlock() > 0 {
		words = append(words, fmt.Sprintf("at block %.0f, %.0f s ago, says %s", r.GetBlock(), r.GetAgeSeconds(), r.GetSource()))
	}
	if r.GetProblem() != "" {
		words = append(words, "problem: "+r.GetProblem())
	}
	fmt.Fprintf(w, "%s%s\n", strings.Repeat("  ", depth), strings.Join(words, "; "))
	for _, part := range r.GetParts() {
		printResult(w, part, depth+1)
	}
}

func rulesList(ctx context.Context, e *env, f *flags) error {
	limit := f.Int("limit", 50, "at most `N`; 0 for all")
	asJSON := f.jsonFlag()
	c, _, err := ctl(e, f, 0)
	if err != nil {
		return err
	}
	rules, err := pages(*limit, func(size int32, cursor string) ([]*rpc.Rule, string, error) {
		r, err := c.access.ListRules(ctx, &rpc.ListRulesRequest{Limit: size, Cursor: cursor})
		return r.GetRules(), r.GetNextCursor(), err
	})
	if err != nil {
		return c.explain(err)
	}
	if *asJSON {
		return printJSON(e.stdout, &rpc.ListRulesResponse{Rules: rules})
	}
	rows := [][]string{{"NAME", "UPDATED", "RULE"}}
	for _, r := range rules {
		text, err := r.GetRule().MarshalJSON()
		if err != nil {
			return err
		}
		rows = append(rows, []string{r.GetName(), when(r.GetUpdatedAt()), string(text)})
	}
	printRows(e.stdout, rows)
	return nil
}

func rulesPut(ctx context.Context, e *env, f *flags) error {
	c, args, err := ctl(e, f, 2)
	if err != nil {
		return err
	}
	rule, err := readRule(e, args[1])
	if err != nil {
		return err
	}
	if _, err := c.access.PutRule(ctx, &rpc.PutRuleRequest{Name: args[0], Rule: rule}); err != nil {
		return c.explain(err)
	}
	fmt.Fprintf(e.stdout, "Saved rule %s.\n", args[0])
	return nil
}

func rulesDelete(ctx context.Context, e *env, f *flags) error {
	c, args, err := ctl(e, f, 1)
	if err != nil {
		return err
	}
	if _, err := c.access.DeleteRule(ctx, &rpc.DeleteRuleRequest{Name: args[0]}); err != nil {
		return c.explain(err)
	}
	fmt.Fprintf(e.stdout, "Deleted rule %s.\n", args[0])
	return nil
}
