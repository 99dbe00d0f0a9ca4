package node

import (
	"cmp"
	"fmt"
	"net/url"
	"time"

	"streamgate/app/access/eth"
	"streamgate/app/access/evm"
	"streamgate/app/access/rules"
)

func (a *Access) check(v *checker) {
	v.between("access.ticket_ttl", a.TicketTTL, 10*time.Second, 24*time.Hour)
	v.between("access.login_ttl", a.LoginTTL, time.Minute, 90*24*time.Hour)
	v.count("access.max_streams_per_wallet", a.MaxStreamsPerWallet, 0, 1_000_000)
	v.count("access.max_viewers_per_video", a.MaxViewersPerVideo, 0, 10_000_000)
	v.between("access.recheck_interval", a.RecheckInterval, time.Second, 24*time.Hour)
	if a.DemoChain != "" && !isHTTP(a.DemoChain) {
		v.fault("access.demo_chain", a.DemoChain, "write a URL like http://127.0.0.1:8545, or leave it empty")
	}
}

// The words of chains[].unreachable.
const (
	unreachableDeny  = "deny"
	unreachableGrace = "grace"
)

const (
	maxChainID   = 1<<53 - 1
	defaultGrace = 10 * time.Minute
)

func checkChains(v *checker, chains []Chain) {
	seen := map[int]bool{}
	for i, c := range chains {
		key := fmt.Sprintf("chains[%d]", i)
		v.count(key+".id", c.ID, 1, maxChainID)
		if seen[c.ID] {
			v.fault(key+".id", c.ID, "another chain has that id; delete one")
		}
		seen[c.ID] = true
		if len(c.URLs) == 0 {
			v.fault(key+".urls", "", "list at least one JSON-RPC endpoint")
		}
		for _, u := range c.URLs {
			if !isHTTP(u) {
				v.fault(key+".urls", "(redacted)", "write URLs like https://rpc.example.org")
			}
		}
		v.count(key+".confirmations", c.Confirmations, 0, 10_000)
		v.count(key+".quorum", c.Quorum, 0, max(1, len(c.URLs)))
		if c.PollInterval != 0 {
			v.between(key+".poll_interval", c.PollInterval, 50*time.Millisecond, time.Hour)
		}
		if c.Timeout != 0 {
			v.between(key+".timeout", c.Timeout, 50*time.Millisecond, time.Minute)
		}
		if c.MaxBlockAge != 0 {
			v.between(key+".max_block_age", c.MaxBlockAge, 10*time.Second, 7*24*time.Hour)
		}
		v.oneOf(key+".unreachable", cmp.Or(c.Unreachable, unreachableDeny), unreachableDeny, unreachableGrace)
		if c.Grace != 0 && c.Unreachable != unreachableGrace {
			v.fault(key+".grace", durationText(c.Grace), "it has no effect without unreachable: grace; write that, or delete it")
		}
		v.between(key+".grace", c.Grace, 0, 7*24*time.Hour)
		if c.RequestsPerSecond < 0 {
			v.fault(key+".requests_per_second", c.RequestsPerSecond, "write a number of at least 0")
		}
		for name, a := range map[string]string{"multicall": c.Multicall, "delegate_registry": c.DelegateRegistry} {
			if _, err := eth.ParseAddress(a); a != "" && err != nil {
				v.fault(key+"."+name, a, "write an address, 0x and 40 hex digits, or leave it empty")
			}
		}
	}
}

func isHTTP(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// evmConfig is what the chains' client makes of a checked configuration.
func (c *Chain) evmConfig() evm.ChainConfig {
	multicall, _ := eth.ParseAddress(c.Multicall) // checked; the zero address means the usual one
	registry, _ := eth.ParseAddress(c.DelegateRegistry)
	return evm.ChainConfig{
		ID: uint64(c.ID), Name: c.Name, URLs: c.URLs, Confirmations: uint64(c.Confirmations), Quorum: c.Quorum,
		Timeout: c.Timeout, MaxBlockAge: c.MaxBlockAge, MaxRequestsPerSecond: c.RequestsPerSecond,
		Multicall: multicall, DelegateRegistry: registry,
	}
}

// policy is how decisions deal with the chains.
func policy(chains []Chain) rules.Policy {
	grace, names := map[uint64]time.Duration{}, map[uint64]string{}
	for _, c := range chains {
		names[uint64(c.ID)] = c.Name
		if c.Unreachable == unreachableGrace {
			grace[uint64(c.ID)] = cmp.Or(c.Grace, defaultGrace)
		}
	}
	return rules.Policy{
		Grace:     func(chain uint64) time.Duration { return grace[chain] },
		ChainName: func(chain uint64) string { return names[chain] },
	}
}

// pollIntervals tells how often each chain is looked at; 0 for the default.
func pollIntervals(chains []Chain) func(chain uint64) time.Duration {
	every := map[uint64]time.Duration{}
	for _, c := range chains {
		every[uint64(c.ID)] = c.PollInterval
	}
	return func(chain uint64) time.Duration { return every[chain] }
}
