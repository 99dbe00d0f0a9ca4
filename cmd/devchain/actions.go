package main

import (
	"context"
	"errors"
	"fmt"
)

func mint(ctx context.Context, a *action) error {
	to, err := a.address(0)
	if err != nil {
		return err
	}
	if a.id != "" {
		id, err := number(a.id)
		if err != nil {
			return err
		}
		if err := a.Mint721ID(ctx, to, id); err != nil {
			return err
		}
		fmt.Fprintf(a.out, "token %v belongs to %s\n", id, to)
		return nil
	}
	id, err := a.Mint721(ctx, to)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "token %v belongs to %s\n", id, to)
	return nil
}

func transfer(ctx context.Context, a *action) error {
	from, err := a.account(0)
	to, err1 := a.address(1)
	id, err2 := a.number(2)
	if err := errors.Join(err, err1, err2); err != nil {
		return err
	}
	if err := a.Transfer721(ctx, from, to, id); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "token %v belongs to %s\n", id, to)
	return nil
}

func burn(ctx context.Context, a *action) error {
	id, err := a.number(0)
	if err != nil {
		return err
	}
	if err := a.Burn721(ctx, id); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "token %v is burned\n", id)
	return nil
}

func mint1155(ctx context.Context, a *action) error {
	to, err := a.address(0)
	id, err1 := a.number(1)
	amount, err2 := a.number(2)
	if err := errors.Join(err, err1, err2); err != nil {
		return err
	}
	if err := a.Mint1155(ctx, to, id, amount); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%v of token %v to %s\n", amount, id, to)
	return nil
}

func transfer1155(ctx context.Context, a *action) error {
	from, err := a.account(0)
	to, err1 := a.address(1)
	id, err2 := a.number(2)
	amount, err3 := a.number(3)
	if err := errors.Join(err, err1, err2, err3); err != nil {
		return err
	}
	if err := a.Transfer1155(ctx, from, to, id, amount); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%v of token %v to %s\n", amount, id, to)
	return nil
}

func mint20(ctx context.Context, a *action) error {
	to, err := a.address(0)
	amount, err1 := a.number(1)
	if err := errors.Join(err, err1); err != nil {
		return err
	}
	if err := a.Mint20(ctx, to, amount); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%v units to %s\n", amount, to)
	return nil
}

func transfer20(ctx context.Context, a *action) error {
	from, err := a.account(0)
	to, err1 := a.address(1)
	amount, err2 := a.number(2)
	if err := errors.Join(err, err1, err2); err != nil {
		return err
	}
	if err := a.Transfer20(ctx, from, to, amount); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%v units to %s\n", amount, to)
	return nil
}

func pay(ctx context.Context, a *action) error {
	from, err := a.account(0)
	to, err1 := a.address(1)
	wei, err2 := a.number(2)
	if err := errors.Join(err, err1, err2); err != nil {
		return err
	}
	if err := a.Pay(ctx, from, to, wei); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%v wei to %s\n", wei, to)
	return nil
}

func delegate(ctx context.Context, a *action) error {
	vault, err := a.account(0)
	to, err1 := a.address(1)
	if err := errors.Join(err, err1); err != nil {
		return err
	}
	if err := a.DelegateAll(ctx, vault, to, !a.off); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s acts for %s: %v\n", to, vault.Address, !a.off)
	return nil
}

func wallet(ctx context.Context, a *action) error {
	owner, err := a.address(0)
	if err != nil {
		return err
	}
	made, err := a.DeployWallet(ctx, owner, [32]byte{})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "wallet %s of %s\n", made, owner)
	return nil
}

func mine(ctx context.Context, a *action) error  { return moveHead(ctx, a, a.Mine) }
func reorg(ctx context.Context, a *action) error { return moveHead(ctx, a, a.Reorg) }

// moveHead makes or undoes as many blocks as were asked for.
func moveHead(ctx context.Context, a *action, move func(context.Context, int) error) error {
	n, err := a.blocks()
	if err != nil {
		return err
	}
	if err := move(ctx, n); err != nil {
		return err
	}
	head, err := a.Head(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "the head is block %d\n", head)
	return nil
}
