package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/big"
	"strconv"

	"github.com/ethereum/go-ethereum/common"

	"streamgate/cmd/devchain/devnet"
)

// action is one command on a running chain.
type action struct {
	*devnet.Client
	args   []string // exactly as many as the command takes
	id     string   // --id
	off    bool     // --off
	asJSON bool     // --json
	out    io.Writer
}

// command is what a name stands for.
type command struct {
	args int
	do   func(context.Context, *action) error
}

// commands is every command but serve.
func commands() map[string]command {
	return map[string]command{
		"accounts":     {0, func(_ context.Context, a *action) error { return printNet(a.out, a.Client, a.asJSON) }},
		"mint":         {1, mint},
		"transfer":     {3, transfer},
		"burn":         {1, burn},
		"mint1155":     {3, mint1155},
		"transfer1155": {4, transfer1155},
		"mint20":       {2, mint20},
		"transfer20":   {3, transfer20},
		"pay":          {3, pay},
		"delegate":     {2, delegate},
		"wallet":       {1, wallet},
		"mine":         {1, mine},
		"reorg":        {1, reorg},
	}
}

// act runs a command on the chain of --rpc.
func act(ctx context.Context, stdout, stderr io.Writer, name string, args []string) error {
	cmd, ok := commands()[name]
	if !ok {
		return fmt.Errorf("there is no command %q: %w", name, errUsage)
	}
	a := &action{out: stdout}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	rpc := flags.String("rpc", "http://127.0.0.1:8545", "JSON-RPC of the chain")
	flags.StringVar(&a.id, "id", "", "mint: the token's id")
	flags.BoolVar(&a.off, "off", false, "delegate: take it back")
	flags.BoolVar(&a.asJSON, "json", false, "accounts: print JSON")
	for rest := args; len(rest) > 0; { // flags may stand among the arguments
		if err := flags.Parse(rest); err != nil {
			return fmt.Errorf("%s: %w", name, errUsage)
		}
		if rest = flags.Args(); len(rest) > 0 {
			a.args, rest = append(a.args, rest[0]), rest[1:]
		}
	}
	if len(a.args) != cmd.args {
		return fmt.Errorf("%s takes %d arguments: %w", name, cmd.args, errUsage)
	}
	var err error
	if a.Client, err = devnet.Dial(ctx, *rpc); err != nil {
		return err
	}
	return cmd.do(ctx, a)
}

// account is the demo account that argument i names.
func (a *action) account(i int) (devnet.Account, error) {
	for _, known := range a.All() {
		if known.Name == a.args[i] {
			return known, nil
		}
	}
	return devnet.Account{}, fmt.Errorf("there is no account %q: %w", a.args[i], errUsage)
}

// address is what argument i names: an account or any address.
func (a *action) address(i int) (common.Address, error) {
	if common.IsHexAddress(a.args[i]) {
		return common.HexToAddress(a.args[i]), nil
	}
	known, err := a.account(i)
	return known.Address, err
}

func number(s string) (*big.Int, error) {
	n, ok := new(big.Int).SetString(s, 0)
	if !ok || n.Sign() < 0 {
		return nil, fmt.Errorf("%q is no amount: %w", s, errUsage)
	}
	return n, nil
}

func (a *action) number(i int) (*big.Int, error) { return number(a.args[i]) }

func (a *action) blocks() (int, error) {
	n, err := strconv.Atoi(a.args[0])
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%q is no number of blocks: %w", a.args[0], errUsage)
	}
	return n, nil
}
