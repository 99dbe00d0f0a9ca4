package decisions

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"streamgate/app/access/eth"
	"streamgate/app/access/rules"
	"sync"
	"time"
)

// The defaults of FactReaderConfig.
const (
	DefaultPositiveTTL  = time.Minute
	DefaultPollInterval = 12 * time.Second
	DefaultReadTimeout  = 10 * time.Second
	DefaultFactsEntries = 100_000
)

// maxFloors is how many changes are remembered at least (and at most twice as
// many); see Invalidate.
const maxFloors = 10_000

// FactReaderConfig is what a FactReader needs.
type FactReaderConfig struct {
	Chains eth.Chains
	// PositiveTTL is how long an answer that helps the viewer is believed
	// without asking again. The watcher takes back sooner what a transfer
	// changed; 0 means DefaultPositiveTTL.
	PositiveTTL time.Duration
	// PollInterval is how often a chain is looked at: the longest that an
	// answer which does not help is believed. nil or 0: DefaultPollInterval.
	PollInterval func(chain uint64) time.Duration
	// ReadTimeout bounds one read; 0 means DefaultReadTimeout.
	ReadTimeout time.Duration
	// Entries is how many facts are held at most; 0 means DefaultFactsEntries.
	Entries int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// FactReader reads facts from chains, and remembers them for a while:
//
//   - An answer that helps the viewer (at least the Need's Min) is kept for
//     PositiveTTL.
//   - One that does not is kept until the next block or PollInterval, whichever
//     comes first, so that a buyer gets in within a block.
//   - What could not be read is not kept at all.
//
// Those who need the same fact at the same time share one read. Its methods
// are safe for concurrent use.
type FactReader struct {
	cfg FactReaderConfig

	mu      sync.Mutex
	known   map[rules.FactKey]rules.FactValue
	index   map[account]map[rules.FactKey]struct{} // of known, by whom a change would name
	heads   map[uint64]uint64                      // by chain: the newest block told by Seen
	floors  map[account]uint64                     // below this block, readings are out of date
	passed  map[account]uint64                     // the floors before those, see setFloor
	bases   map[uint64]uint64                      // by chain: below this block, all readings are out of date
	read    map[uint64]*branch                     // by chain: the blocks of readings
	pending map[rules.FactKey]*pendingRead
}

// account is whose facts a change may touch.
type account struct {
	chain  uint64
	holder eth.Address
}

// pendingRead is a read under way; values is there once done is closed.
type pendingRead struct {
	done   chan struct{}
	values map[rules.FactKey]rules.FactValue
}

// NewFactReader returns a reader that knows nothing yet.
func NewFactReader(cfg FactReaderConfig) *FactReader {
	if cfg.PositiveTTL <= 0 {
		cfg.PositiveTTL = DefaultPositiveTTL
	}
	if cfg.ReadTimeout <= 0 {
		cfg.ReadTimeout = DefaultReadTimeout
	}
	if cfg.Entries <= 0 {
		cfg.Entries = DefaultFactsEntries
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &FactReader{
		cfg: cfg, known: map[rules.FactKey]rules.FactValue{}, index: map[account]map[rules.FactKey]struct{}{},
		heads: map[uint64]uint64{}, floors: map[account]uint64{},
		bases: map[uint64]uint64{}, read: map[uint64]*branch{}, pending: map[rules.FactKey]*pendingRead{},
	}
}

// Facts returns what is known of the needs by chain, reading what is missing:
// one read per chain, all chains at once. What cannot be read, or not before
// ctx ends, has Err.
func (r *FactReader) Facts(ctx context.Context, needs map[uint64][]rules.Need) rules.Facts {
	facts := rules.Facts{}
	waits := map[rules.FactKey]*pendingRead{}
	r.mu.Lock()
	for chain, list := range needs {
		r.collect(ctx, chain, list, facts, waits)
	}
	r.mu.Unlock()
	for key, f := range waits {
		select {
		case <-f.done:
			facts[key] = f.values[key]
		case <-ctx.Done():
			facts[key] = rules.FactValue{Err: fmt.Errorf("chain %d: %w: %w", key.Chain, eth.ErrChainUnreachable, ctx.Err())}
		}
	}
	return facts
}

// collect takes what is fresh, joins reads that are under way, and starts one
// for the rest. r.mu is held.
func (r *FactReader) collect(ctx context.Context, chain uint64, list []rules.Need, facts rules.Facts, waits map[rules.FactKey]*pendingRead) {
	now := r.cfg.Now()
	var missing []eth.Question
	var keys []rules.FactKey
	var own *pendingRead
	for _, need := range list {
		key := rules.KeyOf(chain, need.Question)
		if value, ok := r.known[key]; ok && r.fresh(value, key, need.Min, now) {
			facts[key] = value
			continue
		}
		if f, ok := r.pending[key]; ok {
			waits[key] = f
			continue
		}
		if own == nil {
			own = &pendingRead{done: make(chan struct{})}
		}
		r.pending[key], waits[key] = own, own
		missing, keys = append(missing, need.Question), append(keys, key)
	}
	if own != nil {
		// Others may wait for this read: it outlives the caller who began it.
		go r.readChain(context.WithoutCancel(ctx), chain, missing, keys, own)
	}
}

// fresh tells whether a fact is still believed by one who needs minimum.
func (r *FactReader) fresh(v rules.FactValue, key rules.FactKey, minimum *big.Int, now time.Time) bool {
	age := now.Sub(v.Read)
	if v.Problem == "" && v.Amount.Cmp(minimum) >= 0 {
		return age < r.cfg.PositiveTTL
	}
	return age < r.pollInterval(key.Chain) && r.heads[key.Chain] <= v.Block
}

func (r *FactReader) pollInterval(chain uint64) time.Duration {
	if r.cfg.PollInterval != nil {
		if d := r.cfg.PollInterval(chain); d > 0 {
			return d
		}
	}
	return DefaultPollInterval
}

// readChain asks the chain, keeps the answers and wakes those who wait.
func (r *FactReader) readChain(ctx context.Context, chain uint64, questions []eth.Question, keys []rules.FactKey, f *pendingRead) {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.ReadTimeout)
	defer cancel()
	values := make([]rules.FactValue, 0, len(questions))
	for part := range slices.Chunk(questions, maxReading) {
		values = append(values, r.ask(ctx, chain, part)...)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	f.values = make(map[rules.FactKey]rules.FactValue, len(keys))
	for i, key := range keys {
		current := r.pending[key] == f // else Invalidate came by: the answer may be out of date
		if current {
			delete(r.pending, key)
		}
		value := values[i]
		if value.Err == nil {
			value = r.checkFloor(key, value)
		}
		f.values[key] = value
		if current && value.Err == nil && value.Block >= r.heads[chain] {
			r.keep(key, value)
		}
	}
	close(f.done)
}

// maxReading is how many questions one reading has.
const maxReading = 1000

// ask reads the answers to some questions at one block.
func (r *FactReader) ask(ctx context.Context, chain uint64, questions []eth.Question) []rules.FactValue {
	reading, err := r.cfg.Chains.Read(ctx, chain, questions)
	if err == nil && len(reading.Answers) != len(questions) {
		err = fmt.Errorf("chain %d gave %d answers to %d questions: %w", chain, len(reading.Answers), len(questions), eth.ErrChainUnreachable)
	}
	if err != nil && !errors.Is(err, eth.ErrChainUnknown) && !errors.Is(err, eth.ErrChainUnreachable) {
		err = fmt.Errorf("%w: %w", eth.ErrChainUnreachable, err)
	}
	if err == nil {
		r.mu.Lock()
		r.branch(chain).read(reading.Block)
		r.mu.Unlock()
	}
	values, now := make([]rules.FactValue, len(questions)), r.cfg.Now()
	for i := range values {
		if values[i].Err = err; err == nil {
			values[i] = rules.FactValue{Answer: reading.Answers[i], Block: reading.Block.Number, Read: now, Source: reading.Source}
		}
	}
	return values
}

// checkFloor refuses an answer from before a change that is known of: an endpoint
// that lags behind would say that who sold still holds.
func (r *FactReader) checkFloor(key rules.FactKey, v rules.FactValue) rules.FactValue {
	if v.Amount == nil {
		return rules.FactValue{Err: fmt.Errorf("chain %d gave no answer that is agreed upon: %w", key.Chain, eth.ErrChainUnreachable)}
	}
	for _, a := range accountsOf(key) {
		floor, ok := r.floors[a]
		if !ok {
			floor = r.passed[a]
		}
		floor = max(floor, r.bases[key.Chain])
		if v.Block < floor {
			return rules.FactValue{Err: fmt.Errorf("chain %d answered from block %d, before the change in %d: %w", key.Chain, v.Block, floor, eth.ErrChainUnreachable)}
		}
	}
	return v
}

// keep remembers a fact. When there is no room, the oldest of a few makes
// some: near enough to the oldest of all, and quick.
func (r *FactReader) keep(key rules.FactKey, v rules.FactValue) {
	if _, known := r.known[key]; !known && len(r.known) >= r.cfg.Entries {
		r.forget(r.oldOne())
	}
	r.known[key] = v
	for _, a := range accountsOf(key) {
		if r.index[a] == nil {
			r.index[a] = map[rules.FactKey]struct{}{}
		}
		r.index[a][key] = struct{}{}
	}
}

func (r *FactReader) oldOne() rules.FactKey {
	var oldest rules.FactKey
	var read time.Time
	looked := 0
	for key, v := range r.known { // begins anywhere
		if looked == 0 || v.Read.Before(read) {
			oldest, read = key, v.Read
		}
		if looked++; looked == 8 {
			break
		}
	}
	return oldest
}

func (r *FactReader) forget(key rules.FactKey) {
	delete(r.known, key)
	for _, a := range accountsOf(key) {
		delete(r.index[a], key)
		if len(r.index[a]) == 0 {
			delete(r.index, a)
		}
	}
}

// Seen tells that a chain's newest block is number: what did not help before
// it is asked again. It may go back (a reorganisation).
func (r *FactReader) Seen(chain, number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heads[chain] = number
}

// Invalidate forgets what is known of holder at contract, and of what it
// delegates, because block may have changed it. Readings of the holder from
// before that block are refused from now on. After a reorganisation, call it
// again with the block that holds now.
func (r *FactReader) Invalidate(chain, block uint64, contract, holder eth.Address) {
	a := account{chain, holder}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setFloor(a, block)
	for key := range r.index[a] {
		if changes(contract, key) {
			r.forget(key)
		}
	}
	for key := range r.pending {
		if changes(contract, key) && slices.Contains(accountsOf(key), a) {
			delete(r.pending, key) // the next to ask reads afresh
		}
	}
}

// Expire has everything that is known of a chain read again by the next who
// asks: what changed meanwhile is not known. Readings that are under way are
// not kept.
func (r *FactReader) Expire(chain uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(chain)
}

// expire is Expire. r.mu is held.
func (r *FactReader) expire(chain uint64) {
	for key := range r.known {
		if key.Chain == chain {
			r.forget(key)
		}
	}
	for key := range r.pending {
		if key.Chain == chain {
			delete(r.pending, key)
		}
	}
}

// Reset is Expire, and forgets changes too: a reorganisation may have undone
// any of it. Readings from before block are refused from now on.
func (r *FactReader) Reset(chain, block uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expire(chain)
	for _, floors := range []map[account]uint64{r.floors, r.passed} {
		for a := range floors {
			if a.chain == chain {
				delete(floors, a)
			}
		}
	}
	delete(r.read, chain)
	r.heads[chain], r.bases[chain] = block, block
}

// Unproven lists the blocks below the head at which the chain was read and
// which Proven has not named; the head counts as read from now on. Split tells
// that there were readings from two branches.
func (r *FactReader) Unproven(chain uint64, head eth.Block) (blocks []eth.Block, split bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.branch(chain)
	b.read(head)
	return b.unproven(head.Number), b.split
}

// Proven tells that blocks are on the branch that the watcher follows.
func (r *FactReader) Proven(chain uint64, blocks ...eth.Block) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range blocks {
		r.branch(chain).pass(b)
	}
}

// branch is what is known of a chain's blocks. r.mu is held.
func (r *FactReader) branch(chain uint64) *branch {
	if r.read[chain] == nil {
		r.read[chain] = newBranch()
	}
	return r.read[chain]
}

// setFloor remembers a change. When there are too many, the older half goes:
// every endpoint has long passed those.
func (r *FactReader) setFloor(a account, block uint64) {
	if len(r.floors) >= maxFloors {
		r.passed, r.floors = r.floors, map[account]uint64{}
	}
	r.floors[a] = block
}

// accountsOf are those on which a fact depends.
func accountsOf(k rules.FactKey) []account {
	a := []account{{k.Chain, k.Holder}}
	if k.Fact == eth.FactDelegate {
		a = append(a, account{k.Chain, k.Vault})
	}
	return a
}

// changes tells whether a log of contract may change the fact. A delegation
// is announced by the registry, whose address is not the fact's.
func changes(contract eth.Address, k rules.FactKey) bool {
	return k.Contract == contract || k.Fact == eth.FactDelegate
}

// Kind asks a contract (ERC-165) what it is: KindERC721, KindERC1155, or "" if
// it says neither. ErrChainUnknown, ErrChainUnreachable.
func (r *FactReader) Kind(ctx context.Context, chain uint64, contract eth.Address) (rules.Kind, error) {
	q721 := eth.Question{Fact: eth.FactIs721, Contract: contract}
	q1155 := eth.Question{Fact: eth.FactIs1155, Contract: contract}
	facts := r.Facts(ctx, map[uint64][]rules.Need{chain: {{Question: q721, Min: big.NewInt(1)}, {Question: q1155, Min: big.NewInt(1)}}})
	is721, is1155 := facts[rules.KeyOf(chain, q721)], facts[rules.KeyOf(chain, q1155)]
	switch {
	case is721.Err != nil:
		return "", is721.Err
	case is1155.Err != nil:
		return "", is1155.Err
	case is721.Amount.Sign() > 0 && is721.Problem == "":
		return rules.KindERC721, nil
	case is1155.Amount.Sign() > 0 && is1155.Problem == "":
		return rules.KindERC1155, nil
	}
	return "", nil
}
