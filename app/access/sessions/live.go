package sessions

import (
	"maps"
	"slices"
	"sync"
	"time"

	"streamgate/app/access/eth"
	"streamgate/app/access/rules"
	"streamgate/store"
)

// liveSession is a live session as this node watches over it.
type liveSession struct {
	id, videoID string
	preview     bool
	keyID       string        // of who made it for others: no limit counts it; "" for a viewer's own
	wallet      eth.Address   // who plays; zero for nobody
	wallets     []eth.Address // on whose holdings it stands

	// Guarded by liveSessions.mu.
	viewer rules.Viewer // Earlier is the memory of the last decision
	ticket time.Time    // when its newest ticket expires
	due    time.Time    // when its rule is to be asked again
}

// liveSessions is the live sessions, and finds them by what may end them.
type liveSessions struct {
	mu       sync.Mutex
	byID     map[string]*liveSession
	byVideo  map[string]map[*liveSession]struct{}
	byWallet map[eth.Address]map[*liveSession]struct{}
}

func newLiveSessions() *liveSessions {
	return &liveSessions{
		byID: map[string]*liveSession{}, byVideo: map[string]map[*liveSession]struct{}{},
		byWallet: map[eth.Address]map[*liveSession]struct{}{},
	}
}

func (r *liveSessions) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byID)
}

// limitReached says which limit a session would break.
type limitReached int

const (
	withinLimits limitReached = iota
	nodeLimit
	videoLimit
	walletLimit
)

// maxSessions bounds the live sessions of all videos: each takes about 1 kB of
// memory, and anybody may ask for one where a rule needs no wallet.
const maxSessions = 200_000

// limits bound the sessions that play at the same time; less than 1: no limit.
type streamLimits struct{ wallet, video int }

// enter adds a session, unless one of the limits is reached; sessions whose
// ticket has expired do not count.
func (r *liveSessions) enter(p *liveSession, most streamLimits, now time.Time) limitReached {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.byID) >= maxSessions {
		return nodeLimit
	}
	if most.video > 0 && alive(r.byVideo[p.videoID], now) >= most.video {
		return videoLimit
	}
	if most.wallet > 0 && !p.wallet.IsZero() && r.streams(p.wallet, now) >= most.wallet {
		return walletLimit
	}
	r.add(p)
	return withinLimits
}

// streams counts what a wallet plays itself; a vault's does not count.
func (r *liveSessions) streams(wallet eth.Address, now time.Time) int {
	n := 0
	for p := range r.byWallet[wallet] {
		if p.wallet == wallet && p.keyID == "" && now.Before(p.ticket) {
			n++
		}
	}
	return n
}

func alive(set map[*liveSession]struct{}, now time.Time) int {
	n := 0
	for p := range set {
		if now.Before(p.ticket) && p.keyID == "" {
			n++
		}
	}
	return n
}

// put adds a session that is there already, whatever the limits, and tells
// whether it was new. One that is known stays as it is.
func (r *liveSessions) put(p *liveSession) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID[p.id] != nil {
		return false
	}
	r.add(p)
	return true
}

func (r *liveSessions) add(p *liveSession) {
	r.byID[p.id] = p
	addTo(r.byVideo, p.videoID, p)
	for _, wallet := range p.wallets {
		addTo(r.byWallet, wallet, p)
	}
}

// drop removes a session, if it is there.
func (r *liveSessions) drop(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.byID[id]
	if p == nil {
		return
	}
	delete(r.byID, id)
	removeFrom(r.byVideo, p.videoID, p)
	for _, wallet := range p.wallets {
		removeFrom(r.byWallet, wallet, p)
	}
}

func addTo[K comparable](index map[K]map[*liveSession]struct{}, key K, p *liveSession) {
	if index[key] == nil {
		index[key] = map[*liveSession]struct{}{}
	}
	index[key][p] = struct{}{}
}

func removeFrom[K comparable](index map[K]map[*liveSession]struct{}, key K, p *liveSession) {
	delete(index[key], p)
	if len(index[key]) == 0 {
		delete(index, key)
	}
}

// get returns a session; nil if it is not live.
func (r *liveSessions) get(id string) *liveSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byID[id]
}

// all lists every session.
func (r *liveSessions) all() []*liveSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.byID))
}

// ofVideo lists those of a video.
func (r *liveSessions) ofVideo(videoID string) []*liveSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.byVideo[videoID]))
}

// ofWallets lists those that stand on any of the wallets, each once.
func (r *liveSessions) ofWallets(wallets map[eth.Address]struct{}) []*liveSession {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[*liveSession]struct{}{}
	for wallet := range wallets {
		maps.Copy(found, r.byWallet[wallet])
	}
	return slices.Collect(maps.Keys(found))
}

// due lists those to be asked again, and those whose time has been over for as
// long as clocks may differ. Of those that are not mine to ask, it lists those
// that were neglected for so long that whose they are is in doubt.
func (r *liveSessions) due(now time.Time, clocks, neglect time.Duration, mine func(id string) bool) (ask, over []*liveSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.byID {
		if p.due.IsZero() {
			p.due = now
		}
		switch {
		case !now.Before(p.ticket.Add(clocks)):
			over = append(over, p)
		case !now.Before(p.due) && (mine(p.id) || now.Sub(p.due) >= neglect):
			ask = append(ask, p)
		}
	}
	return ask, over
}

// decided notes the outcome of a decision: what to remember of it, and when to
// ask again.
func (r *liveSessions) decided(p *liveSession, memory map[string]rules.Earlier, due time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.viewer.Earlier, p.due = memory, due
}

// forgetEarlier takes from sessions what they could stand on while a chain cannot
// be reached: it is known to have changed.
func (r *liveSessions) forgetEarlier(list []*liveSession) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range list {
		p.viewer.Earlier = nil
	}
}

// renewed notes a fresh ticket.
func (r *liveSessions) renewed(id string, ticket time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.byID[id]; p != nil {
		p.ticket = ticket
	}
}

// viewerOf returns who plays, with the memory of the last decision.
func (r *liveSessions) viewerOf(p *liveSession) rules.Viewer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return p.viewer
}

// liveSessionOf reads a session's record.
func liveSessionOf(rec *store.Session) (*liveSession, error) {
	viewer, err := viewerOf(rec)
	return &liveSession{
		id: rec.ID, videoID: rec.VideoID, preview: rec.Preview, keyID: rec.KeyID,
		wallet: viewer.Wallet, wallets: viewer.Holders(), viewer: viewer, ticket: rec.Ticket,
	}, err
}
