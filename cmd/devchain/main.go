// Devchain is an Ethereum chain to try StreamGate on: one process, no peers,
// everything in memory, funded accounts whose keys everybody knows. Never send
// anything of value to them.
//
// # Running a chain
//
//	devchain serve [--listen 127.0.0.1:8545] [--chain-id 1337] [--block-time 1s] [--demo] [--json]
//
// serves JSON-RPC over HTTP (eth_, net_, web3_, dev_, batches) until SIGTERM or
// SIGINT, and prints the accounts, their keys and the contracts' addresses;
// with --json as one line of JSON. Without --block-time a block is made for
// each transaction at once. With --demo the holder has token 1, which pages may
// hand to and fro (dev_demoToken, dev_handOver), signing as any account
// (dev_accounts, dev_personalSign). The contracts are demo versions of what rules ask:
// an ERC-721, an ERC-1155 and an ERC-20 that anybody may mint, a factory of
// ERC-1271 wallets, a delegate registry and a multicall. Accounts and addresses
// are the same at every start.
//
// # Acting on a chain
//
// Each command takes --rpc URL (http://127.0.0.1:8545) and prints what it did.
// TO and FROM are an account's name (holder, stranger, buyer, vault, hot,
// deployer); TO is also any address.
//
//	devchain mint TO [--id N]                    a token of the ERC-721
//	devchain transfer FROM TO ID
//	devchain burn ID
//	devchain mint1155 TO ID AMOUNT
//	devchain transfer1155 FROM TO ID AMOUNT
//	devchain mint20 TO AMOUNT
//	devchain transfer20 FROM TO AMOUNT
//	devchain pay FROM TO WEI
//	devchain delegate VAULT TO [--off]           TO acts for VAULT everywhere
//	devchain wallet OWNER                        make OWNER's ERC-1271 wallet
//	devchain mine N                              make N blocks
//	devchain reorg N                             undo N blocks, make N+1 empty ones
//	devchain accounts [--json]                   what serve printed
//
// # Exit codes
//
// 0 success, 1 failure (the last line of standard error says why), 2 wrong
// usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, release := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // the second signal ends the process
	os.Exit(run(ctx, os.Stdout, os.Stderr, os.Args[1:]))
}

// errUsage is a wrong command line.
var errUsage = errors.New("see go doc ./cmd/devchain")

// run is the program; it returns the exit code.
func run(ctx context.Context, stdout, stderr io.Writer, args []string) int {
	err := dispatch(ctx, stdout, stderr, args)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "devchain:", err)
		return 2
	default:
		fmt.Fprintln(stderr, "devchain:", err)
		return 1
	}
}

func dispatch(ctx context.Context, stdout, stderr io.Writer, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("a command is missing: %w", errUsage)
	}
	if args[0] == "serve" {
		return serve(ctx, stdout, stderr, args[1:])
	}
	return act(ctx, stdout, stderr, args[0], args[1:])
}
