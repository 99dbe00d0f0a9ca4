package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
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

func rulesCommand(p *cli) *cobra.Command {
	return group("rules", "say who may watch a video, and why somebody may or may not",
		rulesSet(p), rulesShow(p), rulesClear(p), rulesCheck(p), rulesSimulate(p), rulesList(p), rulesPut(p), rulesGet(p), rulesDelete(p))
}

func rulesSet(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set VIDEO FILE", Short: "say who may watch a video: a rule as JSON in a file, - for standard input",
		Example: "streamgate rules set VIDEO rule.json\necho '{\"password\": \"open sesame\"}' | streamgate rules set VIDEO -",
	}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.VideoRule, error) {
		rule, err := readRule(p.env, args[1])
		if err != nil {
			return nil, err
		}
		return c.access.SetVideoRule(ctx, &rpc.SetVideoRuleRequest{VideoId: args[0], Rule: rule})
	}, tellVideoRule)
}

func rulesShow(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "show VIDEO", Short: "show a video's rule", Example: "streamgate rules show VIDEO"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.VideoRule, error) {
		return c.access.GetVideoRule(ctx, &rpc.GetVideoRuleRequest{VideoId: args[0]})
	}, tellVideoRule)
}

// tellVideoRule writes the rule alone, as rules set reads it.
func tellVideoRule(w io.Writer, r *rpc.VideoRule, _ []string) { tellRule(w, r.GetRule()) }

func tellRule(w io.Writer, rule *structpb.Struct) {
	_ = printJSON(w, rule) // a rule that was read encodes; nobody is left to tell
}

func rulesClear(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "clear VIDEO", Short: "make a video private again", Example: "streamgate rules clear VIDEO"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.DeleteVideoRuleResponse, error) {
		return c.access.DeleteVideoRule(ctx, &rpc.DeleteVideoRuleRequest{VideoId: args[0]})
	}, say[*rpc.DeleteVideoRuleResponse]("Video %s has no rule any more."))
}

func rulesCheck(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "check VIDEO WALLET", Short: "say whether a wallet may watch a video, and why",
		Example: "streamgate rules check VIDEO 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
	}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Decision, error) {
		return c.access.CheckAccess(ctx, &rpc.CheckAccessRequest{VideoId: args[0], Wallet: args[1]})
	}, tellDecision)
}

func rulesSimulate(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "simulate FILE", Short: "try a rule that is not saved: as JSON in a file, - for standard input",
		Example: "streamgate rules simulate rule.json --wallet 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
	}
	wallet := cmd.Flags().String("wallet", "", "try it on this `WALLET` (default: on nobody)")
	vaults := cmd.Flags().StringArray("vault", nil, "a cold `WALLET` for which it acts; may be repeated")
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Decision, error) {
		rule, err := readRule(p.env, args[0])
		if err != nil {
			return nil, err
		}
		return c.access.SimulateRule(ctx, &rpc.SimulateRuleRequest{Rule: rule, Wallet: *wallet, Vaults: *vaults})
	}, tellDecision)
}

func tellDecision(w io.Writer, d *rpc.Decision, _ []string) {
	who := d.GetWallet()
	if who == "" {
		who = "Somebody who has not signed in"
	}
	if d.GetAdmit() {
		fmt.Fprintf(w, "%s may watch.\n", who)
	} else {
		fmt.Fprintf(w, "%s may not watch (%s). %s\n", who, d.GetReason(), d.GetSentence())
	}
	printResult(w, d.GetTree(), 0)
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

func rulesList(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "list the named rules", Example: "streamgate rules list"}
	limit := limitFlag(cmd)
	return ask(p, cmd, func(ctx context.Context, c *client, _ []string) (*rpc.ListRulesResponse, error) {
		rules, err := pages(limit.value, func(size int32, cursor string) ([]*rpc.Rule, string, error) {
			r, err := c.access.ListRules(ctx, &rpc.ListRulesRequest{Limit: size, Cursor: cursor})
			return r.GetRules(), r.GetNextCursor(), err
		})
		return &rpc.ListRulesResponse{Rules: rules}, err
	}, func(w io.Writer, r *rpc.ListRulesResponse, _ []string) {
		rows := [][]string{{"NAME", "UPDATED", "RULE"}}
		for _, rule := range r.GetRules() {
			text, _ := rule.GetRule().MarshalJSON() // a rule that was read encodes
			rows = append(rows, []string{rule.GetName(), when(rule.GetUpdatedAt()), cell(string(text))})
		}
		printRows(w, rows)
	})
}

func rulesPut(p *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "put NAME FILE", Short: "save a named rule: as JSON in a file, - for standard input",
		Example: "streamgate rules put holders rule.json",
	}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Rule, error) {
		rule, err := readRule(p.env, args[1])
		if err != nil {
			return nil, err
		}
		return c.access.PutRule(ctx, &rpc.PutRuleRequest{Name: args[0], Rule: rule})
	}, say[*rpc.Rule]("Saved rule %s."))
}

func rulesGet(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "get NAME", Short: "show a named rule", Example: "streamgate rules get holders"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.Rule, error) {
		return c.access.GetRule(ctx, &rpc.GetRuleRequest{Name: args[0]})
	}, func(w io.Writer, r *rpc.Rule, _ []string) { tellRule(w, r.GetRule()) })
}

func rulesDelete(p *cli) *cobra.Command {
	cmd := &cobra.Command{Use: "delete NAME", Short: "delete a named rule", Example: "streamgate rules delete holders"}
	return ask(p, cmd, func(ctx context.Context, c *client, args []string) (*rpc.DeleteRuleResponse, error) {
		return c.access.DeleteRule(ctx, &rpc.DeleteRuleRequest{Name: args[0]})
	}, say[*rpc.DeleteRuleResponse]("Deleted rule %s."))
}
